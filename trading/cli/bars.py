"""`bars`: bars from files of ticks, and whether kept bars still equal their ticks."""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from store.cli.output import complain, progress, say
from trading.bars import bars
from trading.bars.verifying import TableTicks, verify
from trading.errors import TickError

_SHOWN = 20
_USAGE = (
    "bars FILE… --interval I --output OUT  |  bars verify FILE… --interval I --bars KEPT.parquet"
)


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "bars",
        help="make bars of files of ticks, or verify kept bars",
        description="Make bars of files of ticks (.parquet, .csv). With the word verify before the "
        "files: build them again and compare them with kept bars.",
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="ticks; or verify, then the ticks")
    parser.add_argument("--interval", required=True, help='"1m", "session", "1000 ticks", …')
    parser.add_argument("--calendar", help='the market\'s sessions: "XNYS", "24/7", …')
    parser.add_argument("--lateness", default="0s", help='how long bars wait: "2s" (default: 0s)')
    parser.add_argument("--close-grace", default="0s", help="time for prints after the close")
    parser.add_argument("--allow-negative", action="store_true", help="take negative prices")
    parser.add_argument("--output", type=Path, help="FILE.parquet or FILE.csv; it must not exist")
    parser.add_argument("--bars", type=Path, help="verify: the kept bars, a Parquet file")
    parser.add_argument(
        "--day", type=date.fromisoformat, help="verify: YYYY-MM-DD, in the market's time zone"
    )
    parser.set_defaults(run=run, usage_error=parser.error)


def run(options: argparse.Namespace) -> int:
    """Make bars, or verify them."""
    is_check = options.files[0] == "verify"
    files = [Path(name) for name in options.files[is_check:]]
    if not files or (options.bars if is_check else options.output) is None:
        options.usage_error(f"write {_USAGE}")
    return _verify(options, files) if is_check else _make(options, files)


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


def _verify(options: argparse.Namespace, files: list[Path]) -> int:
    kept = pq.read_table(options.bars)
    result = verify(
        kept,
        TableTicks(_read(files)),
        options.interval,
        calendar=options.calendar,
        lateness=options.lateness,
        close_grace=options.close_grace,
        day=options.day,
        allow_negative=options.allow_negative,
    )
    for difference in result.differences[:_SHOWN]:
        say(str(difference))
    more = len(result.differences) - _SHOWN
    if more > 0:
        say(f"… and {more} more")
    if result.differences:
        complain(
            f"{len(result.differences)} differences in {result.compared} bars; build them again "
            "from the ticks, or look for ticks that were not kept"
        )
        return 1
    say(f"{result.compared} bars equal their ticks.")
    return 0


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
