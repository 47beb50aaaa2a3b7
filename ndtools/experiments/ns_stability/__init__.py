"""How stable iterations towards A^(-1/2) are (Ye et al. 2020, fig. 7; fig. 6 of the first version)."""
