"""
Kernels of a set of images
==========================

The deconvolution kernels of images are the rows of D = (Cov + eps·I)^(-1/2) that belong to the centre pixel of a patch.
Cov is the covariance of all k×k patches, and the ridge eps limits how strongly D amplifies weak patterns.
"""

import ndtools as nd

# Eight of the built-in images, and patches of 9×9 pixels.
result = nd.run_kernels(nd.KernelsConfig(source="sample", images=8, kernel_size=9))
figure = nd.plot_kernels(result)

# %%
# Each column of the picture is an output channel. The kernel of a channel on itself has a strong centre and a surround
# of the opposite sign. The kernels on the other channels subtract them at the centre.
#
# The ridge decides how strong the centre is, so kernels are compared at equal eps:

for eps in (1e-1, 1e-2, 1e-3):
    kernels = nd.run_kernels(nd.KernelsConfig(source="sample", images=8, kernel_size=9, eps=eps)).kernels
    print(f"eps {eps:g}: centre of the green kernel {kernels[1, 1, 4, 4]:.3g}")
