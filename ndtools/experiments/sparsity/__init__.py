"""How sparse images are before and after deconvolution (Ye et al. 2020, fig. 9; fig. 10 of the second version)."""
