"""Signals and volumes: channels over time, and channels over three axes of space, from files and made in code."""
