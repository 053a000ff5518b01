"""Statistics of returns and forecasts, independent of predictors, agents and files."""
