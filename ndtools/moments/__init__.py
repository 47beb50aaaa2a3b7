"""Moments of the patches of image sets: accumulated image by image, added, and stored in files."""
