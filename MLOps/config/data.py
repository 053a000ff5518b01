"""The section `data:` of params.yaml: where bars come from, and how they are judged and settled."""

from dataclasses import field
from typing import Annotated, Literal

from pydantic import Field

from MLOps.config.schema import section
from MLOps.config.types import Auto, Count, Fraction, Names, NonNegative, Positive, PositiveNumber

Day = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]


@section
class CsvConfig:
    """`data.source: csv`: one file in the columns of the bars contract."""

    path: str


@section
class FilesConfig:
    """`data.source: files`: a file, or a folder with one file a symbol, in any of the usual spellings.

    `columns` maps unusual names of the file to those of the bars contract; null leaves a column out.
    """

    path: str
    columns: dict[str, Literal["timestamp", "symbol", "open", "high", "low", "close", "adj_close", "volume"] | None] = (
        field(default_factory=dict)
    )


@section
class YahooConfig:
    """`data.source: yahoo`: daily bars of the days start <= day < end."""

    symbols: Names
    start: Day
    end: Day


@section
class CcxtConfig:
    """`data.source: ccxt`: bars of an exchange that ccxt knows, start <= time < end; `timeframe` as in ccxt: 1h, 1d."""

    exchange: str
    symbols: Names
    timeframe: str
    start: Day
    end: Day


@section
class SyntheticConfig:
    """`data.source: synthetic`: a random walk in which a planted edge of known size may be hidden.

    `edge_bps` is the mean log return of a bar whose sign the previous bars announce; 0 is a pure random walk.
    """

    symbols: Positive
    bars: Positive
    volatility_bps: PositiveNumber
    edge_bps: NonNegative
    regime_bars: Positive


@section
class LabelledConfig:
    """`data.source: labelled`: a table with a column of ids, one of target scores, and features: those named, or with
    null every other column. Rows keep the file's order, or are sorted by the column `time`."""

    path: str
    id: str
    target: str
    features: Names | None
    time: str | None = None


@section
class SentimentConfig:
    """What was published about the symbols, joined to the bars as of their close.

    `path` is a CSV file with `published` (a time with its zone, or in UTC), `symbol`, and `score` in [-1, 1] or
    `headline`, which is then scored. What is published counts as known `publication_delay_minutes` later. With
    `close_minutes: auto` a bar closes when the calendar and the bars' spacing say so; a number of minutes from a bar's
    timestamp to its close may not be later than that.
    """

    enabled: bool
    path: str
    publication_delay_minutes: Count
    close_minutes: Auto | Count = "auto"


@section
class DataConfig:
    """Where bars come from, and how they are judged and settled.

    Attributes:
        calendar: the exchange calendar of the bars (XNYS, 24/7, …); auto takes the one that fits, null the timestamps
            at which any symbol has a bar.
        bars_per_year: what ratios are annualised by; auto takes it from the calendar and the bars' spacing.
        on_missing: what to do where a symbol lacks a bar that others have: stop, drop the timestamp for all symbols, or
            trade the symbol without it.
        accept_findings: findings of severity error, by name, that are true of the market and shall not stop the run.
    """

    source: Literal["sample", "csv", "files", "yahoo", "ccxt", "synthetic", "labelled"]
    on_duplicate: Literal["error", "keep_last"]
    on_unsorted: Literal["error", "sort"]
    quality_threshold: Fraction
    csv: CsvConfig
    files: FilesConfig
    yahoo: YahooConfig
    ccxt: CcxtConfig
    synthetic: SyntheticConfig
    labelled: LabelledConfig
    sentiment: SentimentConfig
    calendar: str | None = "auto"
    bars_per_year: Auto | PositiveNumber = "auto"
    on_missing: Literal["error", "drop_timestamp", "trade_without"] = "trade_without"
    accept_findings: tuple[str, ...] = ()
