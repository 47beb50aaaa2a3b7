"""What sets of images differ in: their kernels, responses, correlations and sparsity, with standard errors."""
