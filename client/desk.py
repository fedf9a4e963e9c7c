"""What the role clients share: publish views, follow them, show them in the terminal."""

from __future__ import annotations

import argparse
import logging
import math
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

from pydeephaven.table import Table
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table as TextTable
from rich.text import Text

from client.base_client import DeephavenClient
from client.errors import ClientError, TableNotFound, ViewOnly
from client.live_table import LiveTable, Row

# Format specifications of our own, for `View.formats`: prices with two decimals and as many more as
# they have, the same with a sign, and quantities with the decimals that they have.
PRICE, SIGNED_PRICE, QUANTITY = "price", "+price", "quantity"
# More digits than this are noise of the calculation.
SIGNIFICANT_DIGITS = 8

REDRAWS_A_SECOND = 4
FIRST_ROWS_SECONDS = 30.0


@dataclass(frozen=True)
class View:
    """A table that a desk makes on the server and shows.

    Attributes:
        name: the name under which all other clients see it.
        title: what stands over it in the terminal.
        make: makes it from a connection.
        formats: column → format specification of its numbers; only these columns are shown, all
            where it is empty.
        may_be_empty: whether it may have no rows when there is nothing to tell.
        newest_rows: how many of its last rows to follow and show, all where it is None.
        needs: the server's tables that it is made of; it is left out where one is missing.
    """

    name: str
    title: str
    make: Callable[[DeephavenClient], Table]
    formats: dict[str, str] = field(default_factory=dict)
    may_be_empty: bool = False
    newest_rows: int | None = None
    needs: tuple[str, ...] = ()


def offered(client: DeephavenClient, views: Sequence[View]) -> list[View]:
    """Return the views of which the server has all tables; a desk and a market server differ.

    Raises:
        TableNotFound: it has those of none.
    """
    there = set(client.list_tables())
    found = [view for view in views if there.issuperset(view.needs)]
    if not found:
        wanted = ", ".join(sorted({name for view in views for name in view.needs}))
        raise TableNotFound(
            f"the server has no table of this client ({wanted}); it has: "
            f"{', '.join(sorted(there)) or 'none'}"
        )
    return found


class Desk:
    """A desk's connection with its views, published and followed.

    Args:
        client: the connection.
        views: what to publish and show.
        on_update: called with a view and its rows after each change.
    """

    def __init__(
        self,
        client: DeephavenClient,
        views: Sequence[View],
        on_update: Callable[[View, list[Row]], None] = lambda _view, _rows: None,
    ) -> None:
        self.client = client
        self.views = tuple(views)
        self.published = True
        self.tables: dict[str, LiveTable] = {}
        self._on_update = on_update
        for view in self.views:
            self.tables[view.name] = self._follow(view)
        self._status = client.follow("feed_status")

    def _follow(self, view: View) -> LiveTable:
        # Publishing again is part of opening again: after a restart the server has no views.
        return self.client.follow(
            lambda client: self._publish(view, client),
            lambda table: self._on_update(view, table.rows()),
        )

    def _publish(self, view: View, client: DeephavenClient) -> Table:
        table = view.make(client)
        try:
            client.bind_table(view.name, table)
        except ViewOnly:
            self.published = False
        return table.tail(view.newest_rows) if view.newest_rows else table

    def wait_for_rows(self, seconds: float = FIRST_ROWS_SECONDS) -> None:
        """Wait until every view has come in, and the state of the market.

        Raises:
            ClientError: one did not.
        """
        awaited = {
            view.name: partial(_arrived, view, self.tables[view.name]) for view in self.views
        }
        for name, arrived in awaited.items():
            try:
                self.tables[name].wait_for(arrived, seconds)
            except TimeoutError:
                raise ClientError(
                    f"{name} stayed empty for {seconds:g} s; is the server's market running? "
                    "Its table feed_status tells"
                ) from None
        self._status.wait_for(bool, seconds)

    def render(self) -> Group:
        """Return all views as text, what is wrong first."""
        parts: list[Any] = [Text(line, style="bold red") for line in self._troubles()]
        if not self.published:
            parts.append(
                Text("The server is view-only: these views are not published.", style="yellow")
            )
        parts.extend(_text_table(view, self.tables[view.name].rows()) for view in self.views)
        return Group(*parts)

    def _troubles(self) -> list[str]:
        """Say why what is shown may not be the present market."""
        lost = [t for t in (*self.tables.values(), self._status) if not t.connected]
        if lost:
            return [
                f"The server is gone; waiting for it ({lost[0].last_error}). "
                "These are the last known rows."
            ]
        return [
            f"Market data is STALE: the {row['Source']} is {row['State']} {row['LastError'] or ''}"
            for row in self._status.rows()
            if row["Stale"]
        ]


def parser(description: str) -> argparse.ArgumentParser:
    """Return a command line with the options that all role clients have."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--host", default="localhost", help="default: %(default)s")
    made.add_argument("--port", type=port, default=10_000, help="default: %(default)s")
    made.add_argument("--tls", action="store_true", help="the server was started with --tls-cert")
    made.add_argument(
        "--root-certs",
        type=_readable_file,
        metavar="FILE",
        help="PEM file of the certificates to trust, or of the server's own; implies --tls",
    )
    made.add_argument(
        "--once", action="store_true", help="print the views once and leave, for scripts"
    )
    return made


def _readable_file(text: str) -> Path:
    path = Path(text)
    try:
        path.read_bytes()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{text} cannot be read: {error.strerror}") from error
    return path


def port(text: str) -> int:
    """Read a port's number."""
    if not (text.isdecimal() and 1 <= int(text) <= 65_535):
        raise argparse.ArgumentTypeError(f"a number from 1 to 65535 is wanted, not {text!r}")
    return int(text)


def amount(text: str, *, at_least: float = 0.0) -> float:
    """Read a finite number above 0, or not below a bound."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0 and value >= at_least):
        wanted = f"{at_least:g} or more" if at_least else "above 0"
        raise argparse.ArgumentTypeError(f"a number {wanted} is wanted, not {text!r}")
    return value


def run(
    options: argparse.Namespace,
    views: Sequence[View],
    *,
    on_update: Callable[[View, list[Row]], None] = lambda _view, _rows: None,
    header: Callable[[], Text | None] = lambda: None,
    at_end: Callable[[DeephavenClient], None] = lambda _client: None,
) -> int:
    """Show a desk's views until Ctrl-C or SIGTERM, or once; return the exit status.

    Args:
        options: those of `parser`.
        views: what to publish and show.
        on_update: called with a view and its rows after each change.
        header: gives what stands above the views: a small terminal cuts off what is below.
        at_end: called before the connection is closed, however the client ends.
    """
    logging.basicConfig(level=logging.ERROR)
    # pydeephaven tells of each failed renewal of a session; the screen tells that it is gone.
    logging.getLogger("pydeephaven").setLevel(logging.CRITICAL + 1)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        with DeephavenClient(
            options.host, options.port, use_tls=options.tls, root_certs=options.root_certs
        ) as client:
            try:
                desk = Desk(client, offered(client, views), on_update)
                desk.wait_for_rows()
                _show(desk, header, once=options.once)
            finally:
                at_end(client)
    except KeyboardInterrupt:
        # Ctrl-C is the way to leave.
        return 0
    except ClientError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _show(desk: Desk, header: Callable[[], Text | None], *, once: bool) -> None:
    console = Console()

    def screen() -> Group:
        above = header()
        hint = [] if once else [Text("Ctrl-C leaves", style="dim")]
        return Group(*hint, *([above] if above else []), desk.render())

    if once:
        console.print(screen())
        return
    pause = threading.Event()
    # Without a terminal, as in a log, the views are printed when the client leaves.
    with Live(
        screen(),
        console=console,
        refresh_per_second=REDRAWS_A_SECOND,
        screen=console.is_terminal,
    ) as live:
        while not pause.wait(1 / REDRAWS_A_SECOND):
            live.update(screen())


def _arrived(view: View, table: LiveTable, rows: list[Row]) -> bool:
    return bool(rows) or (view.may_be_empty and table.updates > 0)


def _text_table(view: View, rows: list[Row]) -> TextTable:
    text = TextTable(title=f"{view.title}  [dim]{view.name}[/dim]", title_justify="left")
    columns = list(view.formats) or list(rows[0] if rows else [])
    for column in columns:
        number = bool(view.formats.get(column)) and not view.formats[column].startswith("%")
        text.add_column(column, justify="right" if number else "left")
    for row in rows:
        text.add_row(*(_cell(row.get(c), view.formats.get(c, "")) for c in columns))
    return text


def _cell(value: Any, form: str) -> Text:
    if value is None:
        return Text("")
    shown = formatted(value, form)
    if form.startswith("+") and value:
        return Text(shown, style="green" if value > 0 else "red")
    return Text(shown)


def formatted(value: Any, form: str) -> str:
    """Return a value as text; times are shown in the time zone of this machine."""
    if form in (PRICE, SIGNED_PRICE):
        return ("+" if form is SIGNED_PRICE and value >= 0 else "") + _with_digits(value, 2)
    if form == QUANTITY:
        return _with_digits(value, 0)
    if isinstance(value, datetime) and form:
        value = datetime.fromtimestamp(value.timestamp(), timezone.utc).astimezone()
    return format(value, form)


def _with_digits(value: float, least: int) -> str:
    """Return a number with the decimals that it has, and at least so many."""
    if not math.isfinite(value):
        return str(value)
    exponent = math.floor(math.log10(abs(value))) if value else 0
    decimals = max(least, SIGNIFICANT_DIGITS - 1 - exponent)
    whole, _, fraction = f"{value:,.{decimals}f}".partition(".")
    fraction = fraction.rstrip("0").ljust(least, "0")
    return f"{whole}.{fraction}" if fraction else whole
