"""Linear and logistic regression on images, where learning rate 1 is optimal (Ye et al. 2020, fig. 5 a, b)."""
