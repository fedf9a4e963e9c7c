"""The page in a real browser, on a desk that runs: what a trader does, and what he must see."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import re
import shutil
import signal
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.processes import wait_until
from tests.trading.api.running import ACCOUNTS, START_SECONDS, RunningDesk, far_below, order
from trading.client import TradingClient

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page, WebSocketRoute

LAPTOP = {"width": 1366, "height": 768}
PHONE = {"width": 390, "height": 844}
HTML = "<img src=x onerror=\"document.title='owned'\"><b>bold</b>"


@pytest.fixture(scope="module")
def desk() -> Iterator[RunningDesk]:
    """Two accounts of different people on a simulated market, with candles of a second."""
    # PostgreSQL runs as another user, who may not enter the directories of pytest.
    folder = Path(tempfile.mkdtemp(prefix="desk-of-page-"))
    accounts = folder / "accounts.json"
    accounts.write_text(json.dumps(ACCOUNTS))
    running = RunningDesk(
        folder / "data",
        *("--accounts", str(accounts), "--simulate", "AAPL=230", "MSFT=415"),
        *("--seed", "3", "--timeframes", "1s,1m"),
    )
    try:
        running.wait_ready()
        yield running
        assert running.stop() == 0, running.process.output
    finally:
        running.end()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def alice(desk: RunningDesk) -> Iterator[TradingClient]:
    """A program of the trader of ALPHA, beside the page."""
    with desk.client("alice") as client:
        yield client


def link_of(desk: RunningDesk, user: str) -> str:
    """The one-time link that the desk printed."""
    found = re.search(rf"^  {user} +(http\S+)$", desk.process.output, re.MULTILINE)
    assert found is not None, desk.process.output
    return found[1]


def send_signal(desk: RunningDesk, name: str, number: int) -> None:
    """Send a signal to one of the desk's processes."""
    os.kill(desk.states()[name]["pid"], number)


def is_ready(desk: RunningDesk) -> bool:
    """Whether the API serves again."""
    try:
        with urllib.request.urlopen(f"{desk.url}/health/ready", timeout=5):
            return True
    except OSError:
        return False


@contextlib.contextmanager
def opened(browser: Browser | None, *, dark: bool = False) -> Iterator[Page]:
    """A page of a browser that nobody has used; what it complains of fails the test."""
    if browser is None:
        pytest.skip("no Chromium: install Debian's package chromium to look at the page")
    context = browser.new_context(
        viewport=LAPTOP,  # type: ignore[arg-type]
        color_scheme="dark" if dark else "light",
        timezone_id="America/New_York",
    )
    page = context.new_page()
    page.set_default_timeout(90_000)
    wrong: list[str] = []
    page.on("request", lambda asked: None if is_own(asked.url) else wrong.append(asked.url))
    page.on("pageerror", lambda error: wrong.append(error.stack or str(error)))
    page.on(
        "console", lambda told: wrong.append(told.text) if "Content Security" in told.text else None
    )
    try:
        yield page
        assert not wrong
    finally:
        context.close()


def is_own(url: str) -> bool:
    return urlsplit(url).hostname == "127.0.0.1" or url.startswith(("data:", "blob:"))


def log_in(page: Page, desk: RunningDesk, user: str, *, timeframe: str = "1s") -> None:
    """Log in by password, and wait until the page is live and its chart has bars."""
    if page.url == "about:blank":
        page.goto(desk.url)
    page.locator("#login-form [name=user]").fill(user)
    page.locator("#login-form [name=password]").fill(desk.password(user))
    page.locator("#login-form button").click()
    is_live(page)
    page.locator(f"#timeframes [data-timeframe='{timeframe}']").click()
    page.locator("#chart[data-bars]:not([data-bars='0'])").wait_for()


def is_live(page: Page) -> None:
    page.locator("body[data-link=open]").wait_for()


def rows(page: Page, tab: str) -> Locator:
    """The rows of a tab, which is opened."""
    page.locator(f"#tab-{tab}").click()
    return page.locator(f"#panel-{tab} tbody tr")


def is_drawn(picture: Locator) -> None:
    picture.wait_for()
    wait_until(lambda: picture.evaluate("it => it.naturalWidth") > 0, 60, "the picture")


def type_order(page: Page, **fields: str) -> None:
    for name, value in fields.items():
        field = page.locator(f"#ticket [name={name}]")
        if name in ("kind", "time_in_force"):
            field.select_option(value)
        elif value in ("on", "off"):
            field.set_checked(value == "on")
        else:
            field.fill(value)


def send(page: Page) -> None:
    """Press the button that sends; it rests a moment after each order."""
    page.locator("#ticket-send:not([disabled])").click()


def verdict(page: Page, text: str) -> str:
    box = page.locator("#ticket-preview", has_text=text)
    box.wait_for()
    return box.inner_text()


def test_a_candle_changes_and_only_the_right_password_shows_it(
    desk: RunningDesk, browser: Browser | None, screenshots: Path
) -> None:
    with opened(browser) as page:
        page.goto(desk.url)
        page.locator("#login-form [name=user]").fill("alice")
        page.locator("#login-form [name=password]").fill("wrong")
        page.locator("#login-form button").click()
        page.locator("#login-problem", has_text="user or password is wrong").wait_for()
        page.screenshot(path=screenshots / "log_in.png")
        log_in(page, desk, "alice")
        chart = page.locator("#chart")
        before = chart.get_attribute("data-close"), chart.get_attribute("data-bars")
        wait_until(lambda: chart.get_attribute("data-close") != before[0], 60, "another price")
        wait_until(lambda: chart.get_attribute("data-bars") != before[1], 60, "another candle")
        assert re.search(
            r"O [\d.]+\s+H [\d.]+\s+L [\d.]+\s+C [\d.]+", page.locator("#chart-bar").inner_text()
        )
        assert page.locator(".level.buy:visible").count() >= 3
        assert page.locator(".level.sell:visible").count() >= 3


def test_a_bracket_is_sent_filled_dragged_and_its_exits_are_canceled(
    desk: RunningDesk, alice: TradingClient, browser: Browser | None, screenshots: Path
) -> None:
    last = float(alice.prices()["AAPL"]["price"])
    target, stop = f"{last * 1.015:.2f}", f"{last * 0.985:.2f}"
    with opened(browser, dark=True) as page:
        page.goto(link_of(desk, "alice"))
        is_live(page)
        page.keyboard.press("b")
        page.keyboard.type("7")
        type_order(page, bracket="on", target=target, stop=stop)
        told = verdict(page, "Risk would allow it")
        assert "notional" in told
        page.locator("#ticket [name=stop]").press("Enter")
        assert page.evaluate("document.activeElement.id") == "ticket-send"
        page.keyboard.press("Enter")
        page.get_by_text("BUY 7 AAPL sent").wait_for()
        fill = rows(page, "fills").filter(has_text="by hand").first
        fill.wait_for()
        assert [fill.locator("td").nth(cell).inner_text() for cell in (1, 2, 3)] == [
            "AAPL",
            "BUY",
            "7",
        ]
        rows(page, "positions").filter(has_text="AAPL").wait_for()
        orders = rows(page, "orders")
        wait_until(lambda: orders.count() == 2, 60, "both exits")
        page.locator("#chart[data-lines='2']").wait_for()
        page.screenshot(path=screenshots / "bracket.png")

        page.locator("#fit").click()
        [exit_order] = [each for each in alice.orders(open=True) if each.group_role == "TARGET"]
        drag_line(page, 14)

        def price() -> str:
            return alice.order(exit_order.order_id).limit_price or ""

        wait_until(lambda: float(price()) != float(target), 60, "the dragged price")
        assert float(stop) < float(price()) < float(target)
        page.locator("#panel-orders tbody tr", has_text=price()).wait_for()

        orders.filter(has_text="target").get_by_role("button", name="Cancel").click()
        # Rows rest while the pointer is on them; what they say does not.
        orders.filter(has_text="canceled").first.wait_for()
        page.mouse.move(5, 5)
        wait_until(lambda: orders.filter(has_text="target").count() == 0, 60, "the target's end")
        # The stop goes on to protect the position until it is canceled as well.
        page.locator("#cancel-all").click()
        page.get_by_role("button", name="Cancel all orders").click()
        wait_until(lambda: orders.count() == 0, 60, "the end of both exits")
        page.locator("#only-open").uncheck()
        assert orders.filter(has_text="canceled").count() == 2
        orders.filter(has_text="market · entry").first.click()
        page.get_by_role("dialog").get_by_text("submitted").first.wait_for()
        page.keyboard.press("Escape")
        assert page.get_by_role("dialog").count() == 0


def drag_line(page: Page, by: int) -> None:
    """Find the uppermost line of an order by what the pointer says of it, and drag it."""
    box = page.locator("#chart").bounding_box()
    assert box is not None
    x = box["x"] + box["width"] / 2
    grips = page.locator("#chart.grips")
    for y in range(round(box["y"]) + 2, round(box["y"] + box["height"] * 0.6), 7):
        page.mouse.move(x, y)
        if grips.count():
            page.mouse.down()
            page.mouse.move(x, y + by, steps=4)
            page.mouse.up()
            return
    raise AssertionError("no line was found on the chart")


def test_risk_refuses_and_the_page_says_why(
    desk: RunningDesk, browser: Browser | None, screenshots: Path
) -> None:
    with opened(browser) as page:
        log_in(page, desk, "alice")
        type_order(page, quantity="5000")
        told = verdict(page, "Risk would refuse: NOTIONAL_MAX")
        assert "max_order_notional 50000" in told
        send(page)
        told = verdict(page, "Refused: NOTIONAL_MAX")
        assert "max_order_notional 50000" in told
        assert "at most 50000" in told
        page.screenshot(path=screenshots / "refused.png")
        page.locator("#ticket-preview").get_by_role("button", name="Why?").click()
        why = page.get_by_role("dialog")
        # The first such question starts a process, which reads all that the run was told.
        chain = why.locator(".why-chain", has_text="max_order_notional")
        chain.wait_for(timeout=START_SECONDS * 1000)
        is_drawn(why.locator("img.why-picture"))
        page.screenshot(path=screenshots / "why.png")
        page.keyboard.press("Escape")
        page.locator("#only-open").uncheck()
        rows(page, "orders").filter(has_text="denied").first.wait_for()
        rows(page, "decisions").filter(has_text="notional max").first.wait_for()
        rows(page, "limits").filter(has_text="max order notional").filter(
            has_text="50000"
        ).wait_for()
        # The exits of a bracket on the wrong side are seen before they are sent.
        type_order(page, quantity="1", bracket="on", target="100", stop="300")
        verdict(page, "target above and stop below")


def test_a_cut_is_seen_and_nothing_is_missed_or_doubled(
    desk: RunningDesk, browser: Browser | None, screenshots: Path
) -> None:
    with opened(browser) as page:
        log_in(page, desk, "alice")
        with desk.client("alice") as program:
            price = far_below(program)
            program.submit(order(limit_price=price, tag="before"))
        shown = rows(page, "orders")
        shown.filter(has_text="before").wait_for()
        type_order(page, quantity="3")
        restarts = desk.states()["api"]["restarts"]
        send_signal(desk, "api", signal.SIGKILL)
        page.locator("#banner", has_text="Connection lost").wait_for()
        assert page.locator("#ticket-send").is_disabled()
        page.screenshot(path=screenshots / "cut.png")
        wait_until(lambda: desk.states()["api"]["restarts"] > restarts, 90, "a new API")
        wait_until(lambda: is_ready(desk), 90, "the API")
        # A restarted server knows no sessions; meanwhile a program goes on trading.
        page.locator("#login-why", has_text="The session has ended").wait_for()
        with desk.client("alice") as program:
            program.submit(order(limit_price=price, tag="meanwhile"))
            log_in(page, desk, "alice")
            shown.filter(has_text="meanwhile").wait_for()
            for tag in ("before", "meanwhile"):
                assert shown.filter(has_text=tag).count() == 1
            page.locator("#banner").wait_for(state="hidden")
            # What was being typed is still there, and changes go on to come.
            assert page.locator("#ticket [name=quantity]").input_value() == "3"
            program.cancel_all("ALPHA")
            wait_until(lambda: shown.count() == 0, 60, "no open orders")


def test_stale_prices_are_seen(desk: RunningDesk, browser: Browser | None) -> None:
    with opened(browser) as page:
        log_in(page, desk, "bob")
        send_signal(desk, "market", signal.SIGSTOP)
        try:
            page.locator("#banner", has_text="Prices are stale").wait_for()
            assert page.locator("body[data-fresh=stale]").count() == 1
            # A server that was started while the market hangs has no tick to tell the age of.
            with opened(browser) as other:
                other.route_web_socket(re.compile(r"/ws$"), without_age)
                log_in(other, desk, "bob")
                other.locator("#banner", has_text="none has come").wait_for()
                other.unroute_all(behavior="ignoreErrors")
        finally:
            send_signal(desk, "market", signal.SIGCONT)
        page.locator("#banner").wait_for(state="hidden")
        wait_until(lambda: is_ready(desk), 90, "the API")


def without_age(route: WebSocketRoute) -> None:
    """Pass on what the server says, but how old the newest tick is."""
    server = route.connect_to_server()

    def passed(text: str | bytes) -> None:
        message = json.loads(text)
        if "market_age_s" in message:
            message["market_age_s"] = None
        route.send(json.dumps(message))

    server.on_message(passed)


def test_two_users_see_only_what_is_theirs(
    desk: RunningDesk, alice: TradingClient, browser: Browser | None
) -> None:
    price = far_below(alice)
    alice.submit(order(limit_price=price, tag="of alice"))
    with opened(browser) as page, opened(browser) as other:
        log_in(page, desk, "bob")
        log_in(other, desk, "rita")
        with desk.client("bob") as bob:
            bob.submit(order("BETA", limit_price=price, tag="of bob"))
        rows(page, "orders").filter(has_text="of bob").wait_for()
        rows(other, "orders").filter(has_text="of alice").wait_for()
        assert page.locator("#account option").all_inner_texts() == ["BETA · trader"]
        assert other.locator("#account option").all_inner_texts() == ["ALPHA · risk"]
        assert "of alice" not in page.content()
        assert "ALPHA" not in page.content()
        assert "of bob" not in other.content()
        # Who may not trade is told so, and can halt.
        other.locator("#ticket-why", has_text="a trader sends orders").wait_for()
        assert other.locator("#panel-orders").get_by_role("button", name="Cancel").count() == 0
        other.keyboard.press("Shift+H")
        other.get_by_placeholder("reason").fill(HTML)
        other.get_by_role("button", name="Halt trading").click()
        other.locator("#trading-state[data-state=HALTED]").wait_for()
        rows(other, "orders")
        other.locator("#panel-orders").get_by_text("No open orders.").wait_for()
        other.locator("#trading-state").click()
        other.get_by_role("dialog").get_by_text(HTML).wait_for()
        other.get_by_role("button", name="Trade", exact=True).click()
        other.get_by_placeholder("reason").fill("all is well")
        other.get_by_role("button", name="Trade again").click()
        other.locator("#trading-state[data-state=ACTIVE]").wait_for()
        assert page.locator("#trading-state[data-state=ACTIVE]").count() == 1


def test_two_people_change_a_limit(
    desk: RunningDesk, browser: Browser | None, screenshots: Path
) -> None:
    with opened(browser) as page, opened(browser) as other:
        log_in(page, desk, "alice")
        log_in(other, desk, "rita")
        # Who looks on sees each step without asking again.
        other.locator("#tab-limits").click()
        other.locator("#panel-limits").get_by_text("Limits that hold").wait_for()
        change = propose(page, "max_gross_exposure", "900000", "a calmer market")
        change.get_by_text("You asked for it yourself", exact=False).wait_for()
        assert "rita may" in change.inner_text()
        assert change.get_by_role("button", name="Approve").is_disabled()
        page.screenshot(path=screenshots / "proposed.png")
        change = other.locator("article.change", has_text="a calmer market")
        change.locator("tr", has_text="max gross exposure").filter(has_text="900000").wait_for()
        assert change.get_by_role("button", name="Withdraw").count() == 0
        change.get_by_role("button", name="Approve").click()
        other.get_by_role("dialog").get_by_role("button", name="Approve").click()
        held = rows(page, "limits").filter(has_text="max gross exposure")
        page.locator("#panel-limits .reason", has_text="a calmer market").wait_for(state="hidden")
        held.filter(has_text="900000").first.wait_for()

        # One alone puts a limit in force, and another person reviews it.
        change = propose(page, "max_net_exposure", "800000", "the feed is wrong")
        change.get_by_role("button", name="Break the glass").click()
        page.get_by_placeholder("reason").fill(HTML)
        page.get_by_role("dialog").get_by_role("button", name="Break the glass").click()
        review = page.locator("article", has_text="Put in force by one person alone")
        review.get_by_text("You asked for it yourself", exact=False).wait_for()
        assert review.get_by_role("button", name="Review").is_disabled()
        review = other.locator("article", has_text="Put in force by one person alone")
        review.get_by_role("button", name="Review").click()
        other.get_by_placeholder("reason").fill("it was")
        other.get_by_role("button", name="Justified", exact=True).click()
        review.wait_for(state="detached")
        rows(other, "limits").filter(has_text="it was").wait_for()
        held = rows(page, "limits").filter(has_text="max net exposure")
        held.filter(has_text="800000").first.wait_for()
        assert other.locator("#panel-limits img").count() == 0


def propose(page: Page, name: str, value: str, reason: str) -> Locator:
    """Propose a limit, and return what the page shows of it."""
    page.locator("#tab-limits").click()
    page.get_by_role("button", name="Propose other limits").click()
    dialog = page.get_by_role("dialog")
    dialog.locator(f"[name={name}]").fill(value)
    dialog.locator("[name=reason]").fill(reason)
    dialog.get_by_role("button", name="Propose: ").click()
    return page.locator("article.change", has_text=reason)


def test_a_recording_is_replayed_and_never_taken_for_live(
    desk: RunningDesk, browser: Browser | None, alice: TradingClient, screenshots: Path
) -> None:
    with opened(browser) as page:
        log_in(page, desk, "alice")
        page.keyboard.press("r")
        form = page.locator("#replay-form")
        form.locator("[name=what]").select_option("ticks")
        form.locator("[name=symbol]").select_option(["AAPL", "MSFT"])
        form.locator("[name=timeframe]").select_option("1s")
        form.locator("[name=strategy]").select_option("SmaCross")
        form.locator("[name=parameter-fast]").fill("many")
        form.get_by_role("button", name="Open").click()
        form.locator(".problem", has_text="fast").wait_for()
        form.locator("[name=parameter-fast]").fill("3")
        form.get_by_role("button", name="Open").click()
        replay = page.locator("#replay")
        replay.get_by_text("REPLAY", exact=True).first.wait_for()
        [session] = alice.replays.list()
        assert (session.symbols, session.strategy) == (["AAPL", "MSFT"], "SmaCross")
        assert page.get_by_label("Symbol of the replay").locator("option").count() == 2
        assert "REPLAY" in page.title()
        for live in ("main", "#earned", "#trading-state"):
            assert not page.locator(live).is_visible()
        clock = page.locator("#replay-time")

        def position() -> int:
            return int(replay.get_attribute("data-position") or 0)

        page.locator("#replay[data-state=PAUSED]").wait_for()
        page.keyboard.press(".")
        wait_until(lambda: position() > 0, 60, "a bar")
        first = position()
        page.keyboard.press(".")
        wait_until(lambda: position() > first, 60, "the next bar")
        page.locator("#replay-chart[data-bars]:not([data-bars='0'])").wait_for()
        # Keys of the live page do nothing here.
        page.keyboard.press("b")
        page.get_by_text("This is a replay").first.wait_for()
        assert page.evaluate("document.activeElement.name") != "quantity"
        stepped = position()
        page.keyboard.press("p")
        wait_until(lambda: position() > stepped, 60, "the replay's next tick")
        page.locator("#replay-play", has_text="Pause").click()
        page.locator("#replay[data-state=PAUSED]").wait_for()
        page.screenshot(path=screenshots / "replay.png")
        page.locator("#replay-seek").press("End")
        wait_until(lambda: position() > stepped, 60, "the end of the recording")
        at_end = clock.inner_text()
        page.locator("#replay-seek").press("Home")
        wait_until(lambda: position() < stepped, 60, "the beginning")
        assert clock.inner_text() != at_end
        assert re.search(r"UTC|EST|EDT", at_end)
        page.keyboard.press("l")
        page.locator("main").wait_for()
        assert not replay.is_visible()
        assert page.title() == "Trading desk"
        page.locator("#earned").wait_for()
        # What was left goes on where it stood.
        page.keyboard.press("r")
        page.get_by_role("dialog").get_by_role("button", name="Go on").first.click()
        replay.wait_for()
        page.get_by_role("button", name="End", exact=True).click()
        page.locator("main").wait_for()


def test_a_run_is_compared_with_what_it_would_have_been(
    desk: RunningDesk, browser: Browser | None, alice: TradingClient, screenshots: Path
) -> None:
    with opened(browser) as page:
        made = alice.submit(order(quantity="2"))
        wait_until(lambda: alice.order(made.order_id).status == "FILLED", 60, "the fill")
        log_in(page, desk, "alice")
        page.keyboard.press("r")
        page.get_by_role("button", name="What would have been different").click()
        form, found = page.locator("#what-if-form"), page.locator("#what-if-found")
        form.get_by_role("button", name="Verify").click()
        found.get_by_text("The replay is the same").wait_for()
        form.get_by_role("button", name="Compare").click()
        form.get_by_text("nothing is changed").wait_for()
        form.locator("[name=limits]").fill("max_order_quantity=1")
        form.get_by_role("button", name="Compare").click()
        found.get_by_text("Orders that differ").wait_for()
        row = found.locator("tr", has_text="denied (size max)").first
        row.wait_for()
        page.screenshot(path=screenshots / "what_if.png")
        assert alice.orders()[0].order_id == made.order_id


def option(symbol: str, delta: float) -> dict[str, Any]:
    return {
        **{"symbol": symbol, "bid": "6.35", "ask": None, "option_price": "6.40"},
        **{"implied_vol": 0.251, "theoretical_price": 6.41, "delta": delta, "gamma": 0.021},
        **{"vega": 0.25, "theta": -0.11, "rho": 0.08, "note": HTML},
    }


_LADDER = {
    "type": "options",
    "underlying": "AAPL",
    "underlying_price": "231.50",
    "time": "2026-02-20T14:30:00.000000Z",
    "model": "black_scholes",
    "rate": 0.068,
    "expiries": [
        {
            "expiry": "2026-03-20T20:00:00.000000Z",
            "t_days": 28.2,
            "rows": [
                {
                    "strike": strike,
                    "moneyness": 1.0,
                    "call": option(f"AAPL {strike} C", 0.53),
                    "put": option(f"AAPL {strike} P", -0.47) if strike != "235" else None,
                }
                for strike in ("225", "230", "235")
            ],
        }
    ],
}


def test_options_stand_by_strike_with_their_greeks(
    desk: RunningDesk, browser: Browser | None, screenshots: Path
) -> None:
    def with_ladder(ws: WebSocketRoute) -> None:
        server = ws.connect_to_server()

        def pass_on(message: str | bytes) -> None:
            told = json.loads(message)
            if told["type"] == "hello":
                # Of a replay that was left meanwhile; the page passes over it.
                late = {"type": "snapshot", "topic": "replay:0123456789ab", "seq": 1, "item": {}}
                ws.send(json.dumps(late))
            for place, item in enumerate(told.get("items", ())):
                if item.get("type") == "options":
                    told["items"][place] = ladder
            ws.send(json.dumps(told))

        server.on_message(pass_on)

    with opened(browser) as page:
        underlyings: list[dict[str, Any]] = []
        ladder = copy.deepcopy(_LADDER)
        page.route(
            re.compile(r"/options$"),
            lambda route: route.fulfill(json={"items": underlyings, "next_cursor": None}),
        )
        page.route_web_socket(re.compile(r"/ws$"), with_ladder)
        log_in(page, desk, "alice")
        page.keyboard.press("c")
        page.locator("#panel-options", has_text="This desk has no options").wait_for()
        underlyings.append({"underlying": "AAPL", "expiries": []})
        shown = rows(page, "options")
        wait_until(lambda: shown.count() == 3, 60, "three strikes")
        assert shown.locator("th").all_inner_texts() == ["225", "230", "235"]
        assert page.locator("tr.at-the-money th").inner_text() == "230"
        cells = shown.nth(1).locator("td").all_inner_texts()
        assert (cells[5], cells[-6]) == ("0.530", "−0.470")
        assert cells[7:10] == ["25.1 %", "6.35", "–"]
        assert set(shown.nth(2).locator("td").all_inner_texts()[11:]) == {""}
        assert page.locator("#panel-options img").count() == 0
        page.screenshot(path=screenshots / "options.png")
        # The socket tells the next one; nobody asks for it.
        ladder["underlying_price"] = "226.00"
        wait_until(
            lambda: page.locator("tr.at-the-money th").inner_text() == "225", 60, "the next price"
        )
        page.unroute_all(behavior="ignoreErrors")


_NAMES = {
    *("id", "account", "run", "type", "topic", "position", "order_id", "symbol", "timeframe"),
    *("timestamp", "start", "end", "time", "executed_at", "state", "instrument_id", "since"),
    *(
        "limits_json",
        "price",
        "quantity",
        "open",
        "high",
        "low",
        "close",
        "group_id",
        "next_cursor",
    ),
}


def hostile(value: Any, name: str = "") -> Any:
    """The same with HTML at the end of every text that is no key, time or price of the chart."""
    if isinstance(value, dict):
        return {key: hostile(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [hostile(each, name) for each in value]
    return value + HTML if isinstance(value, str) and name not in _NAMES else value


def test_html_in_every_text_is_shown_as_text(
    desk: RunningDesk, alice: TradingClient, browser: Browser | None
) -> None:
    alice.submit(order(quantity="1", tag=HTML[:100]))
    with opened(browser) as page:

        def between(route: WebSocketRoute) -> None:
            server = route.connect_to_server()

            def changed(text: str | bytes) -> None:
                message = json.loads(text)
                for part in ("items", "item", "data"):
                    if part in message:
                        message[part] = hostile(message[part])
                route.send(json.dumps(message))

            server.on_message(changed)

        def answered(route: Any) -> None:
            answer = route.fetch()
            found = answer.json()
            if "items" in found:
                found["items"] = hostile(found["items"])
            else:
                found = hostile(found)
            route.fulfill(response=answer, body=json.dumps(found))

        page.route_web_socket(re.compile(r"/ws$"), between)
        page.route(
            re.compile(r"/(positions|pnl|strategies|picker|orders|decisions|governance)(\?.*)?$"),
            answered,
        )
        log_in(page, desk, "alice")
        page.locator("#only-open").uncheck()
        for tab in (
            "orders",
            "fills",
            "positions",
            "pnl",
            "decisions",
            "limits",
            "strategies",
            "desk",
        ):
            rows(page, tab)
            panel = page.locator(f"#panel-{tab}")
            if tab != "strategies":
                panel.get_by_text("<b>bold</b>").first.wait_for()
            assert panel.locator("img, b").count() == 0
        rows(page, "fills").first.click()
        page.get_by_role("dialog").get_by_text("<img src=x").first.wait_for()
        assert page.get_by_role("dialog").locator("img, b").count() == 0
        assert page.title() == "Trading desk"
        page.unroute_all(behavior="ignoreErrors")


def test_it_fits_its_screen(desk: RunningDesk, browser: Browser | None, screenshots: Path) -> None:
    with opened(browser) as page:
        log_in(page, desk, "alice")
        for dark in (True, False):
            look = "dark" if dark else "light"
            page.emulate_media(color_scheme="dark" if dark else "light")
            page.locator(f"html[data-theme={look}]").wait_for()
            for name, size in (("laptop", LAPTOP), ("phone", PHONE)):
                page.set_viewport_size(size)  # type: ignore[arg-type]
                for view in ("chart", "trade", "records"):
                    if name == "phone":
                        page.locator(f"#views [data-view={view}]").click()
                    page.screenshot(path=screenshots / f"{name}_{look}_{view}.png")
                    wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
                    assert wide <= 0, f"{view} on a {name} is {wide} pixels too wide"
                over = page.locator("#side").evaluate("box => box.scrollWidth - box.clientWidth")
                assert over <= 0


def test_zone_keys_and_other_times(
    desk: RunningDesk, alice: TradingClient, browser: Browser | None, screenshots: Path
) -> None:
    alice.submit(order(quantity="2"))
    with opened(browser) as page:
        log_in(page, desk, "alice")
        assert page.locator("#chart-zone").inner_text().startswith("New York (UTC−")
        cell = rows(page, "fills").first.locator("td").first
        there = cell.inner_text()
        page.locator("#zone").select_option("UTC")
        page.locator("#chart-zone", has_text="UTC").wait_for()
        assert cell.inner_text() != there
        page.locator("#theme").select_option("dark")
        page.locator("#symbols button", has_text="MSFT").click()
        # The choices stay with the browser.
        page.reload()
        is_live(page)
        assert page.locator("html").get_attribute("data-theme") == "dark"
        page.locator("#chart-symbol", has_text="MSFT").wait_for()
        assert page.locator("#zone").input_value() == "UTC"
        page.keyboard.press("?")
        page.get_by_role("dialog").get_by_text("halt the account").wait_for()
        page.screenshot(path=screenshots / "help.png")
        page.keyboard.press("Escape")
        for key, tab in (("3", "positions"), ("8", "limits"), ("0", "desk"), ("a", "asof")):
            page.keyboard.press(key)
            page.locator(f"#tab-{tab}[aria-selected=true]").wait_for()
        page.locator("#panel-asof").get_by_role("button", name="Show").click()
        held = page.locator("#panel-asof .empty", has_text="What held at").first
        held.wait_for(timeout=START_SECONDS * 1000)
        page.locator("#panel-asof .figures").get_by_text("Total").wait_for()
        page.screenshot(path=screenshots / "as_of.png")
        page.get_by_role("button", name="What changed since").click()
        changed = page.locator("#panel-asof .changes tr", has_text="pnl net")
        changed.filter(has_text="fill").first.wait_for(timeout=START_SECONDS * 1000)
        page.screenshot(path=screenshots / "changes.png")
        page.keyboard.press("Escape")
        page.keyboard.press("0")
        rows(page, "desk").filter(has_text="engine").filter(has_text="running").wait_for()


def test_indicators_are_those_of_the_library(desk: RunningDesk, browser: Browser | None) -> None:
    from trading.indicators import EMA, RSI, SMA

    closes = [100 + (index * 7919 % 31) / 7 for index in range(120)]
    with opened(browser) as page:
        page.goto(desk.url)
        for name, indicator in (("ema", EMA(20)), ("sma", SMA(50)), ("rsi", RSI(14))):
            found = page.evaluate(
                "async ([name, closes, length]) => "
                "(await import('/js/indicators.js'))[name](closes, length)",
                [name, closes, indicator.length],
            )
            wanted = [indicator.update(close) for close in closes]
            assert found == [None if each is None else pytest.approx(each) for each in wanted], name


_LATE_BARS = """async () => {
    const { PriceChart } = await import("/js/chart.js");
    const start = Date.parse("2026-02-20T14:30:00Z") / 1000;
    const iso = (at) => new Date(at * 1000).toISOString();
    const bar = (at, state = "final") => ({
        symbol: "AAPL", timeframe: "1s", start: iso(at), end: iso(at + 1), open: "230", high: "231",
        low: "229", close: "230.5", volume: "10", state,
    });
    const frames = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 120)));
    const bars = [];
    for (let at = start; at < start + 60; at += 1) {
        if (at < start + 20 || at >= start + 25) bars.push(bar(at));
    }
    const late = [20, 21, 22, 23, 24];
    window.fetch = async (path) => {
        const isBars = path.startsWith("/bars");
        // The bars that were missing come while the calendar says that they are.
        if (!isBars) for (const at of late) chart.takeBar(bar(start + at));
        const slots = late.map((at) => iso(start + at));
        return { ok: true, text: async () => JSON.stringify(isBars ? { items: bars } : { slots }) };
    };
    document.getElementById("login").hidden = true;
    const box = document.createElement("div");
    box.style = "position: fixed; inset: 0 0 300px 0; z-index: 5";
    document.body.append(box);
    const [note, told] = [document.createElement("p"), document.createElement("p")];
    const chart = new PriceChart(box, note, told);
    await chart.load("AAPL", "1s", { price_increment: "0.01" });
    await frames();
    chart.takeBar(bar(start + 60));
    await frames();
    return [box.dataset.gaps, box.dataset.bars, chart.candles.data().length];
}"""


def test_bars_that_fill_a_gap_late_are_drawn(desk: RunningDesk, browser: Browser | None) -> None:
    """The chart library takes each time once, and raises "Value is null" for a second one."""
    with opened(browser) as page:
        page.goto(desk.url)
        assert page.evaluate(_LATE_BARS) == ["1", "61", 61]
