"""What a layer of a network sees, before and after its deconvolution (Ye et al. 2020, fig. 11; once fig. 10)."""
