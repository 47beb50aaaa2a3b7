"""Networks in files: which network a file holds, its tensors, and the files of the published code."""
