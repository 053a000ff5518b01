"""Sources, the bars contract, quality and splits."""
