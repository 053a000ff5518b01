"""Two versions compared by what their decisions earned in service, with a test that may be looked at every day."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from MLOps.config.serving import SHADOW
from MLOps.errors import UserError
from MLOps.statistics.confidence_sequence import MIN_VALUES, mean_sequence

CONFIDENCE = 0.95
# The intervals are tightest after about two years of trading days. A daily mean difference of a sixth of its standard
# deviation (an annual Sharpe ratio of 2.6) is then found with a probability of 80 %.
TIGHTEST_AT_DAYS = 500
PAIR = ["request", "symbol"]


@dataclass(frozen=True, eq=False)
class LiveComparison:
    """Differences of what `first` and `second` earned, first less second.

    Attributes:
        days: (n,) with outcomes of both.
        differences: (n,) of a day, the sum over its bars of the mean difference of an account.
        lower, upper: (n,) the confidence sequence of the mean difference, as known on each day.
        paired: whether both decided on the same requests (shadow), or on those of different accounts (split).
        decisions: that were compared, of both versions.
    """

    first: str
    second: str
    days: np.ndarray
    differences: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    paired: bool
    decisions: int

    @property
    def verdict(self) -> str:
        """A decision stands: later days do not take it back."""
        above, below = np.flatnonzero(self.lower > 0), np.flatnonzero(self.upper < 0)
        if not len(above) and not len(below):
            return "undecided"
        is_better = bool(len(above)) and (not len(below) or above[0] < below[0])
        return "better" if is_better else "worse"

    def as_dict(self) -> dict[str, Any]:
        is_known = len(self.days) >= MIN_VALUES
        return {
            "first": self.first,
            "second": self.second,
            "verdict": self.verdict,
            "days": len(self.days),
            "from": str(self.days[0])[:10],
            "to": str(self.days[-1])[:10],
            "mean_difference": float(self.differences.mean()),
            "lower": float(self.lower[-1]) if is_known else None,
            "upper": float(self.upper[-1]) if is_known else None,
            "confidence": CONFIDENCE,
            "paired": self.paired,
            "decisions": self.decisions,
        }

    @property
    def words(self) -> str:
        values = self.as_dict()
        how = "on the same requests" if self.paired else "on different accounts"
        bounds = (
            f"between {values['lower']:.4%} and {values['upper']:.4%}, at all times with confidence {CONFIDENCE:.0%}"
            if values["lower"] is not None
            else f"with bounds from {MIN_VALUES} days on"
        )
        said = {
            "better": f"version {self.first} earns more than version {self.second}",
            "worse": f"version {self.first} earns less than version {self.second}",
            "undecided": "neither is better by now; go on",
        }[self.verdict]
        return (
            f"version {self.first} less version {self.second}, {how}, {values['days']} days ({values['from']} to "
            f"{values['to']}): {values['mean_difference']:.4%} a day, {bounds}: {said}"
        )


def compare_live(outcomes: pd.DataFrame, first: str, second: str) -> LiveComparison:
    """Compare two versions by their outcomes.

    Only days that are over count, so that the figure of a day is final. Where one has decided in the shadow of the
    other, the same requests are compared, symbol by symbol, both from the account of the one that answers. In a split,
    the mean decisions of both at the same bar are. Where there is both, the comparison with more days counts.

    Raises:
        UserError: they are one version, or have no bar in common on a day that is over.
    """
    if first == second:
        raise UserError(f"expected two versions, found {first} twice; name another")
    known = outcomes.drop_duplicates([*PAIR, "version", "role"])
    # The sum of the newest day is not known before the next has begun.
    known = known[known["timestamp"].dt.floor("D") < known["timestamp"].max().floor("D")]
    own, other = (known[known["version"] == version] for version in (first, second))
    pairs = own.merge(other, on=[*PAIR, "timestamp"], suffixes=("", "_other"))
    pairs = pairs[(pairs["role"] == SHADOW) != (pairs["role_other"] == SHADOW)]
    of_pairs = _by_day(_by_bar(pairs.assign(earned=pairs["earned"] - pairs["earned_other"])))
    own, other = own[own["role"] != SHADOW], other[other["role"] != SHADOW]
    at_both = (_by_bar(own) - _by_bar(other)).dropna()
    of_accounts = _by_day(at_both)
    is_paired = len(of_pairs) >= len(of_accounts)
    if is_paired:
        by_day, decisions = of_pairs, 2 * len(pairs)
    else:
        by_day = of_accounts
        decisions = int(sum(table["timestamp"].isin(at_both.index).sum() for table in (own, other)))
    if by_day.empty:
        raise UserError(
            f"versions {first} and {second} have no outcome at the same bar of a day that is over; serve with "
            "serving.policy shadow or split, and run `python -m MLOps outcomes` when later bars are there"
        )
    differences = by_day.to_numpy()
    lower, upper = mean_sequence(differences, CONFIDENCE, TIGHTEST_AT_DAYS)
    days = by_day.index.tz_localize(None).to_numpy()
    return LiveComparison(first, second, days, differences, lower, upper, is_paired, decisions)


def _by_bar(decisions: pd.DataFrame) -> pd.Series:
    """The mean return of an account at each bar: decisions of one portfolio are summed, each being a part of it."""
    account = decisions["symbol"].mask(decisions["portfolio"], "")
    of_accounts = decisions.groupby(["timestamp", "request", "role", account])["earned"].sum()
    return of_accounts.groupby(level="timestamp").mean()


def _by_day(by_bar: pd.Series) -> pd.Series:
    """Sums, since bars of one day depend on each other more than days do."""
    return by_bar.groupby(by_bar.index.tz_convert("UTC").floor("D")).sum()
