"""Raw bars that passed the quality checks to the final bars: adjust prices, treat missing bars, drop short symbols."""

import pandas as pd

from MLOps.data.adjust import adjust
from MLOps.data.bars import VOLUME, check_bars
from MLOps.data.quality import ROWS_SHOWN, Finding, missing_bars, symbols_without_volume
from MLOps.data.splits import MIN_BARS, LearningSplits
from MLOps.errors import UserError

TRADED_BARS = 20  # least number of bars of a symbol after its first decision; fewer allow no evaluation


def settle(raw: pd.DataFrame, on_missing: str, required_bars: int, where: str) -> tuple[pd.DataFrame, list[Finding]]:
    """Convert raw bars without errors to bars in contract form.

    Args:
        on_missing: "drop_timestamp" drops, for all symbols, the timestamps at which a symbol lacks a bar between its
            first and last; any other value keeps the gap.
        required_bars: bars of a symbol, the newest included, that one decision needs.
        where: prefix of error messages.

    Returns:
        The bars, and a finding for everything that was left out.

    Raises:
        UserError: no symbol has enough bars.
    """
    bars = adjust(raw)
    if symbols_without_volume(bars):
        bars = bars.drop(columns=VOLUME, errors="ignore")
    needed_bars = required_bars + TRADED_BARS
    left_out: dict[str, int] = {}

    def long_lived() -> pd.DataFrame:
        lives = bars.groupby("symbol")["timestamp"].size()
        left_out.update(lives[lives < needed_bars].astype(int).to_dict())
        return bars[~bars["symbol"].isin(list(left_out))]

    bars = long_lived()
    findings = []
    dropped = missing_bars(bars)["timestamp"].drop_duplicates().sort_values() if on_missing == "drop_timestamp" else []
    if len(dropped):
        bars = bars[~bars["timestamp"].isin(dropped)]
        rows = tuple(stamp.isoformat() for stamp in dropped[:ROWS_SHOWN])
        advice = "nothing: data.on_missing is drop_timestamp"
        findings.append(Finding("timestamp dropped", "warning", len(dropped), rows, advice))
        bars = long_lived()
    if bars.empty:
        longest = max(left_out, key=lambda symbol: left_out[symbol])
        raise UserError(
            f"{where}: expected a symbol with at least {needed_bars} bars (warm-up and look-back take "
            f"{required_bars}), the longest is {longest} with {left_out[longest]}; add bars, or remove features "
            "with long warm-ups"
        )
    if left_out:
        rows = tuple(f"{symbol} {count} bars" for symbol, count in sorted(left_out.items())[:ROWS_SHOWN])
        advice = f"nothing, or provide at least {needed_bars} bars: the symbol is left out everywhere"
        findings.append(Finding("symbol too short", "warning", len(left_out), rows, advice))
    return check_bars(bars, where), findings


def require_history(bars: pd.DataFrame, splits: LearningSplits, required_bars: int, where: str) -> None:
    """Check that a predictor has rows to train on.

    Raises:
        UserError: no symbol has at least `required_bars` + MIN_BARS bars in the training span.
    """
    in_training = bars[splits.train.rows(bars["timestamp"])].groupby("symbol").size()
    if in_training.max() < required_bars + MIN_BARS:
        raise UserError(
            f"{where}: expected a symbol with at least {required_bars + MIN_BARS} bars in the training span (warm-up "
            f"and look-back take {required_bars}), the most is {in_training.max()}; add bars, or shorten "
            "lookback_bars or the warm-up of the features"
        )
