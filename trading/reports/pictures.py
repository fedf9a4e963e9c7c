"""Charts of a report as SVG texts, whose colours are variables of the page's style sheet.

Every chart is drawn for a wide and for a narrow screen, since letters would shrink with a picture.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

__all__ = ["area", "bars", "lines", "marks", "thinned"]

Array = npt.NDArray[Any]
Draw = Callable[[Axes], None]

# Stand-ins that matplotlib writes into the SVG; the page's variables take their place.
INK, GRID = "#010203", "#010204"
SERIES = ("#010211", "#010212", "#010213", "#010214", "#010215", "#010216")
GOOD, BAD = "#010221", "#010222"
_VARIABLES = {
    INK: "var(--ink)",
    GRID: "var(--grid)",
    GOOD: "var(--good)",
    BAD: "var(--bad)",
    **{color: f"var(--series-{number})" for number, color in enumerate(SERIES, 1)},
}
_WIDE, _NARROW = (9.6, 3.1), (4.0, 2.7)
_POINTS_MAX = 1_200

_STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["system-ui", "DejaVu Sans"],
    "text.parse_math": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GRID,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 9,
    "axes.formatter.useoffset": False,
}


def thinned(x: Array, y: Array, most: int = _POINTS_MAX) -> tuple[Array, Array]:
    """Return at most so many points that look alike: of each stretch its lowest and highest."""
    if len(y) <= most:
        return x, y
    edges = np.linspace(0, len(y), most // 2 + 1).astype(int)
    kept = {0, len(y) - 1}
    for begin, end in pairwise(edges):
        piece = y[begin:end]
        if np.isnan(piece).all():
            continue
        kept.add(begin + int(np.nanargmin(piece)))
        kept.add(begin + int(np.nanargmax(piece)))
    rows = np.array(sorted(kept))
    return x[rows], y[rows]


def lines(name: str, days: Array, series: Mapping[str, Array], *, unit: str = "") -> str:
    """Return a chart of one or more lines over time."""

    def draw(axes: Axes) -> None:
        for number, (label, values) in enumerate(series.items()):
            x, y = thinned(days, values)
            axes.plot(x, y, color=SERIES[number % len(SERIES)], linewidth=1.3, label=label)
        if len(series) > 1:
            axes.legend(frameon=False, fontsize=8, ncols=3, loc="upper left")

    return _chart(name, draw, unit)


def area(name: str, days: Array, values: Array, *, unit: str = "") -> str:
    """Return a chart of what lies below 0, filled."""

    def draw(axes: Axes) -> None:
        x, y = thinned(days, values)
        axes.fill_between(x, y, 0, color=BAD, alpha=0.35, linewidth=0)
        axes.plot(x, y, color=BAD, linewidth=0.9)

    return _chart(name, draw, unit)


def bars(name: str, days: Array, values: Array, *, unit: str = "") -> str:
    """Return a chart of bars over time."""

    def draw(axes: Axes) -> None:
        axes.vlines(days, 0, values, color=SERIES[0], linewidth=1.2)
        axes.set_ylim(bottom=0)

    return _chart(name, draw, unit)


def marks(
    name: str, times: Array, prices: Array, buys: tuple[Array, Array], sells: tuple[Array, Array]
) -> str:
    """Return a chart of prices with a mark for each buy and each sell: times and prices."""

    def draw(axes: Axes) -> None:
        if len(times):
            axes.plot(*thinned(times, prices), color=SERIES[0], linewidth=1.0, label="price")
        size = 14 if len(buys[0]) + len(sells[0]) > 200 else 26
        axes.scatter(*buys, marker="^", s=size, color=GOOD, label="buy", zorder=3, linewidths=0)
        axes.scatter(*sells, marker="v", s=size, color=BAD, label="sell", zorder=3, linewidths=0)
        axes.legend(frameon=False, fontsize=8, ncols=3, loc="upper left")

    return _chart(name, draw, "")


def _chart(name: str, draw: Draw, unit: str) -> str:
    parts = []
    for form, size in (("wide", _WIDE), ("narrow", _NARROW)):
        # Ids of one picture must not be those of another one on the page.
        with mpl.rc_context({**_STYLE, "svg.hashsalt": f"{name} {form}"}):
            figure = Figure(figsize=size, layout="constrained")
            axes = figure.add_subplot()
            draw(axes)
            _finish(axes, unit, form == "narrow")
            text = io.StringIO()
            figure.savefig(
                text, format="svg", transparent=True, metadata=dict.fromkeys(_METADATA, None)
            )
        parts.append(f'<div class="{form}">{_inline(text.getvalue(), name)}</div>')
    return "".join(parts)


_METADATA = ("Date", "Creator", "Format", "Type")


def _finish(axes: Axes, unit: str, narrow: bool) -> None:
    axes.grid(axis="y")
    axes.tick_params(length=0)
    axes.margins(x=0.01)
    # A legend over the line of a chart that fills its height could not be read.
    if axes.get_legend() is not None:
        low, high = axes.get_ylim()
        axes.set_ylim(low, high + 0.15 * (high - low))
    locator = AutoDateLocator(minticks=3, maxticks=5 if narrow else 9)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _at: f"{value:,.6g}{unit}"))


def _inline(svg: str, name: str) -> str:
    """An SVG file as a part of the page."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    # Its style sheet would count for the whole page, and its groups' names are not unique.
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.S)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r'<svg ([^>]*?)width="[^"]*pt"', r"<svg \1", svg, count=1)
    svg = re.sub(r'<svg ([^>]*?)height="[^"]*pt"', r"<svg \1", svg, count=1)
    for color, variable in _VARIABLES.items():
        svg = svg.replace(color, variable)
    label = name.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
