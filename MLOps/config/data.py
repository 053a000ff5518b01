"""The section `data:` of params.yaml: the source of bars, quality checks and preparation."""

from dataclasses import field
from typing import Literal

from pydantic import model_validator

from MLOps.config.schema import section
from MLOps.config.types import Auto, Count, Day, Fraction, Names, NonNegative, Positive, PositiveNumber

DOWNLOADED = ("yahoo", "ccxt")


@section
class CsvConfig:
    """`data.source: csv`: one file with the columns of the bars contract.

    Attributes:
        path: the file.
    """

    path: str


@section
class FilesConfig:
    """`data.source: files`: a file, or a folder with one file per symbol, with any of the usual column names.

    Attributes:
        path: the file or folder.
        columns: maps other column names to those of the bars contract; null drops a column.
    """

    path: str
    columns: dict[str, Literal["timestamp", "symbol", "open", "high", "low", "close", "adj_close", "volume"] | None] = (
        field(default_factory=dict)
    )


@section
class CcxtConfig:
    """`data.source: ccxt`: bars of an exchange that ccxt supports.

    Attributes:
        exchange: as ccxt names it.
        timeframe: spacing of the bars, as 1h or 1d.
    """

    exchange: str
    timeframe: str


@section
class SyntheticConfig:
    """`data.source: synthetic`: a random walk with a predictable drift of known size.

    Attributes:
        symbols: number of symbols.
        bars: of each symbol.
        volatility_bps: standard deviation of a bar's log return.
        edge_bps: size of the drift per bar, in log return, whose sign previous bars predict; 0 is a pure random walk.
        regime_bars: mean number of bars until the drift changes its sign.
    """

    symbols: Positive
    bars: Positive
    volatility_bps: PositiveNumber
    edge_bps: NonNegative
    regime_bars: Positive


@section
class LabelledConfig:
    """`data.source: labelled`: a table with a column of ids, one of target scores, and feature columns.

    Attributes:
        path: the file.
        id: column with the unique name of each row.
        target: column with the score of each row; empty where it is not known yet.
        features: columns to take as features; null takes all others.
        time: column of numbers or times to sort the rows by; null keeps the file's order.
        test_path: a second table with the same columns, of which the target may be absent; its rows follow those of the
            first and are the test span.
    """

    path: str
    id: str
    target: str
    features: Names | None
    time: str | None = None
    test_path: str | None = None


@section
class SentimentConfig:
    """Sentiment of published items, joined to the bars as of their close.

    Attributes:
        enabled: whether the items are joined.
        path: CSV file with `published` (a time with time zone, or in UTC), `symbol`, and `score` in [-1, 1] or
            `headline`, which is then scored.
        publication_delay_minutes: from an item's publication until it is known.
        close_minutes: from a bar's timestamp to its close; auto takes it from the calendar and the bars' spacing, and a
            number must not be later than that.
    """

    enabled: bool
    path: str
    publication_delay_minutes: Count
    close_minutes: Auto | Count = "auto"


@section
class DataConfig:
    """Source of bars, quality checks and preparation.

    Attributes:
        source: where the bars come from.
        symbols: symbols to use; null takes all that the source has. A source that downloads needs them.
        start: first day to use, in UTC; null starts with the source's first bar. A source that downloads needs it.
        end: day after the last one to use; null ends with the source's last bar. A source that downloads needs it.
        on_duplicate: what happens to bars of the same symbol and time: an error, or the last one is kept.
        on_unsorted: what happens to rows out of order in time.
        on_empty: what happens to rows of a file in which a price is empty or 0: an error, or they are dropped and count
            as missing bars.
        quality_threshold: least quality score, the share of expected bars without a finding.
        calendar: the exchange calendar of the bars (XNYS, 24/7, …); auto chooses the one that fits, null uses the
            timestamps at which any symbol has a bar.
        bars_per_year: annualises ratios; auto derives it from the calendar and the bars' spacing.
        on_missing: if a symbol lacks a bar that others have: stop, drop the timestamp for all symbols, or trade the
            symbol without it.
        accept_findings: names of findings of severity error that are true of the market and must not stop the run.
        drop_findings: names of findings whose bars are dropped and count as missing.
    """

    source: Literal["sample", "csv", "files", "yahoo", "ccxt", "synthetic", "labelled"]
    on_duplicate: Literal["error", "keep_last"]
    on_unsorted: Literal["error", "sort"]
    quality_threshold: Fraction
    csv: CsvConfig
    files: FilesConfig
    ccxt: CcxtConfig
    synthetic: SyntheticConfig
    labelled: LabelledConfig
    sentiment: SentimentConfig
    calendar: str | None = "auto"
    bars_per_year: Auto | PositiveNumber = "auto"
    on_empty: Literal["error", "drop"] = "error"
    on_missing: Literal["error", "drop_timestamp", "trade_without"] = "trade_without"
    accept_findings: tuple[str, ...] = ()
    drop_findings: tuple[str, ...] = ()
    symbols: Names | None = None
    start: Day | None = None
    end: Day | None = None

    @model_validator(mode="after")
    def _selection_fits_the_source(self) -> "DataConfig":
        selection = {"symbols": self.symbols, "start": self.start, "end": self.end}
        for key, value in selection.items():
            if self.source in DOWNLOADED and value is None:
                example = "[AAPL, MSFT]" if key == "symbols" else '"2024-01-31"'
                raise ValueError(f"{key} must be given for the source {self.source}; set data.{key}, as {example}")
            if self.source == "labelled" and value is not None:
                raise ValueError(f"{key} selects bars, which a labelled table does not have; set data.{key}: null")
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise ValueError(f"start must be before end, found {self.start} and {self.end}; change one of them")
        return self
