"""
When Newton-Schulz breaks
=========================

A^(-1/2) can be computed by matrix products alone, which is fast on a GPU: by the Newton-Schulz iteration. Its vanilla
form diverges on the covariance of a photograph. Its coupled form, which updates two matrices together, does not.
"""

import torch

import ndtools as nd

result = nd.run_ns_stability(nd.NsStabilityConfig(source="sample-photo", iterations=30))
figure = nd.plot_ns_stability(result)

# %%
# The same can be followed on any symmetric positive definite matrix, in any precision:

a = torch.diag(torch.logspace(-4, 0, 27, dtype=torch.float64))
for step in nd.inverse_sqrt_trace(a, nd.CoupledNewtonSchulz(), n_iter=15, dtype=torch.float32):
    if step.iteration % 5 == 0:
        print(f"iteration {step.iteration}, {step.products} products: residual {step.residual:.2g}")
