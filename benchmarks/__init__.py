"""Benchmarks: one file each, against its peers."""
