"""The bundle that is promoted, and its versions and aliases in the registry."""
