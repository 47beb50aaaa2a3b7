"""How fast networks are at testing time: with deconvolution, folded, with batch normalisation, and plain."""
