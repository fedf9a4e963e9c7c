"""`export`: ticks that a user may read, as Parquet or CSV."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from store.cli.output import say
from trading.cli.market.tick_store import add_store_options, opened


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("export", help="write kept ticks to a file")
    parser.add_argument("file", type=Path, help="FILE.parquet or FILE.csv; it must not exist")
    parser.add_argument("--symbols", help="names with commas between them (default: all)")
    parser.add_argument("--start", metavar="TIME", help="ISO 8601 with a zone; included")
    parser.add_argument("--end", metavar="TIME", help="ISO 8601 with a zone; not included")
    parser.add_argument("--source", help="ticks of this source alone")
    add_store_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the file."""
    symbols = None if options.symbols is None else options.symbols.split(",")
    with opened(options) as store:
        written = store.export(
            options.file,
            symbols,
            options.start,
            options.end,
            source=options.source,
            progress=True,
        )
    say(f"{written} ticks were written to {options.file}.")
    return 0
