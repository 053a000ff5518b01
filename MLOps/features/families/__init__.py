"""Families of features: each file holds one table of features."""
