"""Python lists as array literals of PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from store.errors import SerializationError

# JSON has it as an escape alone.
_BETWEEN = "\x1e"
JSON_ARRAY = "string_to_array(%s, E'\\x1e', '')::jsonb[]"
"""In a statement, the array of JSON values that `json_array_text` gives."""


def json_array_text(texts: Sequence[str | None]) -> str | None:
    """JSON texts as one text, for `JSON_ARRAY`; None where nothing is in it but None.

    An array literal would need an escape for each quote of a text, which both sides pay for.
    SerializationError for a text that is no JSON, as far as it matters here.
    """
    if texts and not any(texts):
        _check_whole(texts)
        return None
    whole = _BETWEEN.join([text or "" for text in texts])
    if whole.count(_BETWEEN) >= max(len(texts), 1) or "" in texts:
        _check_whole(texts)
    return whole


def _check_whole(texts: Sequence[str | None]) -> None:
    for text in texts:
        if text is not None and (not text or _BETWEEN in text):
            raise SerializationError(
                f"to_json() gave {text[:40]!r}, which is no JSON text: expected a JSON object, "
                "whose texts have control characters as escapes"
            )


def array_text(values: Sequence[str | int | datetime | None]) -> str | None:
    """The literal of an array of texts, numbers or moments; None where nothing is in it but None.

    PostgreSQL reads it several times faster than the `ARRAY[...]` that psycopg2 writes of a list,
    each element of which its parser takes for an expression. `unnest` beside longer arrays reads a
    null array as nulls.
    """
    try:
        # Most columns are texts without anything to escape.
        texts = '","'.join(values)  # type: ignore[arg-type]
    except TypeError:
        if all(value is None for value in values):
            return None
    else:
        if not values:
            return "{}"
        if "\\" not in texts and texts.count('"') == 2 * (len(values) - 1):
            return f'{{"{texts}"}}'
    return "{" + ",".join(map(_element, values)) + "}"


def _element(value: str | int | datetime | None) -> str:
    if value is None:
        return "NULL"
    if value.__class__ is str:
        if "\\" in value or '"' in value:
            value = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{value}"'
    return f'"{value}"'
