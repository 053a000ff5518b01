"""Drift monitoring: whether new bars, forecasts, decisions and returns are like those that a model was made on."""
