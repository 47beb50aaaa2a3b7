"""Data sets with labels: finding, reading and downloading their files."""
