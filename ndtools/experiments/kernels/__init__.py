"""The deconvolution kernels of an image set (Ye et al. 2020, fig. 2)."""
