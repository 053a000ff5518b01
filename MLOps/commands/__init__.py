"""The command line: `python -m MLOps`, or `mlops-trading` where the package is installed."""
