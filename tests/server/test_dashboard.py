"""The dashboard in a real browser: numbers that change, and the picture that the README shows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.pictures import picture_of
from tests.processes import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from server.trading_server import TradingServer


@pytest.fixture
def page(browser: Browser | None) -> Iterator[Page]:
    if browser is None:
        pytest.skip("no Chromium: install Debian's package chromium to look at the page")
    opened = browser.new_page(viewport={"width": 1600, "height": 1000})
    opened.set_default_timeout(60_000)
    yield opened
    opened.close()


def test_the_dashboard_shows_numbers_that_change(
    trading_server: TradingServer, page: Page, screenshots: Path
) -> None:
    page.goto(trading_server.dashboard_url)
    for title in (
        "Portfolio",
        "Prices",
        "Price chart",
        "Risk by position (Greeks of 3-month 5% calls)",
        "Exposure",
    ):
        page.get_by_text(title, exact=True).first.wait_for()
    profit = page.get_by_text(re.compile(r"^-?\$[\d,]+$"))
    profit.first.wait_for()
    first = profit.all_inner_texts()
    wait_until(lambda: profit.all_inner_texts() != first, 30, "other totals")
    page.locator(".js-plotly-plot").nth(2).wait_for()
    # Tables and lines are drawn on canvases: what they show is pixels, not text.
    for drawing in (page.locator(".iris-grid").first, page.locator(".js-plotly-plot").first):
        before = picture_of(drawing)
        wait_until(lambda: picture_of(drawing) != before, 30, "another picture")  # noqa: B023
    picture = page.screenshot(path=str(screenshots / "dashboard.png"))
    assert len(picture) > 50_000


def test_another_symbol_can_be_chosen(trading_server: TradingServer, page: Page) -> None:
    page.goto(trading_server.dashboard_url)
    page.get_by_role("button", name="Symbol").click()
    page.get_by_role("option", name="NVDA").click()
    page.locator(".js-plotly-plot .gtitle", has_text="NVDA").wait_for()


def test_a_wrong_key_shows_no_table(trading_server: TradingServer, page: Page) -> None:
    context = page.context.browser.new_context()  # type: ignore[union-attr]
    try:
        stranger = context.new_page()
        stranger.goto(f"{trading_server.base_url}/iframe/widget/?name=prices_live&psk=wrong")
        stranger.get_by_text(re.compile("key|login|authenticat", re.IGNORECASE)).first.wait_for()
        assert stranger.locator(".iris-grid").count() == 0
    finally:
        context.close()
