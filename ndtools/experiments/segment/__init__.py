"""Training of networks that label each pixel of a scene, by the recipe of DeepLabV3 (Ye et al. 2020, v2, fig. 6)."""
