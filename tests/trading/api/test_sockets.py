"""The sockets of the API: once, in order, resumed after a cut, and never faster than a reader."""

from __future__ import annotations

import contextlib
import json
import socket as sockets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.processes import free_port, wait_until
from tests.trading.api.running import RunningDesk, far_below, order
from trading.api.settings import ApiSettings
from trading.api.sockets import Socket
from trading.client import Stream, TradingClient
from trading.errors import ApiRefused
from trading.processes.publishing import LinkServer


@contextmanager
def opened(client: TradingClient, **more: Any) -> Iterator[ClientConnection]:
    """A bare socket with a client's token."""
    url = client._url.replace("http", "ws") + "/ws"
    headers = {"Authorization": f"Bearer {client._token}", **more}
    with connect(url, additional_headers=headers, compression=None, open_timeout=60) as ws:
        yield ws


def ask(ws: ClientConnection, **message: Any) -> None:
    ws.send(json.dumps(message))


def until(ws: ClientConnection, kind: str, seconds: float = 60) -> dict[str, Any]:
    """The next message of a kind; others are passed over."""
    end = time.monotonic() + seconds
    while True:
        told: dict[str, Any] = json.loads(ws.recv(max(0.1, end - time.monotonic())))
        if told["type"] == kind:
            return told


def closed_with(ws: ClientConnection, seconds: float = 60) -> int:
    """The code by which the server closes."""
    end = time.monotonic() + seconds

    def read() -> None:
        while True:
            ws.recv(max(0.1, end - time.monotonic()))

    with pytest.raises(ConnectionClosed) as caught:
        read()
    assert caught.value.rcvd is not None, caught.value
    return caught.value.rcvd.code


class Changes:
    """The order events of a stream, as (order, version), until some order has a status."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.seen: list[tuple[str, int]] = []

    def read_until(self, order_id: str, status: str, seconds: float = 90) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            message = self.stream.receive(1.0)
            if message is None or message.topic != "orders" or message.kind == "snapshot":
                continue
            self.seen.append((message.item["order_id"], message.item["version"]))
            if message.item["order_id"] == order_id and message.item["status"] == status:
                return
        raise AssertionError(f"{order_id} did not become {status}")


def test_a_snapshot_then_each_change_once_and_in_order(alice: TradingClient) -> None:
    before = alice.submit(order(limit_price=far_below(alice)))
    with alice.stream(events=["orders", "fills"]) as stream:
        first = stream.receive(60)
        assert first is not None
        assert first.kind == "snapshot"
        assert before.order_id in [each["order_id"] for each in first.items]
        changes = Changes(stream)
        made = [alice.submit(order(limit_price=far_below(alice))) for _ in range(4)]
        alice.cancel_all("ALPHA")
        for each in (before, *made):
            wait_until(
                lambda each=each: alice.order(each.order_id).status == "CANCELED", 60, "the cancel"
            )
        last = alice.submit(order(limit_price=far_below(alice)))
        alice.cancel(last.order_id)
        changes.read_until(last.order_id, "CANCELED")
    for each in (*made, last):
        history = alice.order(each.order_id).history
        versions = [version for order_id, version in changes.seen if order_id == each.order_id]
        assert versions == [state.version for state in history]
    # What the snapshot had does not come again.
    versions = [version for order_id, version in changes.seen if order_id == before.order_id]
    assert versions == sorted(set(versions))
    assert 1 not in versions


def test_a_stream_that_is_cut_again_and_again_misses_and_repeats_nothing(
    desk: RunningDesk, alice: TradingClient
) -> None:
    price = far_below(alice)
    done = threading.Event()
    orders: list[str] = []

    def trade() -> None:
        with desk.client("alice") as other:
            for _ in range(15):
                made = other.submit(order(limit_price=price))
                orders.append(made.order_id)
                other.cancel(made.order_id)
            last = other.submit(order(limit_price=price, tag="last"))
            other.cancel(last.order_id)
            orders.append(last.order_id)
        done.set()

    with alice.stream(events=["orders"]) as stream:
        assert stream.receive(60) is not None
        trader = threading.Thread(target=trade)
        trader.start()
        seen: list[tuple[str, int]] = []
        final: set[str] = set()
        cuts, end = 0, time.monotonic() + 150
        while not (done.is_set() and set(orders) <= final):
            assert time.monotonic() < end, "the events did not all come"
            message = stream.receive(0.5)
            if message is not None and message.kind == "order_event":
                seen.append((message.item["order_id"], message.item["version"]))
                if message.item["status"] == "CANCELED":
                    final.add(message.item["order_id"])
                if len(seen) % 7 == 0 and stream._socket is not None:
                    # As a network does it, without a word.
                    cuts += 1
                    stream._socket.socket.shutdown(sockets.SHUT_RDWR)
            assert message is None or message.kind != "snapshot", "a resumed stream has no snapshot"
        trader.join()
    assert cuts > 3
    assert len(seen) == len(set(seen)), "an event came twice"
    for order_id in orders:
        versions = [version for each, version in seen if each == order_id]
        history = alice.order(order_id).history
        assert versions == [state.version for state in history]


def test_a_position_holds_at_another_server_too(desk: RunningDesk, alice: TradingClient) -> None:
    with opened(alice) as ws:
        hello = until(ws, "hello")
    made = alice.submit(order(limit_price=far_below(alice)))
    alice.cancel(made.order_id)
    with desk.other_server() as server, desk.client("alice", server.url) as other:
        with opened(other) as ws:
            ask(ws, op="subscribe", id=1, topic="orders", after=hello["position"])
            events = []
            while not events or events[-1]["event"] != "CANCELED":
                events.append(until(ws, "order_event"))
        mine = [each["item"]["version"] for each in events if each["order_id"] == made.order_id]
        assert mine == [state.version for state in alice.order(made.order_id).history]
        assert [each["seq"] for each in events] == list(range(1, len(events) + 1))


def test_after_too_long_a_cut_a_snapshot_comes_again(
    desk: RunningDesk, alice: TradingClient
) -> None:
    with opened(alice) as ws:
        hello = until(ws, "hello")
    for _ in range(2):
        alice.cancel(alice.submit(order(limit_price=far_below(alice))).order_id)
    with desk.other_server(resume_events=2) as server, desk.client("alice", server.url) as other:
        with opened(other) as ws:
            ask(ws, op="subscribe", id=1, topic="orders", after=hello["position"])
            assert "2 events" in until(ws, "reset")["reason"]
            assert until(ws, "snapshot")["topic"] == "orders"
        with opened(other) as ws:
            strange = hello["position"].replace(hello["position"][:4], "0000")
            ask(ws, op="subscribe", id=1, topic="orders", after=strange)
            until(ws, "reset")
            until(ws, "snapshot")


def test_streams_show_a_user_only_what_is_theirs(alice: TradingClient, bob: TradingClient) -> None:
    with bob.stream(events=["orders", "fills", "positions", "decisions"]) as stream:
        for _ in range(4):
            first = stream.receive(60)
            assert first is not None
            assert {each["account"] for each in first.items} <= {"BETA"}
        alice.cancel(alice.submit(order(limit_price=far_below(alice))).order_id)
        mine = bob.submit(order("BETA", limit_price=far_below(bob)))
        bob.cancel(mine.order_id)
        while True:
            message = stream.receive(60)
            assert message is not None
            if message.topic in ("orders", "fills", "positions", "decisions"):
                assert message.item["account"] == "BETA"
            if message.topic == "orders" and message.item["status"] == "CANCELED":
                break


def test_prices_depth_and_bars_come_and_not_faster_than_said(alice: TradingClient) -> None:
    with opened(alice) as ws:
        interval = until(ws, "hello")["interval_ms"] / 1000
        ask(ws, op="subscribe", id=1, topic="prices", symbols=["AAPL", "MSFT"])
        ask(ws, op="subscribe", id=2, topic="depth", symbols=["AAPL"])
        ask(ws, op="subscribe", id=3, topic="bars", symbols=["AAPL"], timeframe="5s")
        ask(ws, op="subscribe", id=4, topic="indicators", symbols=["AAPL"], timeframe="5s")
        ask(ws, op="subscribe", id=5, topic="desk")
        ask(ws, op="subscribe", id=6, topic="options", symbols=["AAPL"])
        wanted = {"price", "depth", "bar", "indicator", "desk", "options"}
        seen: set[str] = set()
        count, begun = 0, time.monotonic()
        while seen != wanted:
            assert time.monotonic() < begun + 90, f"only {seen} came"
            batch = until(ws, "batch")
            count += 1
            seen |= {each["type"] for each in batch["items"]}
            keys = [json.dumps(each.get("symbol", each.get("type"))) for each in batch["items"]]
            assert len(keys) <= len(wanted) + 1
        assert count <= (time.monotonic() - begun) / interval + 10
        assert until(ws, "heartbeat")["market_age_s"] < 60


def test_a_value_after_a_pause_comes_at_once_and_more_of_them_together(desk: RunningDesk) -> None:
    port = free_port()
    # What it says first shows that the API hears everything that comes after it.
    first = [{"kind": "status", "newest": time.time_ns()}]
    market = LinkServer(port, desk.config.link_key, current=lambda _kind: first).start()

    def tell(*prices: int) -> None:
        for price in prices:
            item = {"symbol": "AAPL", "time": time.time_ns(), "price": str(price)}
            market.publish("values", {"kind": "prices", "items": [item]})

    def told(ws: ClientConnection) -> str:
        [item] = until(ws, "batch")["items"]
        return str(item["price"])

    try:
        # Whoever waited for the end of this interval would wait in vain.
        with (
            desk.other_server(market=port, interval_s=3_600.0) as server,
            desk.client("alice", server.url) as alice,
            opened(alice) as ws,
        ):
            ask(ws, op="subscribe", id=1, topic="prices", symbols=["AAPL"])
            until(ws, "subscribed")
            wait_until(lambda: server.parts.market.status, 60, "the API at the market")
            tell(1)
            assert told(ws) == "1"
        with (
            desk.other_server(market=port, interval_s=2.0) as server,
            desk.client("alice", server.url) as alice,
            opened(alice) as ws,
        ):
            ask(ws, op="subscribe", id=1, topic="prices", symbols=["AAPL", "MSFT"])
            until(ws, "subscribed")
            wait_until(lambda: server.parts.market.status, 60, "the API at the market")
            seen = []
            for round_ in range(1, 4):
                tell(10 * round_, 10 * round_ + 1, 10 * round_ + 2)
                while not seen or seen[-1] != str(10 * round_ + 2):
                    seen.append(told(ws))
            # Of each round the first may have gone alone, the others came as one.
            assert len(seen) <= 6
            assert [int(each) for each in seen] == sorted(int(each) for each in seen)
    finally:
        market.stop()


def test_a_reader_that_stands_still_is_disconnected_and_others_go_on(desk: RunningDesk) -> None:
    with (
        desk.other_server(waiting_bytes=8_000) as server,
        desk.client("alice", server.url) as alice,
        alice.stream(events=["orders"]) as stream,
    ):
        served = server.parts.sockets
        slow = connect(
            alice._url.replace("http", "ws") + "/ws",
            additional_headers={"Authorization": f"Bearer {alice._token}"},
            compression=None,
            max_queue=1,
            sock=_small_socket(server.port),
            ping_interval=None,
            open_timeout=60,
        )
        ask(slow, op="subscribe", id=0, topic="orders")
        assert stream.receive(60) is not None
        wait_until(lambda: served.count() == 2, 60, "both sockets")
        changes = Changes(stream)
        price = far_below(alice)
        end = time.monotonic() + 240
        while served.count() == 2:
            assert time.monotonic() < end, "the slow reader was not disconnected"
            # Snapshots fill what lies between.
            with contextlib.suppress(ConnectionClosed):
                ask(slow, op="subscribe", id=1, topic="orders")
            made = alice.submit(order(limit_price=price))
            alice.cancel(made.order_id)
            changes.read_until(made.order_id, "CANCELED")
        assert len(changes.seen) == len(set(changes.seen))
        assert stream.cuts == 0
        with contextlib.suppress(ConnectionClosed):
            slow.close()


def test_what_waits_for_a_socket_has_bounds() -> None:
    settings = ApiSettings(store={}, waiting_events=10, waiting_snapshot_bytes=5_000)
    session: Any = None
    socket = Socket(settings, session, session)
    socket.put("s" * 4_000, is_snapshot=True)
    for _ in range(9):
        socket.put("x")
    assert socket.closing is None
    socket.put("one more")
    assert socket.closing is not None
    assert socket.closing.code == 4008
    taken = list(iter(socket.take, None))
    assert len(taken) == 11, "what waited is not lost before the end"
    for more in ({"is_snapshot": True}, {}):
        other = Socket(settings, session, session)
        other.put("s" * 3_000_000, **more)
        assert other.closing is not None


def _small_socket(port: int) -> sockets.socket:
    """A connection that takes in little of what it does not read."""
    made = sockets.socket()
    made.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    made.connect(("127.0.0.1", port))
    return made


def test_sockets_and_topics_have_limits(desk: RunningDesk) -> None:
    with (
        desk.other_server(sockets_of_user=2, topics_max=2) as server,
        desk.client("alice", server.url) as alice,
        opened(alice) as first,
        opened(alice) as second,
    ):
        until(first, "hello")
        until(second, "hello")
        with opened(alice) as third:
            assert closed_with(third) == 4013
        for number, topic in enumerate(("orders", "fills", "cash")):
            ask(first, op="subscribe", id=number, topic=topic)
        assert until(first, "error")["code"] == "TOO_MANY_TOPICS"
        ask(first, op="unsubscribe", id=9, topic="orders")
        until(first, "unsubscribed")
        ask(first, op="subscribe", id=10, topic="cash")
        assert until(first, "snapshot")["topic"] == "cash"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("no json", 4002),
        ("[1, 2]", 4002),
        ('"text"', 4002),
        ('{"op": "subscribe", "id": {"a": 1}}', 4002),
        ("x" * 20_000, 1009),
    ],
)
def test_messages_that_are_none_close_the_socket(
    alice: TradingClient, text: str, code: int
) -> None:
    with opened(alice) as ws:
        until(ws, "hello")
        ws.send(text)
        assert closed_with(ws) == code


def test_too_many_messages_close_the_socket(alice: TradingClient) -> None:
    with opened(alice) as ws:
        until(ws, "hello")
        with contextlib.suppress(ConnectionClosed):
            for _ in range(300):
                ask(ws, op="ping")
        assert closed_with(ws) == 4002


@pytest.mark.parametrize(
    "asked",
    [
        {"op": "subscribe", "topic": "secrets"},
        {"op": "subscribe", "topic": ["orders"]},
        {"op": "drop", "topic": "orders"},
        {"op": "subscribe", "topic": "prices"},
        {"op": "subscribe", "topic": "prices", "symbols": []},
        {"op": "subscribe", "topic": "prices", "symbols": ["NOPE"]},
        {"op": "subscribe", "topic": "bars", "symbols": ["AAPL"]},
        {"op": "subscribe", "topic": "prices", "symbols": ["AAPL"], "timeframe": "1m"},
        {"op": "subscribe", "topic": "orders", "account": 5},
        {"op": "subscribe", "topic": "orders", "after": 5},
        {"op": "subscribe", "topic": "orders", "acount": "ALPHA"},
        {"op": "subscribe", "topic": "orders", "account": "BETA"},
        {"op": "subscribe", "topic": "prices", "symbol": "AAPL"},
        {"op": "subscribe", "topic": "desk", "account": "ALPHA"},
        {"op": "unsubscribe", "topic": "prices", "symbols": ["AAPL"]},
    ],
)
def test_wrong_subscriptions_are_told_and_the_socket_goes_on(
    alice: TradingClient, asked: dict[str, Any]
) -> None:
    with opened(alice) as ws:
        ask(ws, **asked, id="mine")
        assert until(ws, "error")["id"] == "mine"
        ask(ws, op="ping", id=2)
        assert until(ws, "pong")["id"] == 2


def test_a_position_that_is_none_gives_a_snapshot(alice: TradingClient) -> None:
    with opened(alice) as ws:
        ask(ws, op="subscribe", id=1, topic="orders", after="'; DROP TABLE event; --")
        until(ws, "reset")
        until(ws, "snapshot")


def test_sockets_end_with_their_session(desk: RunningDesk) -> None:
    client = desk.client("alice")
    with opened(client) as ws:
        until(ws, "hello")
        client.close()
        assert closed_with(ws) == 4001
    # A session has to last until its socket is open, which takes long on a busy machine.
    for session_s in (2.0, 20.0, 120.0):
        with (
            desk.other_server(session_s=session_s, heartbeat_s=0.2) as server,
            desk.client("alice", server.url) as short,
        ):
            try:
                with opened(short) as ws:
                    assert closed_with(ws, session_s + 60) == 4001
            except InvalidStatus:
                continue
            with pytest.raises(ApiRefused):
                short.orders()
            return
    pytest.fail("no socket was open before its session ended")


def test_sockets_need_a_session_and_an_own_origin(desk: RunningDesk, alice: TradingClient) -> None:
    url = desk.url.replace("http", "ws") + "/ws"
    for headers in (
        {},
        {"Authorization": "Bearer nonsense"},
        {"Authorization": "Basic YTpi"},
        {"Cookie": "desk_session=nonsense"},
    ):
        with pytest.raises(InvalidStatus) as caught, connect(url, additional_headers=headers):
            pass
        assert caught.value.response.status_code == 401
    right = {"Authorization": f"Bearer {alice._token}"}
    with (
        pytest.raises(InvalidStatus) as caught,
        connect(url, additional_headers=right, origin="https://evil.example"),
    ):
        pass
    assert caught.value.response.status_code == 403
    cookie = {"Cookie": f"desk_session={alice._token}"}
    with pytest.raises(InvalidStatus) as caught, connect(url, additional_headers=cookie):
        pass
    assert caught.value.response.status_code == 403
    with connect(url, additional_headers=cookie, origin=desk.url) as ws:
        assert until(ws, "hello")["user"] == "alice"


# --- governance and replays -----------------------------------------------------------------------


def test_decisions_reach_who_has_to_do_with_the_account(
    alice: TradingClient, bob: TradingClient
) -> None:
    with opened(alice) as ws, opened(bob) as other:
        for each in (ws, other):
            ask(each, op="subscribe", id=1, topic="limits_changes")
            until(each, "snapshot")
        change = alice.governance.propose_limits("ALPHA", {"max_position": "1000"}, "<b>new</b>")
        told = until(ws, "limits_change")
        assert (told["item"]["id"], told["item"]["state"]) == (change.id, "PROPOSED")
        assert told["item"]["limits"] == {"max_position": "1000"}
        alice.governance.withdraw(change.id)
        told = until(ws, "limits_change")
        assert (told["seq"], told["item"]["state"]) == (2, "WITHDRAWN")
        ask(ws, op="subscribe", id=2, topic="limits_changes")
        shown = until(ws, "snapshot")["items"]
        assert change.id in {each["id"] for each in shown}
        ask(other, op="ping", id=9)
        assert until(other, "pong")["id"] == 9
        ask(other, op="subscribe", id=3, topic="limits_changes")
        assert change.id not in {each["id"] for each in until(other, "snapshot")["items"]}


def test_a_replay_is_a_topic_of_its_own(alice: TradingClient, bob: TradingClient) -> None:
    replay = alice.replays.start(["AAPL"], timeframes=["5s"], speed=None)
    topic = replay.session_id
    with opened(bob) as ws:
        ask(ws, op="subscribe", id=1, topic=topic)
        assert until(ws, "error")["code"] == "UNKNOWN_SESSION"
    with opened(alice) as ws:
        ask(ws, op="subscribe", id=1, topic=topic)
        assert until(ws, "subscribed")["topic"] == topic
        first = until(ws, "snapshot")
        assert (first["topic"], first["seq"]) == (topic, 1)
        assert first["item"]["session"]["state"] == "PAUSED"
        alice.replays.play(topic)
        numbers, bars = [1], dict[str, Any]()
        is_whole = False
        while not is_whole:
            told = until(ws, "replay", 120)
            numbers.append(told["seq"])
            bars |= {each["start"]: each for each in told["item"].get("bars", ())}
            if told["item"]["session"]["state"] == "FINISHED":
                shown = {each["start"]: each for each in alice.replays.shown(topic)["bars"]}
                is_whole = shown == bars
        assert numbers == list(range(1, len(numbers) + 1))
        alice.replays.seek(topic, position=1)
        again = until(ws, "snapshot")
        assert again["item"]["session"]["position"] == 1
        assert len(again["item"]["bars"]) == 1
        alice.replays.end(topic)
        while until(ws, "replay")["item"]["session"]["state"] != "ENDED":
            pass
        ask(ws, op="subscribe", id=2, topic=topic)
        assert until(ws, "error")["code"] == "UNKNOWN_SESSION"


def test_the_stream_of_a_client_follows_a_replay(alice: TradingClient) -> None:
    replay = alice.replays.start(["MSFT"], timeframes=["5s"], speed=None)
    with alice.stream(replays=[replay.session_id]) as stream:
        first = stream.receive(120)
        assert first is not None
        assert (first.kind, first.topic) == ("snapshot", replay.session_id)
        alice.replays.step(replay.session_id, "tick", 3)
        told = stream.receive(120)
        while told is not None and told.item["session"]["position"] < 3:
            told = stream.receive(120)
        assert told is not None
        assert told.kind == "replay"
    alice.replays.end(replay.session_id)
