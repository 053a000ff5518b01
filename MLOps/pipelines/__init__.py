"""The stages of dvc.yaml: one thin script each, that reads, calls, writes and reports."""

from MLOps.experiment_tracking.processes import end_with_dvc
from MLOps.pipelines import interruption

# Both before the first import that takes long.
interruption.install()
end_with_dvc()
