"""Devices, threads and memory that computations use."""
