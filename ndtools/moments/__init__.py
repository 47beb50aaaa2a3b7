"""Moments of the patches of image sets: gathered image by image, added up, and kept in files."""
