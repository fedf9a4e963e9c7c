"""`export`: the entities of a class that a user may see, as JSON lines or Parquet."""

from __future__ import annotations

import argparse
import importlib
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from store.base import Storable
from store.class_schema import governed
from store.cli.access import add_password_option, add_server_options, given_password, reached
from store.cli.output import progress, say
from store.client import StoreClient
from store.errors import StoreError
from store.exports.masking import is_visible
from store.querying import QueryResult

PAGE = 1_000


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
    cls = _class_named(options.type)
    if options.file.exists():
        raise StoreError(f"{options.file} exists already; name another file")
    password = given_password(options, f"the password of {options.user}")
    unfinished = options.file.with_name(options.file.name + ".part")
    try:
        with (
            reached(options) as server,
            StoreClient(options.user, password, **server.conn_info()) as client,
        ):
            written = writer(unfinished, cls, _pages(client, cls, options), options.clearance)
        unfinished.rename(options.file)
    finally:
        unfinished.unlink(missing_ok=True)
    say(f"{written} entities were written to {options.file}.")
    return 0


def _pages(
    client: StoreClient, cls: type[Storable], options: argparse.Namespace
) -> Iterator[QueryResult[Storable]]:
    times = {"tx_time": options.tx_time, "valid_time": options.valid_time}
    is_now = not any(times.values())
    whole = client.count(cls) if is_now else None
    done, cursor = 0, None
    with progress(cls.__name__) as show:
        while True:
            page = client.query(cls, limit=PAGE, cursor=cursor, **times)
            yield page
            done, cursor = done + len(page), page.next_cursor
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
        data = json.loads(obj.to_json())
        line = {
            "entity_id": obj._store_entity_id,
            "version": obj._store_version,
            "owner": obj._store_owner,
            "updated_by": obj._store_updated_by,
            "tx_time": _iso(obj._store_tx_time),
            "valid_from": _iso(obj._store_valid_from),
            "valid_to": _iso(obj._store_valid_to),
            "state": obj._store_state,
            "data": {name: None if name in hidden else value for name, value in data.items()},
        }
        out.write(json.dumps(line, ensure_ascii=False) + "\n")
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


def _class_named(name: str) -> type[Storable]:
    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise StoreError(
            f"no class {name!r} can be imported: {error}; give module and name, such as "
            "store.models.Trade, of a module that Python finds from here"
        ) from error
    if not (isinstance(found, type) and issubclass(found, Storable)):
        raise StoreError(f"{name} is no Storable class")
    return found


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no ISO 8601 time") from None
    return moment.astimezone() if moment.tzinfo is None else moment
