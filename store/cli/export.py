"""`export`: the entities of a class that a user may see, as JSON lines or Parquet."""

from __future__ import annotations

import argparse
import copy
import json
import warnings
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from store.base import Storable
from store.cli.access import add_password_option, add_server_options, given_password, reached
from store.cli.classes import class_named
from store.cli.output import complain, say
from store.cli.progress import progress
from store.client import StoreClient
from store.entities.query import QueryResult
from store.entities.unreadable import Unreadable, UnreadableWarning
from store.errors import StoreError
from store.exports.masking import is_visible
from store.governance.class_schema import governed

PAGE = 1_000
SHOWN = 20


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "export",
        help="write the entities of a class to a file",
        description="Writes what a user may see of a class, as it holds now or held at a time.",
    )
    parser.add_argument("type", help="the class: module and name, such as store.models.Trade")
    parser.add_argument("file", type=Path, help="FILE.jsonl or FILE.parquet; it must not exist")
    parser.add_argument("--user", required=True, help="who logs in; their rights count")
    for name, what in (("tx-time", "as it was known then"), ("valid-time", "about then")):
        parser.add_argument(f"--{name}", type=_moment, metavar="TIME", help=f"{what}; ISO 8601")
    parser.add_argument(
        "--clearance",
        default="internal",
        choices=("public", "internal", "confidential", "restricted"),
        help="columns that are more sensitive are left empty (default: internal)",
    )
    add_server_options(parser)
    add_password_option(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the file; one that could not be finished is removed."""
    writer = {".jsonl": _write_json_lines, ".parquet": _write_parquet}.get(options.file.suffix)
    if writer is None:
        raise StoreError(f"{options.file}: .jsonl and .parquet can be written")
    cls = class_named(options.type)
    if options.file.exists():
        raise StoreError(f"{options.file} exists already; name another file")
    password = given_password(options, f"the password of {options.user}")
    lost: list[Unreadable] = []
    unfinished = options.file.with_name(options.file.name + ".part")
    try:
        with (
            reached(options) as server,
            StoreClient(options.user, password, **server.conn_info()) as client,
        ):
            pages = _pages(client, cls, options, lost)
            written = writer(unfinished, cls, pages, options.clearance)
        unfinished.rename(options.file)
    finally:
        unfinished.unlink(missing_ok=True)
    say(f"{written} entities were written to {options.file}.")
    for each in lost[:SHOWN]:
        complain(f"not written: {each}")
    if len(lost) > SHOWN:
        complain(f"and {len(lost) - SHOWN} more")
    return 1 if lost else 0


def _pages(
    client: StoreClient,
    cls: type[Storable],
    options: argparse.Namespace,
    lost: list[Unreadable],
) -> Iterator[QueryResult[Storable]]:
    times = {"tx_time": options.tx_time, "valid_time": options.valid_time}
    is_now = not any(times.values())
    whole = client.count(cls) if is_now else None
    done, cursor = 0, None
    with progress(cls.__name__) as show:
        while True:
            with warnings.catch_warnings():
                # They are told at the end.
                warnings.simplefilter("ignore", UnreadableWarning)
                page = client.query(cls, limit=PAGE, cursor=cursor, **times)
            lost += page.unreadable
            yield page
            done, cursor = done + len(page) + len(page.unreadable), page.next_cursor
            show(done, max(done, whole or done))
            if cursor is None:
                return


def _write_json_lines(
    file: Path, cls: type[Storable], pages: Iterator[QueryResult[Storable]], clearance: str
) -> int:
    hidden = {
        name
        for name, field in governed(cls).fields.items()
        if not is_visible(field.column, clearance)
    }
    with file.open("w", encoding="utf-8") as out:
        return sum(_write_lines(out, page, hidden) for page in pages)


def _write_lines(out: TextIO, page: QueryResult[Storable], hidden: set[str]) -> int:
    for obj in page:
        shown = copy.copy(obj)
        for name in hidden:
            object.__setattr__(shown, name, None)
        line = {
            "entity_id": obj._store_entity_id,
            "version": obj._store_version,
            "owner": obj._store_owner,
            "updated_by": obj._store_updated_by,
            "tx_time": _iso(obj._store_tx_time),
            "valid_from": _iso(obj._store_valid_from),
            "valid_to": _iso(obj._store_valid_to),
            "state": obj._store_state,
        }
        # The text itself: through floats, long numbers would lose digits.
        head = json.dumps(line, ensure_ascii=False).removesuffix("}")
        out.write(f'{head}, "data": {shown.to_json()}}}\n')
    return len(page)


def _write_parquet(
    file: Path, cls: type[Storable], pages: Iterator[QueryResult[Storable]], clearance: str
) -> int:
    written = 0
    empty: pa.Table = QueryResult([], None, cls).to_arrow(clearance)
    with pq.ParquetWriter(file, empty.schema) as out:
        for page in pages:
            out.write_table(page.to_arrow(clearance))
            written += len(page)
    return written


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no ISO 8601 time") from None
    return moment.astimezone() if moment.tzinfo is None else moment
