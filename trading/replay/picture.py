"""A chain of causes as a picture: boxes in columns, the effect on the left, causes to its right."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["Box", "svg_of"]

_WIDTH, _GAP_X, _GAP_Y, _LINE, _MARGIN = 300, 60, 18, 15, 16
_LETTERS, _MOST_LINES = 38, 7
_COLORS = {
    "tick": "#e8eef7",
    "bar": "#dbe7f5",
    "signal": "#e4f2e0",
    "decision": "#fdf3d8",
    "limits": "#f6e6c4",
    "order": "#efe3f5",
    "fill": "#d9f0ec",
    "match": "#d3ead1",
    "pnl": "#c9e2c6",
}


@dataclass(frozen=True)
class Box:
    """A box with a title, text and time, and the places of the boxes that led to it."""

    title: str
    text: str
    time: str
    causes: tuple[int, ...]


def svg_of(title: str, boxes: Sequence[Box]) -> str:
    """Return the boxes as SVG; the first one is what is explained."""
    columns = _columns(boxes)
    lines = [_lines(box) for box in boxes]
    heights = [_LINE * (len(each) + 2) + 10 for each in lines]
    corners: list[tuple[int, int]] = [(0, 0)] * len(boxes)
    bottoms: dict[int, int] = {}
    for place, column in enumerate(columns):
        top = bottoms.get(column, _MARGIN + 26)
        corners[place] = _MARGIN + column * (_WIDTH + _GAP_X), top
        bottoms[column] = top + heights[place] + _GAP_Y
    width = 2 * _MARGIN + (max(columns) + 1) * (_WIDTH + _GAP_X) - _GAP_X
    height = max(bottoms.values()) + _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12" role="img">',
        f"<title>{escape(title)}</title>",
        '<rect width="100%" height="100%" fill="white"/>',
        '<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="7" refY="3" orient="auto">'
        '<path d="M0,0 L7,3 L0,6 z" fill="#667"/></marker></defs>',
        f'<text x="{_MARGIN}" y="{_MARGIN + 6}" font-size="14" font-weight="bold">'
        f"{escape(title)}</text>",
    ]
    for place, box in enumerate(boxes):
        parts += [
            _arrow(corners[cause], heights[cause], corners[place], heights[place])
            for cause in box.causes
        ]
    for place, box in enumerate(boxes):
        parts += _drawn(box, lines[place], corners[place], heights[place])
    return "\n".join([*parts, "</svg>"])


def _columns(boxes: Sequence[Box]) -> list[int]:
    """How far from the effect each box is: beyond all that it leads to."""
    columns = [0] * len(boxes)
    for _ in boxes:
        moved = False
        for place, box in enumerate(boxes):
            for cause in box.causes:
                if columns[cause] < columns[place] + 1 <= len(boxes):
                    columns[cause] = columns[place] + 1
                    moved = True
        if not moved:
            break
    return columns


def _lines(box: Box) -> list[str]:
    lines = textwrap.wrap(box.text, _LETTERS, break_long_words=True) or [""]
    if len(lines) > _MOST_LINES:
        lines = [*lines[: _MOST_LINES - 1], lines[_MOST_LINES - 1][: _LETTERS - 1] + "…"]
    return lines


def _arrow(
    cause: tuple[int, int], cause_height: int, effect: tuple[int, int], effect_height: int
) -> str:
    """From the left side of a cause to the right side of its effect."""
    x1, y1 = cause[0], cause[1] + cause_height // 2
    x2, y2 = effect[0] + _WIDTH, effect[1] + effect_height // 2
    bend = (x1 - x2) // 2
    return (
        f'<path d="M{x1},{y1} C{x1 - bend},{y1} {x2 + bend},{y2} {x2},{y2}" fill="none" '
        'stroke="#667" marker-end="url(#tip)"/>'
    )


def _drawn(box: Box, lines: Sequence[str], corner: tuple[int, int], height: int) -> list[str]:
    x, y = corner
    color = _COLORS.get(box.title, "#eeeeee")
    drawn = [
        f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{height}" rx="6" fill="{color}" '
        'stroke="#889"/>',
        f'<text x="{x + 8}" y="{y + _LINE + 1}" font-weight="bold">{escape(box.title)}</text>',
    ]
    drawn += [
        f'<text x="{x + 8}" y="{y + _LINE * (2 + at)}">{escape(line)}</text>'
        for at, line in enumerate(lines)
    ]
    drawn.append(
        f'<text x="{x + 8}" y="{y + height - 6}" fill="#667" font-size="10">'
        f"{escape(box.time)}</text>"
    )
    return drawn
