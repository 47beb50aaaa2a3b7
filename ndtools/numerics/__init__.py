"""Pure tensor functions: patches, covariances, inverse square roots, deconvolution."""
