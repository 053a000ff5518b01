"""Runs, metrics and figures in MLflow."""
