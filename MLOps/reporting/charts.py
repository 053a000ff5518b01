"""Charts as inline SVG without colours of their own: classes, which the page's style sheet turns into colours.

The same numbers give the same bytes, text stays text, and a chart follows the reader's light or dark scheme.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup, escape

WIDTH = 760
LEFT, RIGHT, TOP, BOTTOM = 72, 12, 10, 36
LABEL_DROP = 27  # from an axis to the middle of its labels
HALF_LABEL = 40
MAX_BUCKETS = 400  # of a line; of each the lowest and the highest value are drawn, so that no extreme is lost
MAX_TIME_TICKS = 5
MAX_DIGITS = 8  # after the point, in labels of an axis
STYLES = 6  # of lines in the style sheet
# Distances between ticks of time, from fine to coarse, with the form of their labels.
TIME_TICKS = (
    ("h", "%d %b %H:%M"),
    ("3h", "%d %b %H:%M"),
    ("6h", "%d %b %H:%M"),
    ("D", "%d %b"),
    ("2D", "%d %b"),
    ("W-MON", "%d %b"),
    ("2W-MON", "%d %b"),
    ("MS", "%b %Y"),
    ("2MS", "%b %Y"),
    ("QS", "%b %Y"),
    ("2QS", "%b %Y"),
    ("YS", "%Y"),
    ("2YS", "%Y"),
    ("5YS", "%Y"),
    ("10YS", "%Y"),
)


@dataclass(frozen=True)
class Line:
    """A named series (n,) over `x` (n,): timestamps, or numbers; NaN breaks nothing and is left out."""

    name: str
    x: np.ndarray
    y: np.ndarray


def line_chart(
    lines: Sequence[Line],
    form: str,
    about: str,
    height: int = 260,
    level: float | None = None,
    filled: bool = False,
    cuts: Sequence[pd.Timestamp] = (),
) -> Markup:
    """Lines over time or over a number.

    Args:
        form: format of the vertical axis, such as ".0%".
        about: what the chart shows, for readers who do not see it.
        level: value of a reference line.
        filled: shade the area between the first line and `level`.
        cuts: times at which a vertical rule stands.
    """
    lines = [Line(line.name, line.x[known], line.y[known]) for line in lines if (known := np.isfinite(line.y)).any()]
    if not lines:
        return Markup("")
    timed = np.issubdtype(lines[0].x.dtype, np.datetime64)
    xs = [line.x.astype("datetime64[ns]").astype(np.int64).astype(float) if timed else line.x for line in lines]
    low_x, high_x = min(x.min() for x in xs), max(x.max() for x in xs)
    values = np.concatenate([line.y for line in lines] + [np.array([] if level is None else [level])])
    ticks = _nice_ticks(float(values.min()), float(values.max()))
    low_y, high_y = min(ticks[0], values.min()), max(ticks[-1], values.max())

    def across(x: np.ndarray) -> np.ndarray:
        return LEFT + (x - low_x) / max(high_x - low_x, 1e-300) * (WIDTH - LEFT - RIGHT)

    def down(y: np.ndarray) -> np.ndarray:
        return TOP + (high_y - y) / max(high_y - low_y, 1e-300) * (height - TOP - BOTTOM)

    parts = [
        _horizontal(down(np.array(tick)), text) for tick, text in zip(ticks, _tick_labels(ticks, form), strict=True)
    ]
    if timed:
        start, end = pd.Timestamp(int(low_x)), pd.Timestamp(int(high_x))
        moments, label = _time_ticks(start, end)
        places = across(np.array([moment.value for moment in moments], float))
        labels = [moment.strftime(label) for moment in moments]
    else:
        numbers = _nice_ticks(low_x, high_x)
        inside = [number for number in numbers if low_x <= number <= high_x]
        places, labels = across(np.array(inside, float)), [f"{number:,.10g}" for number in inside]
    parts += [_vertical_label(place, text, height) for place, text in zip(places, labels, strict=True)]
    for cut in cuts:
        place = _number(across(np.array(float(cut.tz_localize(None).value))))
        parts.append(f'<path class="cut" d="M{place} {TOP}V{height - BOTTOM}"/>')
    if level is not None:
        parts.append(f'<path class="level" d="M{LEFT} {_number(down(np.array(level)))}H{WIDTH - RIGHT}"/>')
    # The first line is drawn last, above the others.
    for number in reversed(range(len(lines))):
        x, y = _thinned(xs[number], lines[number].y)
        points = _path(across(x), down(y))
        if filled and number == 0:
            base = _number(down(np.array(0.0 if level is None else level)))
            ends = f"V{base}H{_number(across(x[0]))}Z"
            parts.append(f'<path class="area s0" d="{points}{ends}"/>')
        parts.append(f'<path class="line s{number % STYLES}" d="{points}"/>')
    names = [line.name for line in lines]
    return legend(names) + _svg(parts, height, about) if len(names) > 1 else _svg(parts, height, about)


def histogram(values: np.ndarray, form: str, about: str, mark: float | None = None, height: int = 200) -> Markup:
    """Counts of `values` (n,) in equal bins; `mark` is a value that a vertical line shows."""
    values = values[np.isfinite(values)]
    if not len(values):
        return Markup("")
    ends = [values.min(), values.max()] + ([] if mark is None else [mark])
    low, high = float(min(ends)), float(max(ends))
    if high <= low:
        low, high = low - 0.5, high + 0.5
    bins = int(np.clip(np.sqrt(len(values)) * 1.5, 8, 40))
    counts, edges = np.histogram(values, bins=bins, range=(low, high))

    def across(x: float) -> float:
        return LEFT + (x - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    scale = (height - TOP - BOTTOM) / counts.max()
    parts = []
    for count, left, right in zip(counts, edges[:-1], edges[1:], strict=True):
        tall = count * scale
        parts.append(
            f'<rect class="bin" x="{_number(across(left))}" y="{_number(height - BOTTOM - tall)}" '
            f'width="{_number(across(right) - across(left) - 1)}" height="{_number(tall)}"/>'
        )
    parts.append(_horizontal(np.array(float(height - BOTTOM)), ""))
    inside = [tick for tick in _nice_ticks(low, high) if low <= tick <= high]
    parts += [
        _vertical_label(np.array(across(tick)), text, height)
        for tick, text in zip(inside, _tick_labels(inside, form), strict=True)
    ]
    if mark is not None:
        parts.append(f'<path class="mark" d="M{_number(across(mark))} {TOP}V{height - BOTTOM}"/>')
    return _svg(parts, height, about)


def reliability_chart(curves: dict[str, list[tuple[float, float]]], about: str, size: int = 360) -> Markup:
    """Observed frequency over forecast probability, a line a class; on the diagonal the two agree."""
    side = size - LEFT - 2 * RIGHT  # the last label reaches beyond the axis

    def place(forecast: float, observed: float) -> tuple[float, float]:
        return LEFT + forecast * side, TOP + (1 - observed) * side

    parts = []
    for tick in np.linspace(0, 1, 6):
        x, y = place(tick, tick)
        parts.append(f'<path class="grid" d="M{LEFT} {_number(y)}H{LEFT + side}"/>')
        parts.append(f'<text class="y" x="{LEFT - 6}" y="{_number(y)}">{tick:.0%}</text>')
        parts.append(f'<text class="x" x="{_number(x)}" y="{TOP + side + LABEL_DROP}">{tick:.0%}</text>')
    parts.append(f'<path class="level" d="M{LEFT} {TOP + side}L{LEFT + side} {TOP}"/>')
    for number, points in enumerate(curves.values()):
        places = [place(*point) for point in points]
        if places:
            x, y = np.array(places).T
            parts.append(f'<path class="line s{number % STYLES}" d="{_path(x, y)}"/>')
            parts += [
                f'<circle class="dot s{number % STYLES}" cx="{_number(a)}" cy="{_number(b)}" r="4"/>' for a, b in places
            ]
    picture = _svg(parts, TOP + side + BOTTOM, about, width=size)
    return legend(list(curves)) + picture


def legend(names: Sequence[str]) -> Markup:
    """The names of lines beside a sample of each."""
    sample = '<svg class="key" viewBox="0 0 28 8" aria-hidden="true"><path class="line s{}" d="M0 4H28"/></svg>'
    entries = [
        Markup("<li>{}{}</li>").format(Markup(sample.format(number % STYLES)), name)  # noqa: S704
        for number, name in enumerate(names)
    ]
    return Markup('<ul class="legend">{}</ul>').format(Markup("").join(entries))


def _svg(parts: Sequence[str], height: int, about: str, width: int = WIDTH) -> Markup:
    # All parts are numbers and our own labels; `about` is the only text from outside.
    body = "".join(parts)
    return Markup(  # noqa: S704
        f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(about)}">{body}</svg>'
    )


def _horizontal(y: np.ndarray, text: str) -> str:
    line = f'<path class="grid" d="M{LEFT} {_number(y)}H{WIDTH - RIGHT}"/>'
    return f'{line}<text class="y" x="{LEFT - 6}" y="{_number(y)}">{escape(text)}</text>'


def _vertical_label(x: np.ndarray, text: str, height: int) -> str:
    # Centred, a label near the right edge would be cut off.
    anchor = " last" if x > WIDTH - RIGHT - HALF_LABEL else ""
    return f'<text class="x{anchor}" x="{_number(x)}" y="{height - BOTTOM + LABEL_DROP}">{escape(text)}</text>'


def _label(value: float, form: str) -> str:
    return format(value + 0.0, form).replace("-", "−")


def _tick_labels(ticks: Sequence[float], form: str) -> list[str]:
    """The ticks in the format, such as ".0%", with as many more digits after the point as they have."""
    scale, digits = (100 if form.endswith("%") else 1), int(form[1])
    if len(ticks) > 1:
        step = abs(ticks[1] - ticks[0]) * scale
        while digits < MAX_DIGITS and abs(step - round(step, digits)) > 0.01 * step:
            digits += 1
    return [_label(tick, f".{digits}{form[2:]}") for tick in ticks]


def _thinned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First, lowest, highest and last point of each of at most MAX_BUCKETS parts."""
    if len(x) <= 2 * MAX_BUCKETS:
        return x, y
    kept: list[int] = []
    for part in np.array_split(np.arange(len(x)), MAX_BUCKETS):
        kept += [part[0], part[y[part].argmin()], part[y[part].argmax()], part[-1]]
    chosen = np.unique(kept)
    return x[chosen], y[chosen]


def _path(x: np.ndarray, y: np.ndarray) -> str:
    return "M" + "L".join(f"{_number(a)} {_number(b)}" for a, b in zip(x, y, strict=True))


def _number(value: np.ndarray | float) -> str:
    """To a tenth of a unit: a fraction of a pixel."""
    return f"{float(value):.1f}".removesuffix(".0")


def _nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` multiples of 1, 2 or 5 times a power of ten that cover low to high."""
    if high <= low:
        low, high = low - (abs(low) or 1) * 0.1, high + (abs(high) or 1) * 0.1
    rough = (high - low) / count
    power = 10.0 ** np.floor(np.log10(rough))
    # The nearest step from above or a little below: rounding up always would leave up to half of an axis empty.
    step = float(power * next(m for m in (1, 2, 5, 10) if rough <= m * power * 1.25))
    first, last = int(np.floor(low / step + 1e-9)), int(np.ceil(high / step - 1e-9))
    return [number * step for number in range(first, last + 1)]


def _time_ticks(start: pd.Timestamp, end: pd.Timestamp) -> tuple[list[pd.Timestamp], str]:
    for frequency, label in TIME_TICKS:
        # A cheap bound first: a range of hours over decades is long.
        first = start.normalize() if frequency[-1] != "h" else start.floor("h")
        offset = pd.tseries.frequencies.to_offset(frequency)
        if (first + (MAX_TIME_TICKS + 2) * offset) < end:
            continue
        moments = [moment for moment in pd.date_range(first, end, freq=frequency) if moment >= start]
        if len(moments) <= MAX_TIME_TICKS:
            return moments or [start], label
    return list(pd.date_range(start, end, periods=MAX_TIME_TICKS)), "%Y"
