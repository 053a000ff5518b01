"""From judged raw bars to the bars that all later stages share: adjusted, holes treated, short lives left out."""

import pandas as pd

from MLOps.data.adjust import adjust
from MLOps.data.bars import VOLUME, check_bars
from MLOps.data.quality import ROWS_SHOWN, Finding, missing_bars, symbols_without_volume
from MLOps.data.splits import MIN_BARS, Splits
from MLOps.errors import UserError

TRADED_BARS = 20  # after its first decision; a symbol with fewer tells nothing


def settle(raw: pd.DataFrame, on_missing: str, required_bars: int, where: str) -> tuple[pd.DataFrame, list[Finding]]:
    """Make bars in contract form of raw bars without errors.

    Args:
        on_missing: "drop_timestamp" leaves out, for all symbols, the timestamps at which one of them lacks a bar within
            its life; with anything else the hole stays.
        required_bars: of a symbol, the newest included, for one decision.
        where: begins each sentence.

    Returns:
        The bars; and what was left out of them, as findings.

    Raises:
        UserError: no symbol lives long enough.
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
            f"{required_bars}), the longest is {longest} with {left_out[longest]}; give more bars, or take features "
            "with long warm-ups out"
        )
    if left_out:
        rows = tuple(f"{symbol} {count} bars" for symbol, count in sorted(left_out.items())[:ROWS_SHOWN])
        advice = f"nothing, or give {needed_bars} bars: the symbol is left out everywhere"
        findings.append(Finding("symbol too short", "warning", len(left_out), rows, advice))
    return check_bars(bars, where), findings


def require_history(bars: pd.DataFrame, splits: Splits, required_bars: int, where: str) -> None:
    """Refuse bars whose training span leaves no predictor anything to learn from.

    Raises:
        UserError: no symbol has `required_bars` and MIN_BARS more in the training span.
    """
    in_training = bars[splits.train.rows(bars["timestamp"])].groupby("symbol").size()
    if in_training.max() < required_bars + MIN_BARS:
        raise UserError(
            f"{where}: expected a symbol with at least {required_bars + MIN_BARS} bars in the training span (warm-up "
            f"and look-back take {required_bars}), the most is {in_training.max()}; give more bars, or shorten "
            "lookback_bars or the warm-up of the features"
        )
