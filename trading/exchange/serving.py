"""An exchange from its files: accounts and keys, instruments, a directory for its log."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from trading.decoding import json_decoder
from trading.errors import ExchangeError, TradingError
from trading.exchange.durable import DurableExchange
from trading.exchange.matching.inputs import AddAccount, AddInstrument, ExchangeSettings
from trading.exchange.server import ExchangeServer
from trading.numbers import MONEY_DECIMALS, to_units
from trading.specification import InstrumentSpec, specify
from trading.venues.keys import private_text

__all__ = ["AccountsFile", "ListedInstrument", "listed", "read_accounts", "serve"]


class _AccountEntry(msgspec.Struct, forbid_unknown_fields=True):
    key: str
    cash: dict[str, str] = {}


class AccountsFile(msgspec.Struct, forbid_unknown_fields=True):
    """Accounts by name with their keys and cash at the beginning, and the administrator's key."""

    accounts: dict[str, _AccountEntry]
    admin_key: str | None = None


class ListedInstrument(msgspec.Struct):
    """An instrument, and the price at which makers and auctions begin, None where there is none."""

    spec: InstrumentSpec
    price: int | None = None


_SHORTEST_KEY = 8


def read_accounts(path: str | Path) -> AccountsFile:
    """Read accounts and keys from a JSON file that only its owner may read."""
    try:
        found = json_decoder(AccountsFile).decode(private_text(path))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ExchangeError(f"{path} is no file of accounts: {error}") from error
    keys = [entry.key for entry in found.accounts.values()]
    keys += [found.admin_key] if found.admin_key is not None else []
    if any(len(key) < _SHORTEST_KEY for key in keys):
        raise ExchangeError(f"{path}: every key needs {_SHORTEST_KEY} characters or more")
    if len(set(keys)) != len(keys):
        raise ExchangeError(f"{path}: two keys are the same; each needs one of its own")
    return found


def listed(texts: Sequence[str] = (), file: str | Path | None = None) -> list[ListedInstrument]:
    """Return instruments from `SYMBOL=PRICE` texts, and from a JSON list of what `specify` takes.

    An entry of the file is an object with `symbol`, `price` and any argument of `specify`.
    """
    entries: list[dict[str, Any]] = []
    for text in texts:
        symbol, equals, price = text.rpartition("=")
        if not equals:
            raise ExchangeError(f"instrument {text!r}: SYMBOL=PRICE is expected")
        entries.append({"symbol": symbol, "price": price})
    if file is not None:
        try:
            entries += msgspec.json.decode(Path(file).read_bytes(), type=list[dict[str, Any]])
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise ExchangeError(f"{file} is no file of instruments: {error}") from error
    found = []
    for entry in entries:
        options = dict(entry)
        price = options.pop("price", None)
        try:
            spec = specify(options.pop("symbol", ""), **options)
        except TypeError as error:
            raise ExchangeError(f"instrument {entry}: {error}") from error
        units = None if price is None else spec.price_units(price)
        if units is not None and units % spec.price_increment:
            raise ExchangeError(f"{spec.symbol}: {price} is off the price increment")
        found.append(ListedInstrument(spec, units))
    return found


def _money(cash: Mapping[str, str]) -> tuple[tuple[str, int], ...]:
    return tuple(
        (currency, to_units(amount, MONEY_DECIMALS, f"cash in {currency}"))
        for currency, amount in sorted(cash.items())
    )


def _set_up(
    exchange: DurableExchange, accounts: AccountsFile, instruments: Sequence[ListedInstrument]
) -> None:
    """Add what the files name and the log does not know yet."""
    now = max(time.time_ns(), exchange.state.now)
    for each in instruments:
        exchange.stage(AddInstrument(now, each.spec, each.price))
    for name, entry in accounts.accounts.items():
        exchange.stage(AddAccount(now, name, _money(entry.cash)))
    exchange.commit()


def _loopback(host: str) -> str:
    """Return an address of this machine alone; the protocol is not encrypted."""
    if host == "localhost":
        return "127.0.0.1"
    try:
        if ipaddress.ip_address(host).is_loopback:
            return host
    except ValueError:
        pass
    raise ExchangeError(
        f"{host} is no loopback address; the exchange is for tests on one machine and its protocol "
        "is not encrypted. Use 127.0.0.1 or ::1"
    )


def serve(
    directory: str | Path,
    settings: ExchangeSettings,
    accounts: AccountsFile,
    instruments: Sequence[ListedInstrument],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    maker_interval_s: float = 0.1,
    clock_offset_s: float = 0.0,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Run an exchange until SIGTERM or SIGINT; `say` hears when and where it is ready."""
    address = _loopback(host)
    with DurableExchange(directory, settings) as exchange:
        if exchange.log.torn:
            say(
                f"the log ended in {exchange.log.torn} bytes of an incomplete group; they were cut "
                "off, nobody had been told of them"
            )
        _set_up(exchange, accounts, instruments)
        keys = {name: entry.key for name, entry in accounts.accounts.items()}
        server = ExchangeServer(
            exchange,
            keys,
            accounts.admin_key,
            maker_interval_s=maker_interval_s,
            clock_offset_ns=round(clock_offset_s * 1e9),
        )

        async def main() -> None:
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, server.stop)
            try:
                bound = await server.start(address, port)
            except OSError as error:
                raise TradingError(f"cannot listen on {address}:{port}: {error}") from error
            say(f"exchange {settings.name} is ready on {bound[0]}:{bound[1]}")
            await server.run()

        asyncio.run(main())
        say(f"exchange {settings.name} has stopped after {exchange.log.groups} groups")
