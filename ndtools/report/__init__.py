"""One self-contained HTML page of results, of training runs, and of what a reproduction found."""
