"""What the role clients share: publish views, follow them, show them in the terminal."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pydeephaven.table import Table
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table as TextTable
from rich.text import Text

from client.base_client import DeephavenClient
from client.errors import ClientError, ViewOnly
from client.live_table import LiveTable, Row

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
        newest_rows: how many of its last rows to show, all where it is None.
    """

    name: str
    title: str
    make: Callable[[DeephavenClient], Table]
    formats: dict[str, str] = field(default_factory=dict)
    may_be_empty: bool = False
    newest_rows: int | None = None


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
        return table

    def wait_for_rows(self, seconds: float = FIRST_ROWS_SECONDS) -> None:
        """Wait until every view has come in.

        Raises:
            ClientError: one did not.
        """
        for view in self.views:
            table = self.tables[view.name]
            arrived = partial(_arrived, view, table)
            try:
                table.wait_for(arrived, seconds)
            except TimeoutError:
                raise ClientError(
                    f"{view.name} stayed empty for {seconds:g} s; is the server's market running? "
                    "Its table feed_status tells"
                ) from None

    def render(self) -> Group:
        """Return all views as text."""
        parts: list[Any] = []
        lost = [t for t in self.tables.values() if not t.connected]
        if lost:
            parts.append(
                Text(
                    f"The server is gone; waiting for it ({lost[0].last_error}). "
                    "These are the last known rows.",
                    style="bold red",
                )
            )
        if not self.published:
            parts.append(
                Text("The server is view-only: these views are not published.", style="yellow")
            )
        parts.extend(_text_table(view, self.tables[view.name].rows()) for view in self.views)
        return Group(*parts)


def parser(description: str) -> argparse.ArgumentParser:
    """Return a command line with the options that all role clients have."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--host", default="localhost", help="default: %(default)s")
    made.add_argument("--port", type=int, default=10_000, help="default: %(default)s")
    made.add_argument(
        "--once", action="store_true", help="print the views once and leave, for scripts"
    )
    return made


def run(
    options: argparse.Namespace,
    views: Sequence[View],
    *,
    on_update: Callable[[View, list[Row]], None] = lambda _view, _rows: None,
    footer: Callable[[], Text | None] = lambda: None,
) -> int:
    """Show a desk's views until Ctrl-C or SIGTERM, or once; return the exit status."""
    logging.basicConfig(level=logging.ERROR)
    # pydeephaven tells of each failed renewal of a session; the screen tells that it is gone.
    logging.getLogger("pydeephaven").setLevel(logging.CRITICAL + 1)
    console = Console()
    leave = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: leave.set())
    try:
        with DeephavenClient(options.host, options.port) as client:
            desk = Desk(client, views, on_update)
            desk.wait_for_rows()
            if options.once:
                console.print(desk.render())
                return 0
            with Live(
                _screen(desk, footer),
                console=console,
                refresh_per_second=REDRAWS_A_SECOND,
                screen=console.is_terminal,
            ) as live:
                while not leave.wait(1 / REDRAWS_A_SECOND):
                    live.update(_screen(desk, footer))
            console.print(_screen(desk, footer))
    except ClientError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _arrived(view: View, table: LiveTable, rows: list[Row]) -> bool:
    return bool(rows) or (view.may_be_empty and table.updates > 0)


def _screen(desk: Desk, footer: Callable[[], Text | None]) -> Group:
    last = footer()
    return Group(desk.render(), *([last] if last else []), Text("Ctrl-C leaves", style="dim"))


def _text_table(view: View, rows: list[Row]) -> TextTable:
    text = TextTable(title=f"{view.title}  [dim]{view.name}[/dim]", title_justify="left")
    shown = rows[-view.newest_rows :] if view.newest_rows else rows
    columns = list(view.formats) or list(rows[0] if rows else [])
    for column in columns:
        number = bool(view.formats.get(column)) and not view.formats[column].startswith("%")
        text.add_column(column, justify="right" if number else "left")
    for row in shown:
        text.add_row(*(_cell(row.get(c), view.formats.get(c, "")) for c in columns))
    return text


def _cell(value: Any, form: str) -> Text:
    if value is None:
        return Text("")
    shown = format(value, form)
    if form.startswith("+") and value:
        return Text(shown, style="green" if value > 0 else "red")
    return Text(shown)
