"""Training runs beside one another: learning curves, final accuracies, and what was published (figs. 8 and 12)."""
