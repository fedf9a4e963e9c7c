"""`explain`: from an order, fill, signal or P&L figure of a run back to what caused it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from store.cli.output import say
from trading.cli.replay import add_run_options, described_recipe, read_store
from trading.replay.explaining import explain
from trading.replay.run_journal import read_run


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "explain",
        help="say why something happened",
        description="Goes back from an order, fill, signal, match or P&L figure of a run to its "
        "causes: ticks, bar, signal, decisions with limits, order, report, fill, match.",
    )
    parser.add_argument(
        "subject",
        metavar="ID",
        help="of an order, fill or signal; CLOSING_FILL:OPENING_FILL; or pnl:STRATEGY:SYMBOL",
    )
    parser.add_argument("--run-name", required=True, metavar="RUN", help="such as live")
    parser.add_argument("--json", action="store_true", help="as data")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="write a picture as well")
    add_run_options(parser)
    parser.set_defaults(run=_explain)


def _explain(options: argparse.Namespace) -> int:
    with read_store(options) as store:
        recorded = read_run(store, options.account, options.run_name)
        recipe = described_recipe(options, store, recorded)
    found = explain(recorded, recipe, options.subject)
    say(json.dumps(found.as_data(), indent=2) if options.json else found.text())
    if options.svg is not None:
        options.svg.write_text(found.to_svg(), encoding="utf-8")
    return 0
