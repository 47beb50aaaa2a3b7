"""Estimation of a blur kernel from a sharp and a blurred image (Ye et al. 2020, sec. 4.4.1 and fig. 1)."""
