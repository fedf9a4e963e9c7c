"""`bars`: bars of kept ticks or of files, and whether kept bars still equal their ticks."""

from __future__ import annotations

import argparse
import time
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from store.cli.output import complain, say
from store.cli.progress import progress
from trading.bars import Verification, bars, parse_duration_ns
from trading.bars.verifying import TableTicks, day_range, verify
from trading.cli.market.tick_store import add_store_options, opened
from trading.errors import TickError
from trading.ticks.bar_keeper import rebuild, verify_kept
from trading.ticks.bar_store import BarRecipe

_SHOWN = 20
_USAGE = (
    "bars --interval I [--day D]  |  bars verify --interval I --day D  |  "
    "bars FILE… --interval I --output OUT  |  bars verify FILE… --interval I --bars KEPT.parquet"
)


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "bars",
        help="make bars of ticks, or verify kept bars",
        description="Without files: make the bars of kept ticks and keep them. With files of ticks "
        "(.parquet, .csv): write their bars to another file. With the word verify first: build "
        "the bars again, and compare them with those that were kept.",
    )
    parser.add_argument(
        "files", nargs="*", metavar="FILE", help="files of ticks; the word verify may stand first"
    )
    parser.add_argument("--interval", required=True, help='"1m", "session", "1000 ticks", …')
    parser.add_argument("--calendar", help='the market\'s sessions: "XNYS", "24/7", …')
    parser.add_argument("--lateness", default="0s", help='how long bars wait: "2s" (default: 0s)')
    parser.add_argument("--close-grace", default="0s", help="time for prints after the close")
    parser.add_argument("--allow-negative", action="store_true", help="take negative prices")
    parser.add_argument("--output", type=Path, help="FILE.parquet or FILE.csv; it must not exist")
    parser.add_argument("--bars", type=Path, help="verify: the kept bars, a Parquet file")
    parser.add_argument(
        "--day", type=date.fromisoformat, help="YYYY-MM-DD, in the market's time zone"
    )
    parser.add_argument("--symbols", help="names with commas between them (default: all)")
    parser.add_argument("--source", help="ticks of this source alone")
    parser.add_argument("--run-id", default="live", help="the run that the bars belong to")
    add_store_options(parser)
    parser.set_defaults(run=run, usage_error=parser.error)


def run(options: argparse.Namespace) -> int:
    """Make bars, or verify them."""
    is_check = options.files[:1] == ["verify"]
    files = [Path(name) for name in options.files[is_check:]]
    if not files and not options.bars and not options.output:
        return _verify_kept(options) if is_check else _keep(options)
    if not files or (options.bars if is_check else options.output) is None:
        options.usage_error(f"write {_USAGE}")
    return _verify_files(options, files) if is_check else _make(options, files)


def _recipe(options: argparse.Namespace) -> tuple[BarRecipe, list[str] | None]:
    recipe = BarRecipe(
        options.interval, options.calendar, options.source, options.close_grace, options.run_id
    )
    return recipe, None if options.symbols is None else options.symbols.split(",")


def _keep(options: argparse.Namespace) -> int:
    """Make the bars of kept ticks and keep them."""
    recipe, symbols = _recipe(options)
    with opened(options) as ticks, progress(f"bars of {recipe.interval}") as told:
        days = ticks.days(symbols)
        if not days:
            say("No ticks are kept of these symbols; there are no bars to make.")
            return 0
        low, high = day_range(days[0], None)[0], day_range(days[-1], None)[1]
        if options.day is not None:
            low, high = day_range(options.day, options.calendar)
        made, new = rebuild(ticks, recipe, low, high, symbols, now=time.time_ns(), on_progress=told)
    say(f"{made} bars of {recipe.interval} were made of kept ticks; {new} are new or revised.")
    return 0


def _verify_kept(options: argparse.Namespace) -> int:
    """Compare the kept bars of a day with the kept ticks."""
    recipe, symbols = _recipe(options)
    if options.day is None:
        options.usage_error(f"--day is missing; write {_USAGE}")
    low, high = day_range(options.day, options.calendar)
    with opened(options) as ticks:
        kept = [day_range(day, None) for day in ticks.days(symbols)]
        if not any(begin < high and end > low for begin, end in kept):
            complain(f"no ticks of {options.day} are kept, so that there is nothing to compare")
            return 1
        if not len(ticks.bars.read(symbols, recipe, low, high)):
            there = sorted({_described(held.recipe) for held in ticks.bars.held()})
            complain(
                f"no bars of {_described(recipe)} are kept of {options.day}; there are "
                f"{'; '.join(there) or 'none'}"
            )
            return 1
        now = time.time_ns() - parse_duration_ns(options.lateness, name="lateness")
        result = verify_kept(ticks, recipe, options.day, symbols, now=now)
    return _told(result, f"{options.day}, {recipe.interval}: ")


def _described(recipe: BarRecipe) -> str:
    parts = [recipe.interval]
    parts += [f"--calendar {recipe.calendar}"] if recipe.calendar else []
    parts += [f"--source {recipe.source!r}"] if recipe.source else []
    parts += [f"--close-grace {recipe.key[-1] // 1_000_000}ms"] if recipe.key[-1] else []
    parts += [f"--run-id {recipe.run}"] if recipe.run != "live" else []
    return " ".join(parts)


def _make(options: argparse.Namespace, files: list[Path]) -> int:
    output: Path = options.output
    if output.suffix not in (".parquet", ".csv"):
        options.usage_error(f"{output} must end in .parquet or .csv")
    if output.exists():
        raise FileExistsError(f"{output} exists already; choose another name, or remove it")
    ticks = _read(files)
    made = bars(
        ticks,
        options.interval,
        calendar=options.calendar,
        lateness=options.lateness,
        close_grace=options.close_grace,
        allow_negative=options.allow_negative,
    )
    # Whoever finds the file finds all of it.
    part = output.with_name(f".{output.name}.part")
    try:
        if output.suffix == ".parquet":
            pq.write_table(made, part)
        else:
            pa_csv.write_csv(made, part)
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)
    say(f"{len(made)} bars of {len(ticks)} ticks were written to {output}.")
    return 0


def _verify_files(options: argparse.Namespace, files: list[Path]) -> int:
    result = verify(
        pq.read_table(options.bars),
        TableTicks(_read(files)),
        options.interval,
        calendar=options.calendar,
        lateness=options.lateness,
        close_grace=options.close_grace,
        day=options.day,
        allow_negative=options.allow_negative,
    )
    return _told(result, "")


def _told(result: Verification, what: str) -> int:
    """Say the verdict; the exit status."""
    if not result.differences:
        say(f"{what}{result.compared} bars equal their ticks.")
        return 0
    for difference in result.differences[:_SHOWN]:
        say(str(difference))
    more = len(result.differences) - _SHOWN
    if more > 0:
        say(f"… and {more} more")
    complain(
        f"{what}{len(result.differences)} differences in {result.compared} bars, the first in "
        f"{result.differences[0]}; build them again from the ticks, or look for ticks that were "
        "not kept"
    )
    return 1


def _read(files: list[Path]) -> pa.Table:
    """The ticks of files, one after another."""
    tables = []
    with progress("reading") as told:
        sources = [(path, _pieces(path)) for path in files]
        whole = sum(count for _path, (count, _read) in sources)
        for _path, (count, read) in sources:
            for piece in range(count):
                tables.append(read(piece))
                told(len(tables), whole)
    try:
        return pa.concat_tables(tables, promote_options="default")
    except pa.ArrowInvalid as error:
        raise TickError(f"the files do not have the same columns: {error}") from None


def _pieces(path: Path) -> tuple[int, Any]:
    """How many pieces a file has, and what reads one."""
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there; give files of ticks (.parquet, .csv)")
    try:
        if path.suffix == ".parquet":
            file = pq.ParquetFile(path)
            if file.num_row_groups:
                return file.num_row_groups, file.read_row_group
            return 1, lambda _piece: file.read()
        if path.suffix == ".csv":
            return 1, lambda _piece: pa_csv.read_csv(path)
    except pa.ArrowInvalid as error:
        raise TickError(f"{path} cannot be read: {error}") from None
    raise TickError(f"{path} is no file of ticks; it must end in .parquet or .csv")
