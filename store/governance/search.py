"""Finding a column by what people call it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from store.governance.column import ColumnDef


def rank(column: ColumnDef, text: str) -> int | None:
    """How well a column answers a search, 0 for best; None where it does not."""
    wanted = _plain(text)
    names = [_plain(each) for each in (column.name, column.title, *column.synonyms)]
    if not wanted:
        return 0
    if wanted == names[0]:
        return 0
    if wanted in names:
        return 1
    if any(each.startswith(wanted) for each in names):
        return 2
    if any(wanted in each for each in names):
        return 3
    words = set(_plain(column.description).split())
    return 4 if set(wanted.split()) <= words else None


def suggestion(name: str, columns: Iterable[ColumnDef], names: Iterable[str]) -> str | None:
    """What may have been meant by a name that is not defined, quoted; None without an idea."""
    called = {_plain(word): column.name for column in columns for word in column.synonyms}
    if _plain(name) in called:
        return f"{called[_plain(name)]!r}, also called {name!r}"
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.8)
    if close:
        return repr(close[0])
    close = difflib.get_close_matches(_plain(name), list(called), n=1, cutoff=0.8)
    return f"{called[close[0]]!r}, also called {close[0]!r}" if close else None


def _plain(text: str) -> str:
    return " ".join(re.findall(r"[^\W_]+", text.lower()))
