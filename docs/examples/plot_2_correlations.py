"""
Correlations, and what deconvolution leaves of them
===================================================

Neighbouring pixels of a photograph are strongly correlated, and so are its colour channels. These three figures show
one photograph before and after deconvolution, the covariance of patches, and the distribution of the values.
"""

import ndtools as nd

photograph = nd.run_deconvolve(nd.DeconvolveConfig(source="sample-photo"))
figure = nd.plot_deconvolve(photograph)

# %%
# Afterwards the covariance of 3×3 patches is nearly the identity. The remaining correlations are due to the ridge: a
# smaller eps leaves less of them.

covariance = nd.run_covariance(nd.CovarianceConfig(source="sample", images=8))
figure = nd.plot_covariance(covariance)

# %%
# Deconvolved values are sparse: many lie near zero, and a few are large. The normal and the Laplace distribution are
# drawn for comparison.

sparsity = nd.run_sparsity(nd.SparsityConfig(source="sample", images=8, bootstrap=0))
figure = nd.plot_sparsity(sparsity)
