"""Colours and panels that the figures of several experiments share."""
