"""Figures and tables that can be run again, one module for each."""
