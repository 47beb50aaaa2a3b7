"""Training of networks on labelled images: recipe, batches, the loop, and states from which a run goes on."""
