"""The covariance of patches before and after deconvolution (Ye et al. 2020, fig. 3)."""
