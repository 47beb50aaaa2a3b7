"""One image and its deconvolution (Ye et al. 2020, fig. 4)."""
