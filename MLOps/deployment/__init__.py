"""Models as MLflow logs, loads and serves them."""
