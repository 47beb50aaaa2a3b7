"""Find, decode and generate images and data sets."""
