"""Statistics of returns and of forecasts; nothing here knows predictors, agents or files."""
