"""The routes of the API, at a desk of real processes."""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
import threading
import urllib.error
import urllib.request
from datetime import datetime, timezone
from decimal import Decimal
from http.client import HTTPConnection
from typing import Any

import pytest

from tests.processes import wait_until
from tests.trading.api.running import RunningDesk, far_below, order
from trading.client import NewOrder, TradingClient
from trading.errors import ApiRefused
from trading.one_time import offer

UGLY = "<script>alert(1)</script> '; DROP TABLE object_store.event; --"


def refused(call: Any) -> ApiRefused:
    with pytest.raises(ApiRefused) as caught:
        call()
    return caught.value


class Browser:
    """A session by cookie, as a page has it."""

    def __init__(self, desk: RunningDesk, user: str) -> None:
        self.port = desk.port
        self.origin = f"http://127.0.0.1:{desk.port}"
        body = {"user": user, "password": desk.password(user), "cookie": True}
        answer, told = self.ask("POST", "/user/login", body, {"Origin": self.origin})
        assert answer.status == 200, told
        self.set_cookie = answer.headers["Set-Cookie"]
        self.cookie = self.set_cookie.partition(";")[0]
        self.told = told

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[Any, Any]:
        link = HTTPConnection("127.0.0.1", self.port, timeout=60)
        given = {"Content-Type": "application/json", **(headers or {})}
        link.request(method, path, None if body is None else json.dumps(body), given)
        answer = link.getresponse()
        text = answer.read()
        link.close()
        return answer, json.loads(text) if text else None


# --- recorded runs and prices ---------------------------------------------------------------------
# They come first, while the journal is short: these read all of it.


def test_replays_of_a_person_are_his_own(alice: TradingClient, bob: TradingClient) -> None:
    made = alice.submit(order())
    wait_until(lambda: alice.order(made.order_id).status == "FILLED", 60, "the fill")
    sources = alice.replays.sources()
    assert [each["run"] for each in sources["runs"]] == ["paper:alpha"]
    assert {each["symbol"] for each in sources["symbols"]} == {"AAPL", "MSFT"}
    assert "SmaCross" in {each["strategy"] for each in sources["strategies"]}
    replay = alice.replays.start_run("ALPHA", speed=None)
    assert (replay.state, replay.owner, replay.position) == ("PAUSED", "alice", 0)
    name = replay.session_id
    for call in (
        lambda: bob.replays.status(name),
        lambda: bob.replays.shown(name),
        lambda: bob.replays.play(name),
        lambda: bob.replays.end(name),
    ):
        assert refused(call).code == "UNKNOWN_SESSION"
    assert bob.replays.list() == []
    assert refused(lambda: bob.replays.start_run("ALPHA")).code == "UNKNOWN_ACCOUNT"
    alice.replays.step(name, "order")
    first = alice.replays.shown(name)
    assert first["orders"]
    alice.replays.play(name)
    wait_until(lambda: alice.replays.status(name).state == "FINISHED", 120, "the end of the run")
    end = alice.replays.shown(name)
    assert made.order_id in {each["order_id"] for each in end["orders"]}
    [fill] = [each for each in end["fills"] if each["order_id"] == made.order_id]
    [real] = [each for each in alice.fills() if each.order_id == made.order_id]
    assert (fill["fill_price"], fill["fill_quantity"]) == (real.fill_price, real.fill_quantity)
    status = first["session"]
    alice.replays.seek(name, time=status["time"], position=status["position"])
    again = alice.replays.shown(name)
    assert {**again, "session": None} == {**first, "session": None}
    alice.replays.restart(name)
    assert alice.replays.status(name).position == 0
    alice.replays.end(name)
    assert refused(lambda: alice.replays.status(name)).code == "UNKNOWN_SESSION"


def test_recorded_ticks_are_played_with_a_strategy(alice: TradingClient) -> None:
    wanted: dict[str, Any] = {"timeframes": ["5s"], "strategy": "TurnTaking", "speed": None}
    for where in ("os:system", "/tmp/x.py:Own", "trading.strategy.examples:SmaCross", UGLY[:90]):
        error = refused(lambda where=where: alice.replays.start(["AAPL"], strategy=where))
        assert error.code == "UNKNOWN_STRATEGY"
    assert refused(lambda: alice.replays.start(["NONE"])).code == "UNKNOWN_SYMBOL"
    none = refused(lambda: alice.replays.start(["AAPL"], end="2001-01-01T00:00:00Z"))
    assert none.code == "NOTHING_RECORDED"
    for each in alice.replays.list():
        alice.replays.end(each.session_id)
    made = [alice.replays.start(["AAPL"], parameters={"size": 7}, **wanted) for _ in range(4)]
    assert refused(lambda: alice.replays.start(["AAPL"])).code == "TOO_MANY_SESSIONS"
    replay = made[0]
    assert (replay.kind, replay.timeframes, replay.strategy) == ("ticks", ["5s"], "TurnTaking")
    alice.replays.play(replay.session_id)
    wait_until(
        lambda: alice.replays.status(replay.session_id).state == "FINISHED", 120, "the last tick"
    )
    shown = alice.replays.shown(replay.session_id)
    assert {each["timeframe"] for each in shown["bars"]} == {"5s"}
    assert {each["order_quantity"] for each in shown["orders"]} <= {"7"}
    wrong = refused(lambda: alice.replays.control(replay.session_id, "seek", position=10**9))
    assert (wrong.status, wrong.code) == (422, "REPLAY")
    for each in made:
        alice.replays.end(each.session_id)
    # Nothing of it has reached the account.
    assert not [each for each in alice.orders(run="*") if each.account == "REPLAY"]


def test_replays_end_by_themselves_and_with_their_process(desk: RunningDesk) -> None:
    limits = {"replay_idle_s": 2.0, "replay_rows_max": 50}
    with desk.other_server(**limits) as server, desk.client("alice", server.url) as alice:
        long = refused(lambda: alice.replays.start(["AAPL", "MSFT"]))
        assert (long.code, long.problem["allowed"]) == ("TOO_LONG", 50)
        start = alice.bars("AAPL", "5s", limit=5)[0]["start"]
        bars = {"source": "bars", "timeframe": "5s", "start": start}
        alice.replays.start(["AAPL"], **bars)
        wait_until(lambda: alice.replays.list() == [], 120, "the end of an idle session")
        replay = alice.replays.start(["AAPL"], **bars)
        pid = server.parts.replays.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: alice.replays.list() == [], 120, "another process")
        assert server.parts.replays.pid != pid
        assert refused(lambda: alice.replays.status(replay.session_id)).status == 404


def test_a_run_is_compared_with_its_replay_and_a_changed_one(
    desk: RunningDesk, alice: TradingClient, bob: TradingClient
) -> None:
    made = alice.submit(order(quantity="4"))
    wait_until(lambda: alice.order(made.order_id).status == "FILLED", 60, "the fill")
    before = alice.accounts()[0]
    whole = alice.replays.verify("ALPHA")
    assert (whole.is_equal, whole.difference, whole.run) == (True, None, "paper:alpha")
    assert whole.inputs >= whole.groups > 1
    part = alice.replays.verify(upto=1)
    assert (part.is_equal, part.groups) == (True, 1)

    # Without the order that was too large for these limits.
    found = alice.replays.what_if("ALPHA", limits={"max_order_quantity": "3"})
    [refusal] = [
        each
        for each in found.orders
        if each.recorded is not None and each.recorded["order_id"] == made.order_id
    ]
    assert refusal.what == "OTHER"
    assert refusal.recorded is not None
    assert refusal.changed is not None
    assert (refusal.recorded["status"], refusal.recorded["filled"]) == ("FILLED", "4")
    assert (refusal.changed["status"], refusal.changed["refusal"]) == ("DENIED", "SIZE_MAX")
    dear = alice.replays.what_if("ALPHA", commission="per-share 1")
    [row] = [each for each in dear.pnl if each["symbol"] == "AAPL"]
    assert Decimal(row["changed"]["fees"]) >= Decimal(4) > Decimal(row["recorded"]["fees"])
    assert dear.recorded_digest != dear.changed_digest
    # Nothing of it has reached the account.
    assert alice.order(made.order_id).status == "FILLED"
    assert alice.accounts()[0].open_orders == before.open_orders

    for call, status, code in (
        (lambda: bob.replays.verify("ALPHA"), 404, "UNKNOWN_ACCOUNT"),
        (lambda: bob.replays.what_if("ALPHA", commission="bps 1"), 404, "UNKNOWN_ACCOUNT"),
        (lambda: alice.replays.verify("ALPHA", "paper:beta"), 404, "UNKNOWN_RUN"),
        (lambda: alice.replays.what_if("ALPHA"), 422, "MALFORMED"),
        (lambda: alice.replays.what_if(limits={"max_ordr": "1"}), 422, "MALFORMED"),
        (lambda: alice.replays.what_if(commission="free"), 422, "MALFORMED"),
        (lambda: alice.replays.what_if(fill_model="best"), 422, "MALFORMED"),
        (lambda: alice.replays.what_if(parameters={"fast": 1}), 422, "UNKNOWN_STRATEGY"),
        (lambda: bob.replays.what_if(parameters={"quick": 1}), 422, "STRATEGY"),
        (lambda: bob.replays.what_if(other_strategy="os:system"), 422, "UNKNOWN_STRATEGY"),
    ):
        error = refused(call)
        assert (error.status, error.code) == (status, code), error.detail
    assert bob.replays.what_if(parameters={"fast": 5}).run == "paper:beta"
    with desk.other_server(replay_rows_max=5) as server, desk.client("alice", server.url) as other:
        long = refused(lambda: other.replays.verify("ALPHA"))
        assert (long.code, "upto" in long.detail) == ("TOO_LONG", True)
        assert other.replays.verify("ALPHA", upto=1).is_equal


def test_figures_at_two_times(alice: TradingClient, bob: TradingClient) -> None:
    alice.flatten("ALPHA")
    wait_until(lambda: not alice.positions(), 60, "a flat account")
    before = datetime.now(timezone.utc).isoformat()
    made = alice.submit(order(side="BUY", quantity="3"))
    wait_until(lambda: alice.order(made.order_id).status == "FILLED", 60, "the fill")
    [fill] = [each for each in alice.fills() if each.order_id == made.order_id]
    now = alice.as_of("ALPHA", bars_from="2020-01-01T00:00:00Z", timeframe="5s")
    [position] = [each for each in now.positions if each["strategy"] == ""]
    assert (position["symbol"], position["net"]) == ("AAPL", "3")
    assert made.order_id in {each["order_id"] for each in now.orders}
    assert now.limits
    assert {each["timeframe"] for each in now.bars} == {"5s"}
    then = alice.as_of("ALPHA", known_at=before)
    assert then.positions == []
    assert made.order_id not in {each["order_id"] for each in then.orders}
    figures = {
        each.figure: each
        for each in alice.changes(before, "ALPHA", at=datetime.now(timezone.utc).isoformat())
        if each.table == "pnl"
    }
    assert (figures["net"].before, figures["net"].after) == ("0", "3")
    assert [each["what"] for each in figures["net"].events] == ["FILL"]
    assert figures["net"].events[0]["subject"] == fill.fill_id
    assert refused(lambda: bob.as_of("ALPHA")).code == "UNKNOWN_ACCOUNT"
    assert refused(lambda: alice.as_of("ALPHA", known_at="2190-01-01T00:00:00Z")).status == 422


def test_an_order_is_explained(desk: RunningDesk, alice: TradingClient, bob: TradingClient) -> None:
    made = alice.submit(order(tag=UGLY[:90]))
    wait_until(lambda: alice.order(made.order_id).status == "FILLED", 60, "the fill")
    [fill] = [each for each in alice.fills() if each.order_id == made.order_id]
    found = alice.explain(fill.fill_id)
    assert found.steps[0]["kind"] == "fill"
    assert {"order", "decision"} <= {each["kind"] for each in found.steps}
    assert found.text.startswith("fill")
    assert found.svg.startswith("<svg")
    assert "<script" not in found.svg
    assert refused(lambda: bob.explain(fill.fill_id, "ALPHA")).code == "UNKNOWN_ACCOUNT"
    token = {"Authorization": f"Bearer {alice._token}"}
    url = f"{desk.url}/explain/{made.order_id}?format=svg"
    with urllib.request.urlopen(urllib.request.Request(url, headers=token), timeout=300) as answer:
        assert answer.headers["Content-Type"].startswith("image/svg+xml")
        assert "script-src 'self'" in answer.headers["Content-Security-Policy"]


# --- logging in -----------------------------------------------------------------------------------


def test_a_session_begins_with_a_log_in_and_ends_with_the_log_out(desk: RunningDesk) -> None:
    client = desk.client("alice")
    told = client.get("/session")
    assert told["user"] == "alice"
    assert told["accounts"] == [
        {"account": "ALPHA", "run": "paper:alpha", "role": "trader", "base": "USD"}
    ]
    assert datetime.fromisoformat(told["expires_at"]) > datetime.now(timezone.utc)
    client.close()
    assert refused(lambda: client.get("/session")).status == 401
    client.close()


def test_a_wrong_password_and_an_unknown_user_are_refused_alike(desk: RunningDesk) -> None:
    for user, password in (("alice", "wrong"), ("nobody_here", "wrong"), ("desk_x\0", "y")):
        error = refused(
            lambda user=user, password=password: TradingClient(desk.url, user, password)
        )
        assert (error.status, error.code) == (401, "LOGIN_REFUSED")
        assert error.detail == "user or password is wrong"


def test_the_administrator_cannot_log_in(desk: RunningDesk) -> None:
    password = (desk.folder / "store" / "admin_password").read_text().strip()
    error = refused(lambda: TradingClient(desk.url, "postgres", password))
    assert error.status == 401


def test_the_cookie_is_for_pages_of_this_server_alone(desk: RunningDesk) -> None:
    browser = Browser(desk, "alice")
    assert "HttpOnly" in browser.set_cookie
    assert "samesite=strict" in browser.set_cookie.lower()
    assert "token" not in browser.told
    cookie = {"Cookie": browser.cookie}
    answer, told = browser.ask("GET", "/session", None, cookie)
    assert answer.status == 200
    body = {"reason": "test", "state": "HALTED"}
    answer, told = browser.ask("POST", "/accounts/ALPHA/state", body, cookie)
    assert (answer.status, told["code"]) == (403, "CSRF")
    wrong = {**cookie, "X-CSRF-Token": "something"}
    answer, told = browser.ask("POST", "/accounts/ALPHA/state", body, wrong)
    assert (answer.status, told["code"]) == (403, "CSRF")
    right = {**cookie, "X-CSRF-Token": browser.told["csrf_token"], "Origin": browser.origin}
    answer, told = browser.ask("POST", "/accounts/ALPHA/cancel_all", {}, right)
    assert (answer.status, told["code"]) == (202, "OK")
    answer, _ = browser.ask("POST", "/user/logout", None, right)
    assert answer.status == 204
    answer, _ = browser.ask("GET", "/session", None, cookie)
    assert answer.status == 401


def test_a_one_time_link_logs_in_once(desk: RunningDesk) -> None:
    code = offer(desk.config.one_time_file, "vera", desk.password("vera"))
    link = HTTPConnection("127.0.0.1", desk.port, timeout=60)
    link.request("GET", f"/login/{code}")
    answer = link.getresponse()
    answer.read()
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    cookie = answer.headers["Set-Cookie"].partition(";")[0]
    link.request("GET", "/session", headers={"Cookie": cookie})
    assert json.loads(link.getresponse().read())["user"] == "vera"
    link.request("GET", f"/login/{code}")
    again = link.getresponse()
    assert again.status == 401
    again.read()
    link.close()


# --- orders ---------------------------------------------------------------------------------------


def test_an_order_from_its_preview_to_its_fill(alice: TradingClient) -> None:
    preview = alice.preview(order())
    assert preview.allowed
    assert Decimal(preview.seen["notional"]) > 0
    answer = alice.submit(order())
    assert answer.code == "OK"
    wait_until(lambda: alice.order(answer.order_id).status == "FILLED", 60, "the fill")
    shown = alice.order(answer.order_id)
    assert [each.status for each in shown.history][-1] == "FILLED"
    assert [each.version for each in shown.history] == list(range(1, len(shown.history) + 1))
    [fill] = [each for each in alice.fills() if each.order_id == answer.order_id]
    assert (fill.fill_quantity, fill.side) == ("5", "BUY")
    [position] = alice.positions(symbol="AAPL")
    assert position.unrealized_amount is not None
    [earned] = alice.page("/pnl").items
    total = Decimal(earned["realized_amount"]) - Decimal(earned["fees_amount"])
    total += Decimal(earned["unrealized_amount"])
    assert Decimal(earned["net_amount"]) == total
    assert Decimal(earned["equity"]) == Decimal(100_000) + total


def test_other_terms_and_a_cancel(alice: TradingClient) -> None:
    price = far_below(alice)
    resting = alice.submit(order(limit_price=price))
    assert alice.order(resting.order_id).status == "ACCEPTED"
    assert resting.order_id in [each.order_id for each in alice.orders(open=True)]
    alice.replace(resting.order_id, quantity="7")
    assert alice.order(resting.order_id).order_quantity == "7"
    alice.cancel(resting.order_id)
    assert alice.order(resting.order_id).status == "CANCELED"
    assert resting.order_id not in [each.order_id for each in alice.orders(open=True)]
    again = refused(lambda: alice.cancel(resting.order_id))
    assert (again.status, again.code) == (409, "ORDER_FINISHED")


def test_a_bracket_and_its_older_names(alice: TradingClient) -> None:
    price = float(far_below(alice))
    made = alice.bracket(
        order(limit_price=f"{price:.2f}"), target=f"{price + 20:.2f}", stop=f"{price - 5:.2f}"
    )
    assert {each["role"] for each in made.orders} == {"ENTRY", "TARGET", "STOP"}
    shown = alice.get(f"/order/bracket/{made.bracket_id}")
    assert shown["state"] == "ENTRY_PLACED"
    alice.cancel(made.order_id)
    shown = alice.get(f"/order/bracket/{made.bracket_id}")
    assert shown["state"] == "CANCELLED"
    assert made.order_id in [each["order_id"] for each in alice.get("/order/list")["items"]]
    wrong = refused(lambda: alice.bracket(order(), target="1", stop="100000"))
    assert wrong.status == 422


def test_groups_of_orders(alice: TradingClient) -> None:
    price = far_below(alice)
    buy = order(quantity="1", limit_price=price)
    assert len(alice.oco("ALPHA", [buy, buy]).orders) == 2
    assert len(alice.oto(buy, order(side="SELL", quantity="1", limit_price=price)).orders) == 2
    assert refused(lambda: alice.oco("BETA", [buy, buy])).code == "MALFORMED"
    assert alice.cancel_all("ALPHA").detail
    assert alice.orders(open=True) == []


def test_a_limit_says_what_is_allowed(alice: TradingClient) -> None:
    too_large = order(quantity="5000", limit_price=far_below(alice))
    preview = alice.preview(too_large)
    assert (preview.allowed, preview.code) == (False, "NOTIONAL_MAX")
    error = refused(lambda: alice.submit(too_large))
    assert (error.status, error.code) == (422, "NOTIONAL_MAX")
    assert "50000" in error.problem["limit"]
    assert "50000" in error.problem["allowed"]
    decisions = alice.page("/decisions", order_id=error.problem["order_id"]).items
    assert "NOTIONAL_MAX" in [each["decision_code"] for each in decisions]
    assert alice.order(error.problem["order_id"]).status == "DENIED"


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"side": "HOLD"}, "side"),
        ({"quantity": "NaN"}, "quantity"),
        ({"quantity": True}, "quantity"),
        ({"symbol": ""}, "symbol"),
        ({"symbol": "A\x00B"}, "symbol"),
        ({"quantiti": 1}, "quantiti"),
        ({"expire_at": "soon"}, "expire_at"),
    ],
)
def test_a_body_that_is_wrong_is_told_with_its_place(
    alice: TradingClient, fields: dict[str, Any], place: str
) -> None:
    body = {"account": "ALPHA", "symbol": "AAPL", "side": "BUY", "quantity": "1", **fields}
    error = refused(lambda: alice._command("POST", "/orders", body, None))
    assert (error.status, error.code) == (422, "MALFORMED")
    assert place in [each["where"].rpartition(".")[2] for each in error.problem["errors"]]
    value = fields[place]
    # What was seen is told, and of a field that there is not, which ones there are.
    assert ("quantity" if place == "quantiti" else repr(value)) in error.detail


def test_names_and_values_that_nobody_knows_are_told(alice: TradingClient) -> None:
    for call, status, code, allowed in (
        (lambda: alice.orders(acount="ALPHA"), 422, "UNKNOWN_PARAMETER", "account"),
        (lambda: alice.orders(status="filled"), 422, "MALFORMED", "FILLED"),
        (lambda: alice.orders(symbol="TSLA"), 404, "UNKNOWN_SYMBOL", "AAPL"),
        (lambda: alice.fills(account="ALFA"), 404, "UNKNOWN_ACCOUNT", "ALPHA"),
        (lambda: alice.page("/decisions", kind="risk"), 422, "MALFORMED", "RISK"),
        (lambda: alice.governance.changes(state="OPEN"), 422, "MALFORMED", "PROPOSED"),
        (lambda: alice.governance.requests(account="ALFA"), 404, "UNKNOWN_ACCOUNT", "ALPHA"),
        (lambda: alice.bars("AAPL", "3m"), 404, "UNKNOWN_TIMEFRAME", "5m"),
        (lambda: alice.bars("TSLA"), 404, "UNKNOWN_SYMBOL", "AAPL"),
        (lambda: alice.orders(run="paper"), 404, "UNKNOWN_RUN", "paper:alpha"),
        (lambda: alice.replays.start(["TSLA"]), 404, "UNKNOWN_SYMBOL", "AAPL"),
        (lambda: alice.flatten("ALPHA", symbol="APPL"), 422, "UNKNOWN_SYMBOL", "AAPL"),
        (lambda: alice.cancel_all("ALPHA", symbol="APPL"), 422, "UNKNOWN_SYMBOL", "AAPL"),
        (lambda: alice.flatten("ALFA"), 404, "UNKNOWN_ACCOUNT", "ALPHA"),
        (lambda: alice.governance.account("ALFA"), 404, "UNKNOWN_ACCOUNT", "ALPHA"),
        (lambda: alice.get("/position"), 404, "NOT_FOUND", "/positions"),
        (lambda: alice._command("POST", "/fills", {}, None), 405, "METHOD_NOT_ALLOWED", "GET"),
    ):
        error = refused(call)
        assert (error.status, error.code) == (status, code)
        assert allowed in error.problem["allowed"]
        assert allowed in error.detail
    assert "is 'account' meant?" in refused(lambda: alice.orders(acount="ALPHA")).detail
    leg = {"symbol": "AAPL", "side": "BUY", "quantity": "1", "limit": "1"}
    body = {"account": "ALPHA", "orders": [leg, leg]}
    error = refused(lambda: alice._command("POST", "/orders/oco", body, None))
    assert error.problem["errors"][0]["where"] == "body.orders.0.limit"
    assert "limit_price" in error.problem["errors"][0]["what"]
    for call, code, told in (
        (lambda: alice.submit(NewOrder("ALPHA", "APPL", "BUY", "1")), "UNKNOWN_INSTRUMENT", "AAPL"),
        (lambda: alice.submit(order(quantity="0.5")), "SIZE_INCREMENT", "allowed: multiples of 1"),
        (lambda: alice.submit(order(quantity="-5")), "MALFORMED", "above 0, seen -5"),
        (lambda: alice.bars("AAPL", start="2026-01-02", end="2026-01-01"), "MALFORMED", "before"),
        (lambda: alice.page("/fills", at="noon"), "UNKNOWN_PARAMETER", "takes account"),
        (lambda: alice.page("/orders", at="noon"), "MALFORMED", "seen: 'noon'"),
        (lambda: alice.replays.start(["AAPL"], cash="-1"), "MALFORMED", "above 0"),
    ):
        error = refused(call)
        assert (error.status, error.code, told in error.detail) == (422, code, True), error.detail
        assert "Decimal" not in error.detail
    assert refused(lambda: alice.cancel("ALPHA.paper.alpha.0-1")).detail.startswith("there is no")
    with_body = refused(lambda: alice._command("DELETE", "/orders/x", {"quantity": 1}, None))
    assert (with_body.status, with_body.code) == (422, "MALFORMED")


def test_numbers_may_be_numbers(alice: TradingClient) -> None:
    body = {"account": "ALPHA", "symbol": "AAPL", "side": "BUY", "quantity": 2, "kind": "LIMIT"}
    made = alice._command("POST", "/orders", {**body, "limit_price": float(far_below(alice))}, None)
    assert alice.order(made.order_id).order_quantity == "2"
    alice.cancel(made.order_id)


def test_a_repeated_command_is_carried_out_once(alice: TradingClient) -> None:
    resting = order(limit_price=far_below(alice), tag="repeated")
    answers: list[Any] = []

    def send() -> None:
        answers.append(alice.submit(resting, key="the-key-1"))

    threads = [threading.Thread(target=send) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(answers) == 6
    assert len({each.order_id for each in answers}) == 1
    tagged = [each for each in alice.orders(limit=500) if each.order_tag == "repeated"]
    assert len(tagged) == 1
    other = order(limit_price=far_below(alice), quantity="9")
    error = refused(lambda: alice.submit(other, key="the-key-1"))
    assert (error.status, error.code) == (409, "KEY_REUSED")
    alice.cancel(answers[0].order_id, key="the-key-2")
    assert alice.cancel(answers[0].order_id, key="the-key-2").code == "OK"


def test_the_same_key_of_another_user_is_another_command(
    alice: TradingClient, bob: TradingClient
) -> None:
    price = far_below(alice)
    mine = alice.submit(order(limit_price=price), key="shared-key")
    theirs = bob.submit(order("BETA", limit_price=price), key="shared-key")
    assert mine.order_id != theirs.order_id
    alice.cancel(mine.order_id)
    bob.cancel(theirs.order_id)


def test_pages_follow_each_other_by_cursor(alice: TradingClient) -> None:
    price = far_below(alice)
    for _ in range(5):
        alice.cancel(alice.submit(order(limit_price=price)).order_id)
    everything = [each["order_id"] for each in alice.all("/orders", limit=2)]
    assert len(everything) == len(set(everything)) >= 5
    times = [each["timestamp"] for each in alice.all("/orders", limit=3)]
    assert times == sorted(times, reverse=True)
    assert refused(lambda: alice.page("/orders", cursor="nonsense")).status == 422
    cursor = alice.page("/orders", limit=2).next_cursor
    assert refused(lambda: alice.page("/fills", limit=2, cursor=cursor)).status == 422


# --- people ---------------------------------------------------------------------------------------


def test_two_users_see_only_theirs(alice: TradingClient, bob: TradingClient) -> None:
    mine = alice.submit(order(limit_price=far_below(alice)))
    theirs = bob.submit(order("BETA"))
    wait_until(lambda: bob.order(theirs.order_id).status == "FILLED", 60, "the fill")
    lists = ("orders", "fills", "positions", "cash", "decisions", "matches", "limits", "alerts")
    for client, own in ((alice, "ALPHA"), (bob, "BETA")):
        for name in lists:
            items = list(client.all(f"/{name}", run="*"))
            assert {each["account"] for each in items} <= {own}, name
        assert [each["account"] for each in client.page("/accounts").items] == [own]
        assert [each["account"] for each in client.page("/pnl").items] == [own]
        assert [each["account"] for each in client.page("/picker").items] == [own]
    assert refused(lambda: bob.order(mine.order_id)).status == 404
    assert refused(lambda: bob.cancel(mine.order_id)).status == 404
    assert refused(lambda: bob.replace(mine.order_id, quantity="1")).status == 404
    for call in (
        lambda: bob.submit(order("ALPHA")),
        lambda: bob.preview(order("ALPHA")),
        lambda: bob.cancel_all("ALPHA"),
        lambda: bob.flatten("ALPHA"),
        lambda: bob.set_state("ALPHA", "HALTED", "mine"),
        lambda: bob.page("/picker", account="ALPHA"),
    ):
        error = refused(call)
        assert (error.status, error.code) == (404, "UNKNOWN_ACCOUNT")
    for call in (
        lambda: bob.page("/orders", account="ALPHA"),
        lambda: bob.page("/pnl", account="ALPHA"),
        lambda: bob.governance.changes(account="ALPHA"),
        lambda: bob.governance.reviews(account="NONE"),
    ):
        error = refused(call)
        assert (error.status, error.code) == (404, "UNKNOWN_ACCOUNT")
        assert error.problem["allowed"] == ["BETA"]
    assert alice.order(mine.order_id).status == "ACCEPTED"
    alice.cancel(mine.order_id)
    bob.flatten("BETA")


def test_roles_say_who_may_what(desk: RunningDesk, alice: TradingClient) -> None:
    with desk.client("vera") as vera, desk.client("rita") as rita:
        assert vera.page("/cash").items == alice.page("/cash").items
        error = refused(lambda: vera.submit(order()))
        assert (error.status, error.code) == (403, "ROLE")
        assert refused(lambda: rita.submit(order())).status == 403
        assert refused(lambda: vera.set_state("ALPHA", "HALTED", "look")).status == 403
        alice.set_state("ALPHA", "HALTED", "enough for today")
        denied = refused(lambda: alice.submit(order()))
        assert denied.status == 422
        assert alice.accounts()[0].trading_state == "HALTED"
        assert alice.accounts()[0].state_reason == "enough for today"
        own = refused(lambda: alice.set_state("ALPHA", "ACTIVE", "I think so"))
        assert own.status == 422
        rita.set_state("ALPHA", "ACTIVE", "looked at it")
        assert alice.accounts()[0].trading_state == "ACTIVE"


# --- prices and times -----------------------------------------------------------------------------


def test_prices_bars_and_books(alice: TradingClient) -> None:
    wait_until(lambda: len(alice.bars("AAPL", "5s")) >= 3, 90, "bars")
    bars = alice.bars("AAPL", "5s")
    starts = [each["start"] for each in bars]
    assert starts == sorted(set(starts))
    for bar in bars:
        if bar["close"] is not None:
            assert float(bar["low"]) <= float(bar["close"]) <= float(bar["high"])
    assert len(alice.bars("AAPL", "5s", limit=2)) == 2
    quote = alice.get("/prices/AAPL")
    assert float(quote["bid"]) < float(quote["ask"])
    book = alice.get("/depth/AAPL")
    assert len(book["buy_levels"]) == len(book["sell_levels"]) == 5
    assert [each["symbol"] for each in alice.page("/instruments").items] == ["AAPL", "MSFT"]
    slots = alice.get(
        "/chart/data/bars_slots",
        instrument_id="AAPL",
        timeframe="5s",
        slots_timestamp_end="2199-01-01T00:00:00Z",
    )
    assert slots["slots"][0] == slots["bars"][-1]["end"]
    assert refused(lambda: alice.bars("AAPL", "7x")).status == 422
    assert refused(lambda: alice.bars("TSLA")).status == 404


def test_the_option_ladder(alice: TradingClient) -> None:
    wait_until(alice.option_underlyings, 60, "a chain")
    (listed,) = alice.option_underlyings()
    assert listed.underlying == "AAPL"
    ladder = alice.options("AAPL")
    assert ladder.underlying == "AAPL"
    assert [each.expiry for each in ladder.expiries] == listed.expiries
    assert listed.expiries == sorted(listed.expiries)
    for part in ladder.expiries:
        strikes = [float(row.strike) for row in part.rows]
        assert strikes == sorted(set(strikes))
        assert len(strikes) == 11
        for row in part.rows:
            call, put = row.call, row.put
            assert call is not None
            assert put is not None
            assert call.symbol.endswith(" C")
            assert put.symbol.endswith(" P")
            assert float(call.bid) < float(call.ask)
            if call.delta is not None and put.delta is not None:
                assert put.delta < 0 < call.delta
    assert refused(lambda: alice.options("MSFT")).code == "NOTHING_YET"
    assert refused(lambda: alice.options("TSLA")).code == "UNKNOWN_SYMBOL"


def test_symbols_are_those_that_the_database_lets_a_user_read(desk: RunningDesk) -> None:
    from trading.ticks.schema import grant_ticks, revoke_ticks

    admin = desk.admin()
    with desk.client("vera") as vera:
        revoke_ticks(admin, "vera")
        grant_ticks(admin, "vera", ["MSFT"])
        try:
            wait_until(lambda: set(vera.prices()) == {"MSFT"}, 30, "the right to be gone")
            assert refused(lambda: vera.get("/prices/AAPL")).status == 404
            assert refused(lambda: vera.bars("AAPL")).status == 404
            stream = vera.stream(values={"prices": ["AAPL"]})
            assert refused(lambda: stream.receive(30)).code == "UNKNOWN_SYMBOL"
            stream.close()
        finally:
            grant_ticks(admin, "vera", ["AAPL", "MSFT"])
            admin.close()


def test_what_was_known_then(alice: TradingClient) -> None:
    alice.flatten("ALPHA")
    wait_until(lambda: not alice.positions(), 60, "a flat account")
    before = datetime.now(timezone.utc).isoformat()
    filled = alice.submit(order())
    wait_until(lambda: alice.order(filled.order_id).status == "FILLED", 60, "the fill")
    assert len(alice.positions()) == 1
    assert alice.page("/positions", known_at=before).items == []
    ids = [each["order_id"] for each in alice.page("/orders", known_at=before, limit=500).items]
    assert filled.order_id not in ids
    assert alice.page("/limits", at="2001-01-01T00:00:00Z").items == []
    [limits] = alice.page("/limits").items
    assert json.loads(limits["limits_json"])["max_order_notional"] == "50000"
    future = refused(lambda: alice.page("/positions", known_at="2190-01-01T00:00:00Z"))
    assert future.status == 422
    alice.flatten("ALPHA")


def test_a_bracket_has_its_exits_on_both_sides(alice: TradingClient) -> None:
    price = float(alice.prices()["AAPL"]["bid"])
    low, high = f"{price * 0.97:.2f}", f"{price * 1.03:.2f}"
    for side, target, stop in (("BUY", low, high), ("SELL", high, low), ("BUY", high, high)):
        told = alice.preview(order(side=side), target=target, stop=stop)
        assert (told.allowed, told.code) == (False, "BRACKET_SIDES"), side
        assert "target > entry > stop" in str(told.allowed_text)
        error = refused(
            lambda side=side, target=target, stop=stop: alice.bracket(
                order(side=side), target=target, stop=stop, key=f"wrong-{side}-{target}-{stop}"
            )
        )
        assert (error.status, error.code) == (422, "BRACKET_SIDES")
    assert alice.preview(order(), target=high, stop=low).allowed
    # Both above the price: the stop would end it at once.
    above = f"{price * 1.02:.2f}"
    assert alice.preview(order(), target=high, stop=above).code == "BRACKET_SIDES"
    key = "right-sides"
    made = alice.bracket(order(), target=high, stop=low, key=key)
    assert alice.bracket(order(), target=high, stop=low, key=key) == made
    alice.flatten("ALPHA")


# --- the desk -------------------------------------------------------------------------------------


def test_state_and_health(desk: RunningDesk, alice: TradingClient) -> None:
    state = alice.get("/state")
    assert [each["name"] for each in state["processes"]] == ["market", "engine", "api"]
    assert {each["state"] for each in state["processes"]} == {"RUNNING"}
    with urllib.request.urlopen(f"{desk.url}/health", timeout=30) as answer:
        assert json.loads(answer.read())["checks"] == {"engine": True, "market": True}
    with urllib.request.urlopen(f"{desk.url}/health/live", timeout=30) as answer:
        assert answer.status == 200


def test_without_engine_and_market_it_is_live_and_not_ready(desk: RunningDesk) -> None:
    with desk.other_server(engine=1, market=1) as server, desk.client("alice", server.url) as lone:
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"{server.url}/health/ready", timeout=30)
        with caught.value as answer:
            assert answer.code == 503
            assert json.loads(answer.read())["checks"] == {"engine": False, "market": False}
        with urllib.request.urlopen(f"{server.url}/health/live", timeout=30) as answer:
            assert answer.status == 200
        assert isinstance(lone.orders(), list)
        error = refused(lambda: lone.submit(order()))
        assert (error.status, error.code) == (503, "ENGINE_AWAY")


def test_the_routes_describe_themselves(desk: RunningDesk) -> None:
    with urllib.request.urlopen(f"{desk.url}/openapi.json", timeout=30) as answer:
        described = json.loads(answer.read())
    documented = {"/orders", "/orders/preview", "/fills", "/positions", "/pnl", "/signals"}
    documented |= {"/limits", "/alerts", "/health", "/user/login", "/order/bracket"}
    assert documented <= set(described["paths"])
    assert described["components"]["schemas"]["OrderBody"]["examples"]


def test_the_documentation_needs_nothing_from_outside(desk: RunningDesk) -> None:
    with urllib.request.urlopen(f"{desk.url}/docs", timeout=30) as answer:
        assert answer.headers["Content-Type"].startswith("text/html")
        page = answer.read().decode()
    assert "/governance/changes/{change_id}/approve" in page
    assert "max_order_notional" in page
    assert "//" not in "".join(re.findall(r'(?:src|href)="([^"]*)"', page))
    assert "<script" not in page
    with urllib.request.urlopen(f"{desk.url}/docs.css", timeout=30) as answer:
        assert answer.headers["Content-Type"].startswith("text/css")


def test_no_copies_are_kept_that_may_be_old(desk: RunningDesk, alice: TradingClient) -> None:
    with urllib.request.urlopen(f"{desk.url}/", timeout=30) as answer:
        assert answer.headers["Cache-Control"] == "no-cache"
        assert answer.headers["ETag"]
    browser = Browser(desk, "alice")
    answer, _ = browser.ask("GET", "/positions", None, {"Cookie": browser.cookie})
    assert answer.headers["Cache-Control"] == "no-store"
    frames = ["5s", "1m", "5m"]
    assert alice.get("/state")["timeframes"] == frames
    assert all(each["timeframes"] == frames for each in alice.page("/instruments").items)


def test_errors_survive_pickle() -> None:
    error = ApiRefused(422, "DENIED", "no", {"limit": "x"})
    again = pickle.loads(pickle.dumps(error))
    assert (again.status, again.code, again.detail, again.problem) == (
        422,
        "DENIED",
        "no",
        {"limit": "x"},
    )


# --- changes that need two people -----------------------------------------------------------------

CALM = {"max_order_notional": "40000", "max_symbol_notional": "60000", "price_collar": "0.1"}


def has_state(client: TradingClient, change_id: str, state: str) -> Any:
    return lambda: client.governance.change(change_id).state == state


def test_limits_change_by_two_people(
    desk: RunningDesk, alice: TradingClient, bob: TradingClient
) -> None:
    page = alice.governance.account("ALPHA")
    assert page.duties == ["BREAK_GLASS", "OPERATE", "PROPOSE"]
    assert page.people["APPROVE"] == ["rita"]
    assert page.limits is not None
    assert page.limits["values"]["max_order_notional"] == "50000"
    change = alice.governance.propose_limits("ALPHA", CALM, UGLY, key="calm-1")
    assert (change.state, change.change_reason) == ("PROPOSED", UGLY)
    assert change.changes == [{"name": "max_order_notional", "before": "50000", "after": "40000"}]
    assert change.may["approve"] == ["rita"]
    assert change.mine == ["withdraw", "break_glass"]
    again = alice.governance.propose_limits("ALPHA", CALM, UGLY, key="calm-1")
    assert (again.id, again.version) == (change.id, 1)
    other = refused(lambda: alice.governance.propose_limits("ALPHA", {}, UGLY, key="calm-1"))
    assert (other.status, other.code) == (409, "KEY_REUSED")
    own = refused(lambda: alice.governance.approve(change.id))
    assert (own.status, own.code, own.problem["allowed"]) == (403, "FOUR_EYES", ["rita"])
    assert refused(lambda: bob.governance.approve(change.id)).code == "UNKNOWN_CHANGE"
    assert refused(lambda: bob.governance.account("ALPHA")).code == "UNKNOWN_ACCOUNT"
    with desk.client("vera") as vera, desk.client("rita") as rita:
        assert refused(lambda: vera.governance.approve(change.id)).code == "DUTY"
        asked = refused(lambda: vera.governance.propose_limits("ALPHA", CALM, "vera"))
        assert (asked.code, asked.problem["allowed"]) == ("DUTY", ["alice", "rita"])
        assert vera.governance.change(change.id).change_reason == UGLY
        assert rita.governance.approve(change.id, "agreed").approved_by == "rita"
        wait_until(has_state(rita, change.id, "EFFECTIVE"), 60, "the limits")
        assert rita.governance.approve(change.id, "agreed").state == "EFFECTIVE"
        late = refused(lambda: rita.governance.reject(change.id, "no"))
        assert (late.status, late.code) == (409, "STATE")
    history = [each["state"] for each in alice.governance.change(change.id).history]
    assert history == ["PROPOSED", "APPROVED", "EFFECTIVE"]
    held = alice.governance.account("ALPHA").limits
    assert held is not None
    assert (held["values"], held["approved_by"]) == (CALM, "rita")
    assert refused(lambda: alice.submit(order(quantity="190"))).code == "NOTIONAL_MAX"


def test_a_change_is_refused_or_withdrawn(desk: RunningDesk, alice: TradingClient) -> None:
    wrong = refused(lambda: alice.governance.propose_limits("ALPHA", {"max_ordr": "1"}, "typo"))
    assert (wrong.status, wrong.code) == (422, "MALFORMED")
    assert refused(lambda: alice.governance.propose_limits("NONE", CALM, "x")).status == 404
    with desk.client("rita") as rita:
        change = rita.governance.propose_limits("ALPHA", CALM, "to be refused")
        nobody = refused(lambda: rita.governance.approve(change.id))
        assert (nobody.code, nobody.problem["allowed"]) == ("FOUR_EYES", [])
        assert refused(lambda: alice.governance.withdraw(change.id)).code == "DUTY"
        assert rita.governance.withdraw(change.id).state == "WITHDRAWN"
        change = alice.governance.propose_limits("ALPHA", CALM, "to be refused")
        assert rita.governance.reject(change.id, UGLY).decision_reason == UGLY
        states = {each.state for each in alice.governance.changes(account="ALPHA")}
        assert states >= {"WITHDRAWN", "REJECTED"}


def test_a_proposal_that_nobody_approves_lapses(desk: RunningDesk, alice: TradingClient) -> None:
    change = alice.governance.propose_limits("ALPHA", CALM, "too late", approve_within_s=10)
    wait_until(has_state(alice, change.id, "LAPSED"), 60, "the end of its time")
    with desk.client("rita") as rita:
        late = refused(lambda: rita.governance.approve(change.id))
    assert (late.status, late.code, late.problem["state"]) == (409, "STATE", "LAPSED")


def test_the_glass_is_broken_alone_and_reviewed_by_another(
    desk: RunningDesk, alice: TradingClient
) -> None:
    tight = {**CALM, "max_order_quantity": "50"}
    change = alice.governance.propose_limits("ALPHA", tight, "prices are wrong")
    assert refused(lambda: alice.governance.break_glass(change.id, "")).status == 422
    broken = alice.governance.break_glass(change.id, "nobody else is here")
    assert broken.review_id
    wait_until(has_state(alice, change.id, "EFFECTIVE"), 60, "the limits")
    assert alice.governance.break_glass(change.id, "again").review_id == broken.review_id
    alerts = alice.page("/alerts", code="BREAK_GLASS").items
    assert len(alerts) == 1
    [review] = alice.governance.reviews(account="ALPHA", state="OPEN")
    assert (review.change_id, review.may) == (change.id, {"review": ["rita"]})
    own = refused(lambda: alice.governance.review(review.id, justified=True, reason="I say so"))
    assert own.code == "FOUR_EYES"
    with desk.client("rita") as rita:
        for _ in range(2):
            done = rita.governance.review(review.id, justified=True, reason="agreed")
            assert (done.state, done.review_outcome) == ("REVIEWED", "JUSTIFIED")
        other = refused(lambda: rita.governance.review(review.id, justified=False, reason="no"))
        assert (other.status, other.code) == (409, "STATE")
    assert alice.governance.reviews(account="ALPHA", state="OPEN") == []


def test_parameters_change_by_two_people(desk: RunningDesk, bob: TradingClient) -> None:
    [held] = bob.governance.account("BETA").parameters
    assert held["strategy"] == "SmaCross"
    unknown = refused(lambda: bob.governance.propose_parameters("BETA", "Sma", {}, "x"))
    assert (unknown.code, unknown.problem["allowed"]) == ("UNKNOWN_STRATEGY", ["SmaCross"])
    # What cannot come into force is refused before anybody approves it.
    for values, said in (({"quick": 1}, "has no parameter 'quick'"), ({"fast": "x"}, "fast")):
        wrong = refused(
            lambda values=values: bob.governance.propose_parameters("BETA", "SmaCross", values, "x")
        )
        assert (wrong.status, wrong.code) == (422, "STRATEGY")
        assert said in wrong.problem["detail"]
    wanted = {**held["values"], "fast": 5}
    right = bob.governance.propose_parameters("BETA", "SmaCross", wanted, "quicker")
    assert right.changes == [{"name": "fast", "before": held["values"]["fast"], "after": 5}]
    with desk.client("ruth") as ruth:
        ruth.governance.approve(right.id)
        wait_until(has_state(ruth, right.id, "EFFECTIVE"), 60, "the parameters")
    [shown] = bob.page("/strategies").items
    assert shown["parameters"]["fast"] == 5
    [held] = bob.governance.account("BETA").parameters
    assert (held["values"], held["approved_by"]) == (wanted, "ruth")


def test_engines_are_asked_by_who_has_the_duty(desk: RunningDesk, alice: TradingClient) -> None:
    def state() -> str:
        return alice.accounts()[0].trading_state

    asked = alice.governance.ask_engine("ALPHA", "HALT", "fat finger", key="halt-1")
    assert alice.governance.ask_engine("ALPHA", "HALT", "fat finger", key="halt-1").id == asked.id
    wait_until(lambda: state() == "HALTED", 60, "the halt")
    alone = refused(lambda: alice.governance.ask_engine("ALPHA", "RESUME", "again"))
    assert (alone.code, alone.problem["allowed"]) == ("DUTY", ["rita"])
    with desk.client("rita") as rita:
        rita.governance.ask_engine("ALPHA", "RESUME", "looked at it")
        wait_until(lambda: state() == "ACTIVE", 60, "the end of the halt")

        def states() -> dict[str, str]:
            return {each.control_action: each.state for each in rita.governance.requests()}

        # An engine does as it is asked first, and says so in the request after that.
        expected = {"HALT": "DONE", "RESUME": "DONE"}
        wait_until(lambda: states() == expected, 60, "what was done")
