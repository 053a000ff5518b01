"""The section `data:` of params.yaml: the source of bars, quality checks and preparation."""

from dataclasses import field
from typing import Annotated, Literal

from pydantic import Field

from MLOps.config.schema import section
from MLOps.config.types import Auto, Count, Fraction, Names, NonNegative, Positive, PositiveNumber

Day = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]


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
class YahooConfig:
    """`data.source: yahoo`: daily bars.

    Attributes:
        symbols: as Yahoo spells them.
        start: first day.
        end: the day after the last.
    """

    symbols: Names
    start: Day
    end: Day


@section
class CcxtConfig:
    """`data.source: ccxt`: bars of an exchange that ccxt supports.

    Attributes:
        exchange: as ccxt names it.
        symbols: pairs, as BTC/USD.
        timeframe: spacing of the bars, as 1h or 1d.
        start: first day (UTC).
        end: the day after the last.
    """

    exchange: str
    symbols: Names
    timeframe: str
    start: Day
    end: Day


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
    """

    path: str
    id: str
    target: str
    features: Names | None
    time: str | None = None


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
        on_duplicate: what happens to bars of the same symbol and time: an error, or the last one is kept.
        on_unsorted: what happens to rows out of order in time.
        quality_threshold: least quality score, the share of expected bars without a finding.
        calendar: the exchange calendar of the bars (XNYS, 24/7, …); auto chooses the one that fits, null uses the
            timestamps at which any symbol has a bar.
        bars_per_year: annualises ratios; auto derives it from the calendar and the bars' spacing.
        on_missing: if a symbol lacks a bar that others have: stop, drop the timestamp for all symbols, or trade the
            symbol without it.
        accept_findings: names of findings of severity error that are true of the market and must not stop the run.
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
