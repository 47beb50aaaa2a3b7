"""How sparse images are before and after deconvolution (Ye et al. 2020, fig. 10; fig. 9 of the first version)."""
