"""The sections `data:` and `labels:` of params.yaml: where bars come from, and what is foreseen of them."""

from typing import Annotated, Literal

from pydantic import Field

from MLOps.config.schema import section

Positive = Annotated[int, Field(gt=0)]
PositiveNumber = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Symbols = Annotated[tuple[str, ...], Field(min_length=1)]
Day = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]


@section
class CsvConfig:
    """`data.source: csv`: one file in the columns of the bars contract."""

    path: str


@section
class FilesConfig:
    """`data.source: files`: a file, or a folder with one file a symbol, in any of the usual spellings."""

    path: str


@section
class YahooConfig:
    """`data.source: yahoo`: daily bars of the days start <= day < end."""

    symbols: Symbols
    start: Day
    end: Day


@section
class CcxtConfig:
    """`data.source: ccxt`: bars of an exchange that ccxt knows, start <= time < end; `timeframe` as in ccxt: 1h, 1d."""

    exchange: str
    symbols: Symbols
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
    edge_bps: Annotated[float, Field(ge=0)]
    regime_bars: Positive


@section
class LabelledConfig:
    """`data.source: labelled`: a table with a column of ids, one of target scores, and features: those named, or with
    null every other column."""

    path: str
    id: str
    target: str
    features: Annotated[tuple[str, ...], Field(min_length=1)] | None


@section
class SentimentConfig:
    """What was published about the symbols, joined to the bars as of their close.

    `path` is a CSV file with `published` (a time with its zone, or in UTC), `symbol`, and `score` in [-1, 1] or
    `headline`, which is then scored. A bar closes `close_minutes` after its timestamp; what is published counts as
    known `publication_delay_minutes` later.
    """

    enabled: bool
    path: str
    close_minutes: Annotated[int, Field(ge=0)]
    publication_delay_minutes: Annotated[int, Field(ge=0)]


@section
class DataConfig:
    """`calendar` names the exchange calendar that sessions are checked against (XNYS, 24/7, …); null takes the clock
    on which any of the symbols has a bar."""

    source: Literal["sample", "csv", "files", "yahoo", "ccxt", "synthetic", "labelled"]
    calendar: str | None
    on_duplicate: Literal["error", "keep_last"]
    on_unsorted: Literal["error", "sort"]
    quality_threshold: Share
    csv: CsvConfig
    files: FilesConfig
    yahoo: YahooConfig
    ccxt: CcxtConfig
    synthetic: SyntheticConfig
    labelled: LabelledConfig
    sentiment: SentimentConfig


@section
class SmoothedLabelConfig:
    """Fall, Stationary or Rise: the mean of the next `smoothing_k` closes against the close, ± `threshold_delta`."""

    kind: Literal["smoothed"]
    smoothing_k: Positive
    threshold_delta: Annotated[float, Field(gt=0, lt=1)]


@section
class NextReturnLabelConfig:
    """The next bar's return: the target of a regression, and its class by ± `threshold_delta`."""

    kind: Literal["next_return"]
    threshold_delta: Annotated[float, Field(gt=0, lt=1)]


@section
class ScoreLabelConfig:
    """The return over `horizon_bars` in units of volatility, in `classes` classes of like frequency."""

    kind: Literal["score"]
    horizon_bars: Positive
    classes: Annotated[int, Field(ge=2, le=11)]
    volatility_bars: Annotated[int, Field(ge=2)]


@section
class TripleBarrierLabelConfig:
    """Which barrier the closes of `horizon_bars` bars touch first; barriers in units of volatility over them."""

    kind: Literal["triple_barrier"]
    horizon_bars: Positive
    volatility_bars: Annotated[int, Field(ge=2)]
    upper_volatilities: PositiveNumber
    lower_volatilities: PositiveNumber


@section
class TargetLabelConfig:
    """The target of a labelled table: one of `classes` scores, evenly spaced from -1 to 1.

    A target looks `horizon_rows` rows ahead, those that the splits purge; it is known from the last of them on.
    """

    kind: Literal["target"]
    classes: Annotated[int, Field(ge=2, le=11)]
    horizon_rows: Positive


LabelConfig = Annotated[
    SmoothedLabelConfig | NextReturnLabelConfig | ScoreLabelConfig | TripleBarrierLabelConfig | TargetLabelConfig,
    Field(discriminator="kind"),
]
