"""Training of networks: one run for each combination of settings, each in a folder of its own."""
