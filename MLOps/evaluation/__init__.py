"""How good it is: metrics, baselines, backtest, statistics, the gate, figures."""
