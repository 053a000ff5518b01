"""The stages of dvc.yaml: one thin script each, that reads, calls, writes and reports."""

from MLOps.pipelines import interruption

# Before the first import that takes long.
interruption.install()
