"""Whitening as a transform of images and of rows of features, within the pipelines of other libraries."""
