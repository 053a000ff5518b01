"""Trains networks; under `torchrun` all ranks together. The arguments are a folder for what rank 0 saves, and the names
of the CASES. In its first start under KILL_AT_UPDATE rank 0 kills itself there."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from MLOps.predictors import ranks, training
from tests.predictors.markets import NETWORKS, SmallMarket, fit, small_market

# 61 labels a batch, so that the shares of two ranks differ.
COMMON: dict[str, Any] = {"batch_size": 61, "max_epochs": 2, "dropout": 0.0}
CASES: dict[str, dict[str, Any]] = {
    "windows": {**NETWORKS["lstm"], **COMMON},
    "sequences": {
        **NETWORKS["lstm_sequence"], **COMMON, "sequence_bars": 16, "class_loss_weight": 0.6, "return_loss_weight": 0.4,
    },
    # A sequence fills a batch, so that the second rank's share is empty.
    "one_sequence": {**NETWORKS["lstm_sequence"], **COMMON, "sequence_bars": 61},
    "parallel_batch_norms": {**NETWORKS["hybrid"], **COMMON},
    "stacked_batch_norms": {**NETWORKS["cnn_lstm"], **COMMON},
    "dropout": {**NETWORKS["hybrid"], **COMMON, "dropout": 0.3},
}  # fmt: skip


def market() -> SmallMarket:
    return small_market(100.0, symbols=2, bars=250)


def kill_at(update: int) -> None:
    """Let rank 0 be killed before that update, in the first start alone; write a checkpoint after each one before."""
    done, update_once = 0, training.Training._update
    training.SAVE_SECONDS = 0.0

    def counted(self: training.Training, firsts: Any, counts: Any) -> tuple[float, float]:
        nonlocal done
        if done == update and ranks.rank() == 0 and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
            os.kill(os.getpid(), signal.SIGKILL)
        done += 1
        return update_once(self, firsts, counts)

    training.Training._update = counted  # type: ignore[method-assign]


def main(folder: Path, names: list[str]) -> None:
    with ranks.joined():
        if "KILL_AT_UPDATE" in os.environ:
            kill_at(int(os.environ["KILL_AT_UPDATE"]))
        for name in names:
            predictor = fit(CASES[name], market(), folder / "checkpoints")
            if ranks.rank() == 0:
                predictor.save(folder / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
