"""Where images come from: files, folders, archives, decoding, and images made in code."""
