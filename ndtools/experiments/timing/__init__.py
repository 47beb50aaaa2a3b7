"""What each stage of a deconvolution layer costs beside its convolution (Ye et al. 2020, table 3)."""
