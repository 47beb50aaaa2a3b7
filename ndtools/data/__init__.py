"""Images and data sets: finding, decoding and making them."""
