"""`ingest`: ticks of files, a simulated market or a WebSocket into the tick store."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from store.cli.output import complain, say
from store.cli.progress import progress
from trading.cli.market.tick_store import add_store_options, opened
from trading.errors import FeedError, SequenceConflict
from trading.ticks import BarRecipe, TickStore, files
from trading.ticks.bar_keeper import BarKeeper, rebuild
from trading.ticks.feeds import (
    Feed,
    FieldMapping,
    Gap,
    Heartbeat,
    SimulatedMarket,
    Ticks,
    WebSocketFeed,
)


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "ingest",
        help="keep ticks of files or feeds",
        description="Keeps ticks, each once, and says on the standard output how many rows are "
        "kept durably as it goes.",
    )
    parser.add_argument("files", type=Path, nargs="*", help="Parquet or CSV files of ticks")
    parser.add_argument(
        "--simulate",
        nargs="+",
        metavar="SYMBOL=PRICE",
        help="a simulated market that begins at these prices",
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to simulate")
    parser.add_argument("--seed", type=int, default=0, help="of the simulated market")
    parser.add_argument("--websocket", metavar="URL", help="a feed of JSON messages")
    parser.add_argument(
        "--mapping", type=Path, help="a JSON file with the fields of trading's FieldMapping"
    )
    parser.add_argument("--source", help="what the source is called (default: by its kind)")
    parser.add_argument("--lateness", default="0s", help="how far times may go back in a file")
    parser.add_argument("--round-to", type=int, help="round prices to so many decimal places")
    parser.add_argument(
        "--bars",
        nargs="+",
        default=[],
        metavar="INTERVAL",
        help="keep bars of these intervals too, made of this source's ticks alone",
    )
    parser.add_argument("--calendar", help='the sessions of the bars\' market: "XNYS", "24/7", …')
    parser.add_argument("--close-grace", default="0s", help="time for prints after the close")
    parser.add_argument("--bar-lateness", default="0s", help='how long bars wait for ticks: "2s"')
    parser.add_argument(
        "--keep-days", type=int, help="drop older days from now on, as an administrator"
    )
    add_store_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Keep the ticks; gather those of days that are over."""
    given = [bool(options.files), bool(options.simulate), bool(options.websocket)]
    if sum(given) != 1:
        raise FeedError("give either files, or --simulate, or --websocket with --mapping")
    with opened(options) as store:
        if options.keep_days is not None:
            store.keep_days(options.keep_days)
        new = _load(store, options) if options.files else _follow(store, _feed(options), options)
        store.maintain()
    say(f"{new} new ticks were kept.")
    return 0


def _recipes(options: argparse.Namespace, source: str) -> list[BarRecipe]:
    return [
        BarRecipe(interval, options.calendar, source, options.close_grace)
        for interval in options.bars
    ]


def _load(store: TickStore, options: argparse.Namespace) -> int:
    source = options.source or "default"
    recipes = _recipes(options, source)
    new = 0
    for file in options.files:
        new += _load_file(store, file, options)
        extent = files.extent(file) if recipes else None
        if extent is None:
            continue
        for recipe in recipes:
            made, kept = rebuild(store, recipe, *extent, now=time.time_ns())
            say(f"{file}: {kept} of {made} bars of {recipe.interval} are new")
    return new


def _load_file(store: TickStore, file: Path, options: argparse.Namespace) -> int:
    return store.load(
        file,
        source=options.source or "default",
        progress=True,
        on_progress=lambda rows: say(f"{file}: {rows} rows are kept"),
        lateness=options.lateness,
        round_to=options.round_to,
    )


def _feed(options: argparse.Namespace) -> Feed:
    if options.simulate:
        prices = {}
        for text in options.simulate:
            symbol, _, price = text.rpartition("=")
            try:
                prices[symbol] = float(price)
            except ValueError:
                raise FeedError(f"--simulate {text!r}: SYMBOL=PRICE is expected") from None
        start = time.time_ns() - round(options.seconds * 1e9)
        return SimulatedMarket(
            prices, seed=options.seed, seconds=options.seconds, start=start, depth_every_s=None
        )
    if options.mapping is None:
        raise FeedError("--websocket needs --mapping, a JSON file that says what is where")
    try:
        fields = json.loads(options.mapping.read_text(encoding="utf-8"))
        return WebSocketFeed(options.websocket, FieldMapping(**fields))
    except (TypeError, ValueError) as error:
        raise FeedError(f"{options.mapping}: {error}") from error


def _follow(store: TickStore, feed: Feed, options: argparse.Namespace) -> int:
    # A simulated market counts anew each time: it is another source.
    source = options.source or f"{feed.name} {time.time_ns()}"
    if isinstance(feed, WebSocketFeed):
        source = options.source or feed.name
    keepers = [
        BarKeeper(store, recipe, lateness=options.bar_lateness, symbols=feed.symbols)
        for recipe in _recipes(options, source)
    ]
    for keeper in keepers:
        # A live feed goes on now, a simulated one where it begins.
        keeper.catch_up(time.time_ns() if isinstance(feed, WebSocketFeed) else None)
    new = rows = bars = 0
    with progress(f"ingest {source}") as show:
        try:
            for event in feed.events():
                if isinstance(event, Gap):
                    complain(f"gap from {event.start} to {event.end}: {event.reason}")
                    for keeper in keepers:
                        keeper.gap(event.start, event.end, event.symbol)
                elif isinstance(event, Heartbeat):
                    bars += sum(len(keeper.advance(event.time)) for keeper in keepers)
                elif isinstance(event, Ticks):
                    try:
                        new += store.append(event.table, source=source, round_to=options.round_to)
                    except SequenceConflict as conflict:
                        new += conflict.new or 0
                        complain(str(conflict))
                    bars += sum(len(keeper.push(event.table)) for keeper in keepers)
                    rows += len(event.table)
                    show(rows, rows)
            # It ended by itself: nothing more will come.
            bars += sum(len(keeper.finish()) for keeper in keepers)
        except KeyboardInterrupt:
            # A live feed has no end of its own.
            say(f"stopped after {rows} rows")
    if keepers:
        say(f"{bars} bars of {source} became final or were revised")
    return new
