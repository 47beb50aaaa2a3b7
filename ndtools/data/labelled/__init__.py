"""Data sets with labels: where they are, how their files are read, and how they are fetched."""
