"""The stages of dvc.yaml: one thin script each, that reads, calls, writes and reports."""
