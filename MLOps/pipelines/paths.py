"""Where stages leave what later stages read; dvc.yaml names the same places."""

from pathlib import Path

USES = Path("reports/uses")  # the hashes of what each stage uses: see prepare.py
RAW_BARS = Path("data/raw/bars.parquet")
BARS = Path("data/processed/bars.parquet")
CLOCK = Path("data/processed/clock.json")
QUALITY = Path("reports/quality.json")
FEATURES = Path("data/processed/features")  # a folder: see MLOps/features/dataset.py
LABELS = Path("data/processed/labels.parquet")
SPLITS = Path("data/processed/splits.json")
FEATURE_PIPELINE = Path("data/processed/feature_pipeline.json")
PREDICTORS = Path("models/predictors")
CHECKPOINTS = Path(".cache/training")  # no stage's output: what DVC deletes before a run is not there to resume
SEARCH = Path(".cache/search")
TUNED = Path("models/tuned")
TUNED_AGENTS = Path("models/tuned_agents")
EXPORTS = Path("models/exports")  # beside the predictors, whose folders hold data alone
PREDICTOR_SIGNALS = Path("data/processed/signals")
VERDICTS = Path("reports/verdicts.json")
SIGNALS = Path("data/processed/signals.parquet")
AGENTS = Path("models/agents")
AGENT_ENSEMBLE = Path("models/agent_ensemble")
REFIT = Path("models/refit")
CHOICE = Path("reports/choice.json")
BACKTEST = Path("reports/backtest/report.json")
PREDICTOR_SCORES = Path("reports/backtest/predictors.json")
RETURNS = Path("reports/backtest/returns.parquet")
LEDGERS = Path("reports/backtest/ledgers.parquet")
WALK_FORWARD = Path("reports/walk_forward")
WALK_FORWARD_REPORT = WALK_FORWARD / "report.json"
WALK_FORWARD_RETURNS = WALK_FORWARD / "returns.parquet"
VERDICT = Path("reports/verdict.json")  # the gate's
TRIALS = Path("reports/trials.json")  # that the gate counted
WINDOWS = Path(".cache/walk_forward")  # finished windows, and checkpoints of the others
DVC_LOCK = Path(".cache/dvc.lock")  # a copy of DVC's lock file, as it was when `prepare` ran last
LOGS = Path(".cache/logs")  # what a stage said when it ran last; its run in MLflow has it too
HEADLINES = Path("reports/metrics.json")
METRICS = Path("reports/metrics")
HISTORY = Path("reports/history")
RECORDS = Path("reports/records")
PAGE = Path("reports/index.html")
MONITORING = Path("reports/monitoring.json")  # what `python -m MLOps monitor` found last; no stage reads it
MONITORING_PAGE = Path("reports/monitoring.html")
