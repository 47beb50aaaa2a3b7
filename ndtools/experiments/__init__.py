"""One folder for each figure or table of the paper: configuration, computation, figure and command."""
