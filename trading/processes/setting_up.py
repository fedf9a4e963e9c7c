"""A desk's directory: its store, users, keys and configuration, made once and kept."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from store.schema import index_field, provision_user
from store.server import ObjectStoreServer
from trading.backtest import load_strategy
from trading.decoding import json_decoder
from trading.errors import DeskError, TradingError
from trading.governance import DUTIES, bootstrap_governance, set_duties
from trading.governance.entities import ENGINE
from trading.governance.governance import limits_of
from trading.numbers import to_decimal
from trading.processes.config import (
    ROLES,
    AccountConfig,
    DeskConfig,
    StrategyConfig,
    write_config,
    write_private,
)
from trading.replay.two_times import bootstrap_books
from trading.ticks import TickStore

__all__ = ["DEFAULT_SYMBOLS", "DeskOptions", "default_accounts", "read_accounts_file", "set_up"]

DEFAULT_SYMBOLS = {"AAPL": "230", "MSFT": "415", "NVDA": "140"}
"""What a new desk simulates, and the prices to begin with."""
_PROCESS_USERS = ("desk_market", "desk_engine")
# What pages of the API filter and order by.
_INDEXED = ("order_id", "group_id")
_PORTS = (
    "market",
    "engine",
    "exchange",
    "market_metrics",
    "engine_metrics",
    "deephaven_metrics",
)
_FIRST_DEEPHAVEN_PORT, _DEEPHAVEN_PORTS = 10_000, 20


@dataclass(frozen=True)
class DeskOptions:
    """What a person may say about a desk."""

    directory: Path
    port: int = 8000
    host: str = "127.0.0.1"
    hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "[::1]")
    symbols: Mapping[str, str] = field(default_factory=lambda: dict(DEFAULT_SYMBOLS))
    accounts: tuple[AccountConfig, ...] = ()
    timeframes: tuple[str, ...] = ("5s", "1m", "5m")
    calendar: str = ""
    seed: int | None = None
    rate: float = 10.0
    replay: tuple[str, ...] = ()
    speed: float = 1.0
    webhook: str = ""
    options: str = ""
    deephaven: bool = True
    deephaven_port: int | None = None
    deephaven_heap_mb: int = 1024


def default_accounts(
    broker: str = "paper", strategies: Sequence[StrategyConfig] | None = None
) -> tuple[AccountConfig, ...]:
    """Return the account of a new desk: two people, two strategies, and limits."""
    examples = "trading.strategy.examples"
    if strategies is None:
        strategies = (
            StrategyConfig(f"{examples}:TurnTaking", {"size": 10}, timeframes=("5s",)),
            StrategyConfig(f"{examples}:RsiReversion", timeframes=("5s",)),
        )
    return (
        AccountConfig(
            "DEMO",
            run="paper:demo" if broker == "paper" else "live",
            broker=broker,
            owner="trader",
            members={"trader": "trader", "risk": "risk"},
            strategies=tuple(strategies),
            limits={
                "max_order_notional": "50000",
                "max_symbol_notional": "60000",
                "max_gross_exposure": "150000",
                "max_daily_loss": "5000",
                "price_collar": "0.05",
            },
        ),
    )


def read_accounts_file(path: Path) -> tuple[AccountConfig, ...]:
    """Return the accounts of a JSON file; DeskError where they are none."""
    try:
        found = json_decoder(tuple[AccountConfig, ...]).decode(path.read_bytes())
    except OSError as error:
        raise DeskError(f"{path}: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise DeskError(f"{path}: {error}") from error
    names = [each.account for each in found]
    if not found or len(set(names)) != len(names):
        raise DeskError(f"{path}: one account at least is needed, each under a name of its own")
    for each in found:
        wrong = sorted(set(each.members.values()) - set(ROLES))
        if wrong:
            raise DeskError(f"{path}: {wrong[0]!r} is no role; there are {', '.join(ROLES)}")
        unknown = sorted({duty for some in each.duties.values() for duty in some} - {*DUTIES})
        if unknown:
            raise DeskError(f"{path}: {unknown[0]!r} is no duty; there are {', '.join(DUTIES)}")
        if each.broker not in ("paper", "exchange"):
            raise DeskError(f"{path}: broker {each.broker!r} is neither paper nor exchange")
        _refuse_wrong_values(path, each)
    return found


def _refuse_wrong_values(path: Path, account: AccountConfig) -> None:
    """DeskError for what the engine's process would stumble over: it would trade without it."""
    place = f"{path}: account {account.account}"
    try:
        limits_of(msgspec.json.encode(account.limits).decode())
        to_decimal(account.cash, "cash")
        for each in account.strategies:
            more = {"timeframes": list(each.timeframes)} if each.timeframes else {}
            # Some strategies need a symbol to be made at all; the desk's own come later.
            symbols = list(each.symbols) or list(DEFAULT_SYMBOLS)
            load_strategy(each.where, dict(each.parameters), symbols=symbols, **more)
    except (TradingError, TypeError, ValueError) as error:
        raise DeskError(f"{place}: {error}") from error


class _Secrets(msgspec.Struct):
    """What is made at random once, and kept in a file that only its owner can read."""

    link_key: str
    metrics_token: str
    exchange_admin: str
    logins: dict[str, str] = {}
    exchange_keys: dict[str, str] = {}
    deephaven_key: str = ""


def _secrets(path: Path) -> _Secrets:
    if path.exists():
        try:
            return json_decoder(_Secrets).decode(path.read_bytes())
        except msgspec.MsgspecError as error:
            raise DeskError(f"{path} is damaged: {error}") from error
    link, metrics, exchange = (secrets.token_urlsafe(32) for _ in range(3))
    return _Secrets(link, metrics, exchange)


def set_up(options: DeskOptions, store: ObjectStoreServer) -> tuple[DeskConfig, Path, _Secrets]:
    """Make users and rights, and write the configuration of the processes; returns it and its file.

    What was made before is kept: passwords, keys, and all data.
    """
    folder = options.directory
    kept = folder / "secrets.json"
    known = _secrets(kept)
    accounts = options.accounts or default_accounts()
    people = sorted({user for each in accounts for user in (*each.members, *each.duties)})
    for user in (*_PROCESS_USERS, *people):
        known.logins.setdefault(user, secrets.token_urlsafe(18))
    for each in accounts:
        known.exchange_keys.setdefault(each.account, secrets.token_urlsafe(24))
    known.deephaven_key = known.deephaven_key or secrets.token_urlsafe(32)
    write_private(kept, msgspec.json.encode(known))
    _make_users(store, known.logins, people, list(options.symbols))
    _govern(store, accounts)
    if any(each.broker == "exchange" for each in accounts):
        _write_exchange(folder / "exchange" / "accounts.json", known, accounts)
    config = DeskConfig(
        directory=str(folder),
        store=dict(store.conn_info()),
        logins={user: known.logins[user] for user in _PROCESS_USERS},
        link_key=known.link_key,
        metrics_token=known.metrics_token,
        ports={
            **_free_ports(_PORTS),
            "api": options.port,
            "deephaven": _deephaven_port(options.deephaven_port),
        },
        symbols=dict(options.symbols),
        accounts=tuple(accounts),
        timeframes=options.timeframes,
        calendar=options.calendar,
        seed=options.seed,
        rate=options.rate,
        replay=options.replay,
        speed=options.speed,
        hosts=options.hosts,
        api_host=options.host,
        webhook=options.webhook,
        exchange_keys=known.exchange_keys,
        options=options.options,
        deephaven_key=known.deephaven_key if options.deephaven else "",
        deephaven_heap_mb=options.deephaven_heap_mb,
    )
    path = folder / "run" / "config.json"
    write_config(config, path)
    return config, path, known


def _make_users(
    store: ObjectStoreServer, logins: Mapping[str, str], people: Sequence[str], symbols: list[str]
) -> None:
    with closing(store.admin_conn()) as admin:
        for user, password in logins.items():
            provision_user(admin, user, password)
        for name in _INDEXED:
            index_field(admin, name)
    with TickStore(store) as ticks:
        ticks.grant("desk_market", write=True)
        ticks.grant("desk_engine", symbols)
        for user in people:
            ticks.grant(user, symbols)


def _govern(store: ObjectStoreServer, accounts: Sequence[AccountConfig]) -> None:
    """Set up governance and the books, and give people the duties that the accounts say."""
    with closing(store.admin_conn()) as admin:
        bootstrap_governance(admin)
        bootstrap_books(admin)
        for each in accounts:
            duties = {**each.all_duties(), "desk_engine": frozenset({ENGINE})}
            set_duties(admin, each.account, duties)


def _write_exchange(path: Path, known: _Secrets, accounts: Sequence[AccountConfig]) -> None:
    entries: dict[str, Any] = {
        each.account: {
            "key": known.exchange_keys[each.account],
            "cash": {each.currency: each.cash},
        }
        for each in accounts
        if each.broker == "exchange"
    }
    content = {"accounts": entries, "admin_key": known.exchange_admin}
    write_private(path, msgspec.json.encode(content))


def _deephaven_port(wanted: int | None) -> int:
    """The port that was asked for, or the first free one from Deephaven's own on.

    People keep links to it: another one at each start would be a nuisance.
    """
    if wanted is not None:
        return wanted
    for port in range(_FIRST_DEEPHAVEN_PORT, _FIRST_DEEPHAVEN_PORT + _DEEPHAVEN_PORTS):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    return _free_ports(("deephaven",))["deephaven"]


def _free_ports(names: Sequence[str]) -> dict[str, int]:
    """Ports that nobody listens on now; all are held until the last one is found."""
    held = []
    try:
        for _ in names:
            probe = socket.socket()
            probe.bind(("127.0.0.1", 0))
            held.append(probe)
        ports = [probe.getsockname()[1] for probe in held]
        return dict(zip(names, ports, strict=True))
    finally:
        for probe in held:
            probe.close()
