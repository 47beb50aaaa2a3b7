"""One module per experiment: result -> matplotlib Figure, without pyplot state."""
