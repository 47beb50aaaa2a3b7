"""Signals and volumes and their deconvolution: the kernels of channels over time, or over three axes of space."""
