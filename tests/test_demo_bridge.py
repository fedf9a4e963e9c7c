"""The demo as a person meets it: started, looked at in a browser, killed, and started again."""

from __future__ import annotations

import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from client.base_client import DeephavenClient
from tests.pictures import picture_of
from tests.processes import ROOT, Process, free_port, wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser

KEY = "a-key-of-the-demo"
TABLES = (
    "orders_raw",
    "orders_live",
    "trades_raw",
    "trades_live",
    "portfolio",
    "risk_calcs",
    "risk_live",
    "risk_totals",
)


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    """Not in pytest's own folder, which the system user of PostgreSQL may not enter."""
    folder = Path(tempfile.mkdtemp(prefix="demo-of-tests-"))
    yield folder
    shutil.rmtree(folder)


def demo(port: int, data: Path, *options: str) -> Process:
    process = Process(
        sys.executable,
        str(ROOT / "demo_bridge.py"),
        *("--port", str(port), "--data", str(data), "--seed", "7", "--orders-per-second", "10"),
        *options,
        env={"DEEPHAVEN_PSK": KEY},
    )
    process.wait_for_output("Ctrl-C stops it")
    return process


def rows(client: DeephavenClient, table: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.open_table(table).to_arrow().to_pylist()
    return found


def states(client: DeephavenClient) -> dict[str, str]:
    return {row["EntityId"]: row["State"] for row in rows(client, "orders_live")}


def check_versions(client: DeephavenClient) -> None:
    """Each version once and in order; the present state is at the newest one, or beyond."""
    raw = rows(client, "orders_raw")
    newest: dict[str, int] = {}
    for row in raw:
        assert row["Version"] == newest.get(row["EntityId"], 0) + 1
        newest[row["EntityId"]] = row["Version"]

    def present_states_follow() -> bool:
        present = {row["EntityId"]: row["Version"] for row in rows(client, "orders_live")}
        return all(present.get(entity_id, 0) >= newest[entity_id] for entity_id in newest)

    wait_until(present_states_follow, 10, "the present state of every order")


def look(browser: Browser, url: str, picture: Path) -> None:
    page = browser.new_page(viewport={"width": 1600, "height": 1000})
    page.set_default_timeout(60_000)
    try:
        page.goto(url)
        for title in ("Book", "Orders", "Orders by state", "Portfolio, from trades"):
            page.get_by_text(title, exact=True).first.wait_for()
        totals = page.get_by_text(re.compile(r"^-?\$[\d,]+$"))
        totals.first.wait_for()
        first = totals.all_inner_texts()
        wait_until(lambda: totals.all_inner_texts() != first, 30, "other totals")
        page.locator(".js-plotly-plot").nth(1).wait_for()
        orders = page.locator(".iris-grid").first
        before = picture_of(orders)
        wait_until(lambda: picture_of(orders) != before, 30, "another picture of the orders")
        assert len(page.screenshot(path=str(picture))) > 50_000
    finally:
        page.close()


def test_orders_go_through_their_lifecycle_and_survive_a_kill(
    browser: Browser | None, data: Path, screenshots: Path, state_home: Path
) -> None:
    port = free_port()
    process = demo(port, data)
    with DeephavenClient(port=port, psk=KEY) as client:
        assert set(TABLES) <= set(client.list_tables())
        wait_until(lambda: "SETTLED" in states(client).values(), 60, "a settled order")
        wait_until(lambda: "CANCELLED" in states(client).values(), 60, "a cancelled order")
        check_versions(client)
        if browser is not None:
            url = re.search(r"http://\S+dashboard\S+", process.output)
            assert url
            look(browser, url.group(), screenshots / "demo.png")
        wait_until(lambda: "FILLED" in states(client).values(), 60, "an order that is clearing")
        unsettled = [i for i, state in states(client).items() if state == "FILLED"]
    process.end(signal.SIGKILL)

    process = demo(port, data)
    with DeephavenClient(port=port, psk=KEY) as client:

        def all_settled() -> bool:
            now = states(client)
            return all(now[entity_id] == "SETTLED" for entity_id in unsettled)

        # Their workflows were cut off, and go on by themselves.
        wait_until(all_settled, 60, "the settlement of what was under way")
        check_versions(client)

        def quantities(table: str) -> dict[str, int]:
            return {row["Symbol"]: row["Quantity"] for row in rows(client, table)}

        # Two ways to the same holdings: trades summed in Deephaven, fills in the reactive graph.
        wait_until(lambda: quantities("portfolio") == quantities("risk_live"), 30, "equal holdings")
        [totals] = rows(client, "risk_totals")
        assert totals["NumPositions"] == 8
        assert totals["TotalRisk"] > 0
    assert process.end(signal.SIGTERM, 60) == 0
    assert re.search(r"\d+ orders \(.*\d+ SETTLED\), \d+ trades\.", process.output)
    assert "Traceback" not in process.output
    assert "ERROR" not in process.output


def test_a_wrong_option_is_refused() -> None:
    process = Process(sys.executable, "demo_bridge.py", "--orders-per-second", "0")
    assert process.wait(60) == 2
    assert "must be above 0, not 0" in process.output
