"""The exchange's process from outside: log-on, sequences, bad bytes, slow readers, commands."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.processes import wait_until
from tests.trading.exchange.orders import AAPL, cancel, order
from tests.trading.exchange.process import ADMIN_KEY, KEYS, ExchangeProcess
from trading.cli import main
from trading.errors import BrokerError, BrokerRefused, BrokerUnavailable, ExchangeError
from trading.exchange import ExchangeAdmin, ExchangeBroker
from trading.exchange.wire import (
    LARGEST_FRAME,
    VERSION,
    Command,
    Depth,
    Done,
    FrameReader,
    Hello,
    LoggedOn,
    Logon,
    Quote,
    Report,
    ResendCommands,
    ResendReports,
    Subscribe,
    TradePrint,
    decode_server,
    frame,
    proof,
)
from trading.journal.reports import (
    FillBusted,
    FillCorrected,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
)
from trading.specification import specify
from trading.venues.protocol import ConnectionState, RequestRefused, SequencedReport


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExchangeProcess]:
    with ExchangeProcess(tmp_path_factory.mktemp("exchange")) as process:
        yield process


class Raw:
    """A link without any care, as a careless client has it."""

    def __init__(self, process: ExchangeProcess, account: str = "ACC", after: int = 0) -> None:
        self.socket = socket.create_connection(("127.0.0.1", process.port), 30)
        self.frames = FrameReader(LARGEST_FRAME)
        self.messages: list[Any] = []
        self.account = account
        self.after = after

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def log_on(self, epoch: int = 0) -> LoggedOn:
        hello = self.expect(Hello)
        answer = proof(KEYS[self.account], hello.nonce, self.account)
        self.send(Logon(VERSION, self.account, answer, self.after, epoch, 60_000))
        return self.expect(LoggedOn)

    def send(self, message: object) -> None:
        self.socket.sendall(frame(message))

    def expect(self, kind: type) -> Any:
        while True:
            for at, message in enumerate(self.messages):
                if isinstance(message, kind):
                    del self.messages[: at + 1]
                    return message
            data = self.socket.recv(65_536)
            if not data:
                raise EOFError
            self.messages += [decode_server(each) for each in self.frames.feed(data)]

    def last_words(self) -> str:
        """What is said before the link ends."""
        said = b""
        with contextlib.suppress(ConnectionError):
            while data := self.socket.recv(65_536):
                said += data
        return said.decode("utf-8", "replace")


def connected(broker: ExchangeBroker, after: int = 0, epoch: int = 0) -> ExchangeBroker:
    broker.connect(after, epoch)
    broker.wait_connected(30)
    return broker


def hear(broker: ExchangeBroker, kind: type, seconds: float = 30.0) -> Any:
    found: list[Any] = []

    def heard() -> bool:
        for event in broker.poll(0.02):
            each = event.report if isinstance(event, SequencedReport) else event
            if isinstance(each, kind):
                found.append(each)
        return bool(found)

    wait_until(heard, seconds, kind.__name__)
    return found[0]


# --- logging on -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("account", "key"), [("ACC", "wrong-key"), ("NOBODY", KEYS["ACC"])])
def test_a_wrong_key_and_an_unknown_account_are_refused_alike(
    exchange: ExchangeProcess, account: str, key: str
) -> None:
    with ExchangeBroker("127.0.0.1", exchange.port, account=account, key=key) as broker:
        broker.connect()
        with pytest.raises(BrokerRefused, match=f"account '{account}' is not known here, or its"):
            broker.wait_connected(30)
        assert broker.state is ConnectionState.REFUSED
        with pytest.raises(BrokerError, match="REFUSED"):
            broker.submit(order("1", 1, 1, 1, account=account))


def test_a_writer_with_a_lower_epoch_is_fenced_off(exchange: ExchangeProcess) -> None:
    with exchange.broker("BOB") as old, exchange.broker("BOB") as new:
        connected(old, epoch=4)
        connected(new, epoch=5)
        wait_until(lambda: old.state is ConnectionState.REFUSED, 30, "the refusal of the old one")
        with pytest.raises(BrokerRefused, match="epoch 4 was given and epoch 5") as refused:
            old.wait_connected(1)
        assert refused.value.code == "FENCED"
        assert new.state is ConnectionState.CONNECTED
    exchange.kill()
    exchange.start()
    with exchange.broker("BOB") as old:
        old.connect(epoch=4)
        with pytest.raises(BrokerRefused, match="epoch 5"):
            old.wait_connected(30)


def test_a_client_that_has_seen_more_than_there_is_is_refused(exchange: ExchangeProcess) -> None:
    with exchange.broker() as broker:
        broker.connect(after=10**6)
        with pytest.raises(BrokerRefused, match="the exchange has lost data") as refused:
            broker.wait_connected(30)
        assert refused.value.code == "SEQUENCE_AHEAD"


def test_instruments_with_other_units_are_refused(exchange: ExchangeProcess) -> None:
    finer = specify("AAPL", price_increment="0.0001")
    with exchange.broker(instruments=[finer]) as broker:
        broker.connect()
        with pytest.raises(BrokerRefused, match="AAPL has decimals of price and size"):
            broker.wait_connected(30)


def test_a_request_for_another_account_is_refused(exchange: ExchangeProcess) -> None:
    with exchange.broker() as broker:
        connected(broker)
        with pytest.raises(BrokerError, match="is of account BOB"):
            broker.submit(order("1", 1, 1, 1, account="BOB"))
    with Raw(exchange) as raw:
        raw.log_on()
        raw.send(Command(1, order("foreign", 1, 1, 9_000, account="BOB")))
        assert raw.expect(Done).number == 1
    with exchange.broker("BOB") as other:
        connected(other, epoch=5)
        assert other.find_order("foreign") is None


def test_nobody_answers_where_no_exchange_runs(exchange: ExchangeProcess) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        with ExchangeBroker("127.0.0.1", port, account="ACC", key="x" * 8) as broker:
            broker.connect()
            with pytest.raises(BrokerUnavailable, match="still"):
                broker.wait_connected(0.3)
            with pytest.raises(BrokerUnavailable, match="positions was not asked"):
                broker.positions(timeout=0.1)


# --- bytes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        struct.pack(">I", 2**31) + b"x",
        struct.pack(">I", 0),
        struct.pack(">I", 5) + b"\xc1\xc1\xc1\xc1\xc1",
        struct.pack(">I", 4) + b"\x92\x01\xa1\xff",
        struct.pack(">I", 60_000) + b"\x91" * 60_000,
        frame([2, 1, [70]]),
        frame([99]),
        frame({"a": 1}),
        frame(Subscribe(("AAPL",))),
    ],
    ids=["http", "long", "empty", "garbage", "no-utf8", "deep", "short", "tag", "map", "no-logon"],
)
@pytest.mark.parametrize("on", [False, True], ids=["stranger", "client"])
def test_bytes_that_are_no_message_end_that_link_alone(
    exchange: ExchangeProcess, data: bytes, on: bool
) -> None:
    if on and data == frame(Subscribe(("AAPL",))):
        data = frame(Logon(VERSION, "ACC", b"", 0, 0, 1))
    with exchange.broker("BOB") as other, Raw(exchange) as raw:
        connected(other, epoch=5)
        if on:
            raw.log_on()
        else:
            raw.expect(Hello)
        raw.socket.sendall(data)
        assert "MALFORMED" in raw.last_words()
        assert other.positions() == {}
        assert other.state is ConnectionState.CONNECTED


def test_a_slow_reader_holds_up_nobody(exchange: ExchangeProcess, tmp_path: Path) -> None:
    """A client that asks again and again and reads nothing is cut off; its memory is bounded."""
    with Raw(exchange, "ACC") as raw, exchange.broker("BOB") as other:
        connected(other, epoch=5)
        raw.log_on()
        raw.socket.settimeout(1)
        asked = 0
        with contextlib.suppress(OSError):
            for asked in range(1, 100_000):
                name = f"slow-{os.getpid()}-{asked}"
                raw.send(Command(asked, order(name, 1, 1, 9_000, account="ACC", post_only=True)))
                if asked % 50 == 0:
                    raw.send(ResendReports(0))
                if asked == 20_000:
                    break
        begun = time.monotonic()
        assert other.cash(timeout=60)["USD"] == 10**16
        assert time.monotonic() - begun < 60
    with exchange.broker() as again:
        connected(again)
        wait_until(lambda: len(again.poll(0.1)) == 0, 60, "all reports")


# --- sequences ------------------------------------------------------------------------------------


def test_commands_with_gaps_are_asked_for_and_repeats_are_ignored(tmp_path: Path) -> None:
    with ExchangeProcess(tmp_path) as exchange, Raw(exchange) as raw:
        raw.log_on()
        raw.send(Command(1, order("a", 1, 1, 9_000, account="ACC")))
        assert raw.expect(Report).report.order_id == "a"
        raw.send(Command(3, order("c", 1, 1, 9_000, account="ACC")))
        assert raw.expect(ResendCommands).after == 1
        raw.send(Command(2, order("b", 1, 1, 9_000, account="ACC")))
        raw.send(Command(2, order("b", 1, 1, 9_000, account="ACC")))
        raw.send(Command(3, order("c", 1, 1, 9_000, account="ACC")))
        told = [raw.expect(Report).report.order_id for _ in range(2)]
        assert told == ["b", "c"]
        # The same order as another command: the same report once more.
        raw.send(Command(4, order("b", 1, 1, 9_000, account="ACC")))
        again = raw.expect(Report)
        assert (again.sequence, again.report.order_id) == (2, "b")
        raw.send(ResendReports(0))
        assert [raw.expect(Report).sequence for _ in range(3)] == [1, 2, 3]


def test_a_second_log_on_takes_the_account_over(tmp_path: Path) -> None:
    with ExchangeProcess(tmp_path) as exchange, Raw(exchange) as first, Raw(exchange) as second:
        first.log_on()
        second.log_on()
        assert "REPLACED" in first.last_words()
        second.send(Command(1, order("a", 1, 1, 9_000, account="ACC")))
        assert second.expect(Report).sequence == 1


def test_market_data_are_trades_quotes_and_depth(tmp_path: Path) -> None:
    with ExchangeProcess(tmp_path) as exchange, Raw(exchange) as raw, exchange.broker("BOB") as bob:
        connected(bob)
        raw.log_on()
        raw.send(Subscribe(("AAPL",), 2))
        assert raw.expect(Quote).bid is None
        for name, side, size, limit in (
            ("b", 1, 5, 9_990),
            ("c", 1, 7, 9_989),
            ("d", -1, 4, 9_995),
        ):
            bob.submit(order(name, side, size, limit, account="BOB"))
        wait_until(lambda: not bob.unconfirmed, 30, "the orders")
        raw.send(Subscribe(("AAPL",), 2))
        while (quote := raw.expect(Quote)).ask is None:
            pass
        assert (quote.bid, quote.bid_size, quote.ask, quote.ask_size) == (9_990, 5, 9_995, 4)
        depth = raw.expect(Depth)
        assert depth.bids == ((9_990, 5, 1), (9_989, 7, 1))
        assert depth.asks == ((9_995, 4, 1),)
        raw.send(Command(1, order("take", -1, 6, 9_989, account="ACC", tif="IOC")))
        prints = [raw.expect(TradePrint) for _ in range(2)]
        assert [(each.price, each.size, each.taker) for each in prints] == [
            (9_990, 5, -1),
            (9_989, 1, -1),
        ]


def test_makers_fill_what_rests_from_a_seed_alone(tmp_path: Path) -> None:
    options = ("--instrument", "AAPL=100", "--makers", "3", "--maker-interval", "0.01")
    with ExchangeProcess(tmp_path, *options) as exchange, exchange.broker() as broker:
        connected(broker)
        broker.submit(order("rest", 1, 10, 10_000, account="ACC"))
        assert hear(broker, OrderFilled).quantity > 0
        broker.submit(order("take", -1, 5, account="ACC"))
        assert hear(broker, OrderFilled).side == -1


# --- time, phases, faults of the market -----------------------------------------------------------


def test_orders_end_with_their_time_and_with_the_session(tmp_path: Path) -> None:
    with (
        ExchangeProcess(tmp_path) as exchange,
        exchange.admin() as admin,
        exchange.broker() as broker,
    ):
        connected(broker)
        until = time.time_ns() + 300_000_000
        broker.submit(order("gtd", 1, 1, 9_000, account="ACC", tif="GTD", expire_at=until))
        broker.submit(order("day", 1, 1, 9_000, account="ACC", tif="DAY"))
        broker.submit(order("gtc", 1, 1, 9_000, account="ACC"))
        report = hear(broker, OrderExpired)
        assert report.order_id == "gtd"
        assert report.time >= until
        admin.phase("CLOSED")
        assert hear(broker, OrderExpired).order_id == "day"
        broker.submit(order("late", 1, 1, account="ACC"))
        assert "the market is closed" in hear(broker, OrderRejected).reason
        admin.phase("OPEN")
        assert [each.order_id for each in broker.open_orders()] == ["gtc"]


def test_rejects_busts_and_corrections_by_command(tmp_path: Path) -> None:
    with (
        ExchangeProcess(tmp_path, "--instrument", "AAPL=100", "--taker-fee", "10") as exchange,
        exchange.admin() as admin,
        exchange.broker() as broker,
        exchange.broker("BOB") as bob,
    ):
        connected(broker)
        connected(bob)
        admin.reject("ACC", 1, "no credit")
        broker.submit(order("no", 1, 1, 9_000, account="ACC"))
        assert hear(broker, OrderRejected).reason == "no credit"
        bob.submit(order("offer", -1, 20, 10_000, account="BOB"))
        hear(bob, OrderAccepted)
        money = broker.cash()["USD"]
        broker.submit(order("a", 1, 5, 10_000, account="ACC", tif="IOC"))
        fill = hear(broker, OrderFilled)
        admin.correct(1, 4, 9_950)
        corrected = hear(broker, FillCorrected)
        assert (corrected.fill_id, corrected.quantity, corrected.price) == (fill.fill_id, 4, 9_950)
        assert broker.positions() == {"AAPL": 4}
        assert broker.cash()["USD"] == money - 4 * 9_950 * 10**8 - corrected.fees
        admin.bust(1, "wrong price")
        busted = hear(broker, FillBusted)
        assert (busted.fill_id, busted.quantity) == (corrected.corrected_id, 4)
        assert broker.positions() == {}
        assert broker.cash()["USD"] == money
        assert bob.positions() == {}
        with pytest.raises(ExchangeError, match="trade 1 is not known here or was busted"):
            admin.bust(1)
        with pytest.raises(ExchangeError, match="there is no command"):
            admin.ask("dance")


def test_a_refused_request_changes_nothing_and_is_told_once(tmp_path: Path) -> None:
    with ExchangeProcess(tmp_path) as exchange, exchange.broker() as broker:
        connected(broker)
        broker.submit(order("1", 1, 5, 9_000, account="ACC"))
        broker.submit(order("1", 1, 6, 9_000, account="ACC"))
        refused = hear(broker, RequestRefused)
        assert (refused.order_id, refused.code) == ("1", "DUPLICATE_ID")
        broker.cancel(cancel("1", "ACC"))
        broker.cancel(cancel("1", "ACC"))
        hear(broker, OrderCanceled)
        wait_until(lambda: not broker.unconfirmed, 30, "the confirmation")
        assert broker.poll(0.1) == []
        found = broker.find_order("1")
        assert found is not None
        assert (found.status, found.quantity) == ("CANCELED", 5)


def test_requests_of_a_block_leave_together(tmp_path: Path) -> None:
    ids = [f"o{number}" for number in range(3)]
    told: list[tuple[type, str]] = []

    def heard(broker: ExchangeBroker, kind: type) -> bool:
        events = broker.poll(0.02, limit=2)
        assert len(events) <= 2
        reports: list[Any] = [each.report for each in events if isinstance(each, SequencedReport)]
        told.extend((type(each), each.order_id) for each in reports)
        return told[-3:] == [(kind, each) for each in ids]

    with ExchangeProcess(tmp_path) as exchange, exchange.broker() as broker:
        connected(broker)
        with exchange.admin() as admin:
            with broker.together():
                for each in ids:
                    broker.submit(order(each, 1, 5, 9_000, account="ACC"))
                assert broker.unconfirmed == 3
                assert admin.status()["accounts"]["ACC"]["open"] == 0
            wait_until(lambda: heard(broker, OrderAccepted), 60, "three acceptances")
        with broker.together():
            for each in ids:
                broker.cancel(cancel(each, "ACC"))
            exchange.kill()
        exchange.start()
        wait_until(lambda: heard(broker, OrderCanceled), 60, "three cancels")


# --- the command line -----------------------------------------------------------------------------


class Said(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def run(*arguments: str) -> Said:
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        status = main(["exchange", *arguments])
    return Said(status, out.getvalue(), error.getvalue())


def test_the_command_line_asks_and_orders(tmp_path: Path) -> None:
    with ExchangeProcess(tmp_path) as exchange:
        link = ("--port", str(exchange.port), "--accounts", str(exchange.accounts))
        assert run("fault", "drop", "--account", "ACC", "--count", "3", *link).returncode == 0
        answer = run("status", *link)
        assert answer.returncode == 0, answer.stderr
        status = json.loads(answer.stdout)
        assert status["phase"] == "OPEN"
        assert status["faults"][0][0][:4] == ["drop", "out", "ACC", 3]
        assert run("clear", *link).returncode == 0
        failed = run("bust", "7", *link)
        assert failed.returncode == 3
        assert "trade 7 is not known here" in failed.stderr
        exchange.send(signal.SIGTERM)
        assert exchange.wait() == 0
        assert "has stopped after" in exchange.said()
        gone = run("status", *link)
        assert gone.returncode == 3
        assert "is it running?" in gone.stderr


def test_what_is_wrong_at_the_start_is_told(tmp_path: Path) -> None:
    accounts = tmp_path / "accounts.json"
    accounts.write_text('{"accounts": {"A": {"key": "long-enough"}}}')
    accounts.chmod(0o644)
    directory = str(tmp_path / "data")
    open_file = run("serve", directory, "--accounts", str(accounts))
    assert open_file.returncode == 3
    assert "chmod 600" in open_file.stderr
    accounts.chmod(0o600)
    outside = run("serve", directory, "--accounts", str(accounts), "--host", "0.0.0.0")
    assert outside.returncode == 3
    assert "no loopback address" in outside.stderr
    bad = run("serve", directory, "--accounts", str(accounts), "--instrument", "AAPL")
    assert "SYMBOL=PRICE is expected" in bad.stderr
    accounts.write_text('{"accounts": {"A": {"key": "short"}}}')
    assert "8 characters or more" in run("serve", directory, "--accounts", str(accounts)).stderr


def test_a_torn_end_of_the_log_is_told_at_the_start(tmp_path: Path) -> None:
    with ExchangeProcess(tmp_path) as exchange:
        exchange.kill()
        log = exchange.directory / "exchange.log"
        log.write_bytes(log.read_bytes() + b"XLG1 half a group")
        exchange.start()
        assert "17 bytes of an incomplete group" in exchange.said()


def test_a_wrong_administrators_key_is_refused(exchange: ExchangeProcess) -> None:
    with pytest.raises(BrokerRefused, match="its key is another one"):
        ExchangeAdmin("127.0.0.1", exchange.port, ADMIN_KEY + "x")


def test_a_clock_that_is_off_is_known_at_the_log_on(tmp_path: Path) -> None:
    options = ("--instrument", "AAPL=100", "--clock-offset", "3600")
    with ExchangeProcess(tmp_path, *options) as exchange, exchange.broker() as broker:
        connected(broker)
        assert 3_590 < broker.clock_offset_ns / 1e9 < 3_610
        broker.submit(order("1", 1, 5, 9_000, account="ACC"))
        hear(broker, OrderAccepted)


def test_the_broker_takes_back_nothing_that_was_said(exchange: ExchangeProcess) -> None:
    with exchange.broker(instruments=[AAPL], waiting_max=2) as broker:
        connected(broker)
        exchange.send(signal.SIGSTOP)
        try:
            broker.submit(order("w1", 1, 5, 9_000, account="ACC"))
            broker.submit(order("w2", 1, 5, 9_000, account="ACC"))
            with pytest.raises(BrokerError, match="2 requests wait for the exchange"):
                broker.submit(order("w3", 1, 5, 9_000, account="ACC"))
        finally:
            exchange.send(signal.SIGCONT)
        wait_until(lambda: not broker.unconfirmed, 60, "the confirmation")
        assert broker.find_order("w2") is not None
        assert broker.find_order("w3") is None
