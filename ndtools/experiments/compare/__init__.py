"""Training runs beside one another: learning curves, final accuracies, and what was published (figs. 7, 8, 11, 12)."""
