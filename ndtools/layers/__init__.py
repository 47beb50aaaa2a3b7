"""Layers that decorrelate their input before they use it (Ye et al. 2020, sec. 4)."""
