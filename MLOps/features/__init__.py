"""Bars to features and labels; the scaler; the causality prober."""
