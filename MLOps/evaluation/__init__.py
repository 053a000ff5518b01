"""Verdicts on predictors, baselines, backtest, performance, the promotion gate and plots."""
