"""A perceptron with sigmoids, without normalisation, with BN, with deconvolution (Ye et al. 2020, fig. 5 c, d)."""
