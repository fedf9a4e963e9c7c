"""The catalog as a page for people: `python -m store.exports.catalog docs/catalog.md`."""

from __future__ import annotations

import sys
from pathlib import Path

from store.columns import REGISTRY
from store.exports.masking import is_visible
from store.governance.column import ColumnDef
from store.registry import ColumnRegistry

_HEAD = """# The column catalog

Every field of a stored class is one of these {count} columns, or one of the prefixed names that
a column allows. This page is generated from `store/columns/` by
`python -m store.exports.catalog docs/catalog.md`.

Search it in Python with `REGISTRY.find("ticker")`. A *dimension* groups, a *measure* is summed up
(by the aggregation behind its unit), an *attribute* describes.
"""


def catalog_page(registry: ColumnRegistry) -> str:
    """The catalog of a registry as Markdown, one table a category."""
    columns = registry.all_columns()
    categories: dict[str, list[ColumnDef]] = {}
    for column in columns.values():
        categories.setdefault(column.category, []).append(column)
    parts = [_HEAD.format(count=len(columns))]
    for category, members in categories.items():
        rows = "".join(map(_row, sorted(members, key=lambda column: column.name)))
        parts.append(
            f"## {category.capitalize()}\n\n"
            "| column | type | role, unit | meaning | values | also called |\n"
            f"|---|---|---|---|---|---|\n{rows}"
        )
    return "\n".join(parts)


def _row(column: ColumnDef) -> str:
    unit = f", {column.unit}" if column.unit else ""
    how = f" ({column.default_aggregation})" if column.role == "measure" else ""
    kind = f"{column.type}{' or None' if column.nullable else ''}"
    cells = [
        f"`{column.name}`",
        kind,
        f"{column.role}{unit}{how}",
        " ".join(_meaning(column)),
        "; ".join(_values(column)),
        ", ".join(column.synonyms),
    ]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def _meaning(column: ColumnDef) -> list[str]:
    found = [f"{column.description}."]
    if column.deprecated:
        advice = f": {column.deprecated}" if isinstance(column.deprecated, str) else ""
        found.append(f"**Deprecated{advice}.**")
    if column.allowed_prefixes:
        names = ", ".join(f"`{prefix}_{column.name}`" for prefix in column.allowed_prefixes)
        found.append(f"Also as {names}.")
    if column.sensitivity != "public":
        found.append(f"*{column.sensitivity.capitalize()}.*")
    if column.tags:
        found.append(" ".join(f"#{tag}" for tag in column.tags))
    return found


def _values(column: ColumnDef) -> list[str]:
    found = []
    if column.enum is not None:
        found.append(", ".join(map(column.display, column.enum)))
    elif is_visible(column, "internal") and column.sample_values:
        found.append("such as " + ", ".join(map(column.display, column.sample_values)))
    if column.min_value is not None:
        found.append(f"at least {column.min_value}")
    if column.max_value is not None:
        found.append(f"at most {column.max_value}")
    if column.max_length is not None:
        found.append(f"length up to {column.max_length}")
    if column.pattern is not None:
        found.append(f"`{column.pattern}`")
    return found


def _main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m store.exports.catalog FILE\n")
        return 2
    Path(arguments[0]).write_text(catalog_page(REGISTRY), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
