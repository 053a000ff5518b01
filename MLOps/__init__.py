"""From raw market bars to a served trading agent, as one reproducible pipeline."""
