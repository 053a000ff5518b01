"""The windows of a walk-forward evaluation: consecutive test spans, each with the spans before it that train for it.

Pardo, The Evaluation and Optimization of Trading Strategies (2nd edition, 2008), chapter 11.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from MLOps.config.splits import SplitConfig
from MLOps.config.walk_forward import WalkForwardConfig
from MLOps.data.splits import TICK, LearningSplits, Splits, cuts, split_at, split_without_test, timeline_of
from MLOps.errors import UserError


@dataclass(frozen=True)
class Window:
    """The first bar of each span of a window, and the end of the test span, before which lie all bars it may know.

    The test span of every window but the last ends with the first bar of the next one's: there the next model makes its
    first decision, and the positions of this one earn their last return. So every bar has exactly one return.
    """

    train: pd.Timestamp
    validation: pd.Timestamp
    test: pd.Timestamp
    end: pd.Timestamp

    def known(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows of a table of bars that are known at the window's end."""
        return table[table["timestamp"] < self.end].reset_index(drop=True)

    def splits(self, timestamps: pd.Series, config: SplitConfig) -> Splits:
        """The spans of the window on the timestamps of the bars that it knows.

        Raises:
            UserError: one of the spans is too short.
        """
        timeline = timeline_of(timestamps)
        train, validation, test = (timeline.searchsorted(cut) for cut in (self.train, self.validation, self.test))
        return split_at(timeline, int(train), int(validation), int(test), config)


def windows_of(timestamps: pd.Series, splits: SplitConfig, config: WalkForwardConfig) -> list[Window]:
    """The windows, the earliest first; the last one has the spans of the pipeline.

    The validation span of each is as long as the pipeline's.

    Args:
        timestamps: of all bars.

    Raises:
        UserError: no bar is left to train the earliest one.
    """
    return _windows(timestamps, splits, config, config.windows)


def _windows(timestamps: pd.Series, splits: SplitConfig, config: WalkForwardConfig, count: int) -> list[Window]:
    """See `windows_of`; `count` in place of the configured number."""
    timeline = timeline_of(timestamps)
    validation, test = cuts(timeline, splits)
    step = _test_bars(timeline, splits, config)
    earlier = (count - 1) * step
    if earlier >= validation:
        raise UserError(
            f"splits: the earliest of {count} windows has no bar in its training span, of {len(timeline)} timestamps; "
            "add bars or lower walk_forward.windows"
        )
    return [
        Window(
            train=timeline[earlier - back if config.training == "sliding" else 0],
            validation=timeline[validation - back],
            test=timeline[test - back],
            end=(timeline[test - back + step] if back else timeline[-1]) + TICK,
        )
        for back in range(earlier, -1, -step)
    ]


def refit_splits(timestamps: pd.Series, splits: SplitConfig, config: WalkForwardConfig) -> LearningSplits:
    """The spans of a refit on all bars: those of the window that would follow the last one.

    The validation span, as long as the pipeline's, ends with the last bar. The training span before it begins with the
    first bar, or, if `config.training` is `sliding`, has as many bars as that of every window.

    Args:
        timestamps: of all bars.

    Raises:
        UserError: one of the spans is too short.
    """
    timeline = timeline_of(timestamps)
    validation, test = cuts(timeline, splits)
    *_, own = windows_of(timestamps, splits, config)
    forward = len(timeline) - (test - splits.embargo_bars)
    start = int(timeline.searchsorted(own.train)) + forward if config.training == "sliding" else 0
    return split_without_test(timeline, start, validation + forward, splits)


def require_refit(
    timestamps: pd.Series, splits: SplitConfig, config: WalkForwardConfig, check: Callable[[LearningSplits], None]
) -> None:
    """Check that the bars are enough for a refit.

    Args:
        check: raises a UserError if the spans have too few bars.

    Raises:
        UserError: they are not.
    """
    try:
        check(refit_splits(timestamps, splits, config))
    except UserError as error:
        raise UserError(f"walk_forward.refit: {error}, or set walk_forward.refit to false") from None


def require_windows(
    timestamps: pd.Series, splits: SplitConfig, config: WalkForwardConfig, check: Callable[[Window], None]
) -> None:
    """Check that the bars are enough for every window.

    Args:
        check: raises a UserError if the window has too few bars.

    Raises:
        UserError: one has too few; the message says how many windows fit.
    """

    def mistake(windows: int) -> UserError | None:
        try:
            for window in _windows(timestamps, splits, config, windows):
                check(window)
        except UserError as error:
            return error
        return None

    if (reason := mistake(config.windows)) is None:
        return
    fitting = next((windows for windows in range(config.windows - 1, 0, -1) if mistake(windows) is None), None)
    if fitting is None:
        raise reason
    test_bars = _test_bars(timeline_of(timestamps), splits, config)
    raise UserError(
        f"walk_forward.windows: expected at most {fitting} with test spans of {test_bars} bars, found "
        f"{config.windows}, which leave too little before the earliest ({str(reason).partition(';')[0]}); set windows "
        f"to {fitting} or lower walk_forward.test_bars"
    )


def _test_bars(timeline: pd.DatetimeIndex, splits: SplitConfig, config: WalkForwardConfig) -> int:
    """The length of the earlier windows' test spans, in timestamps."""
    return config.test_bars or len(timeline) - cuts(timeline, splits)[1]
