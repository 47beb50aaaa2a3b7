"""Image sources: files, folders and archives, their decoding, and generated images."""
