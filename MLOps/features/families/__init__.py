"""The catalogue's families: one file each, one table of features each."""
