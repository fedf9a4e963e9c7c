"""What the processes of a desk are told: one file that only its owner can read."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from trading.decoding import json_decoder
from trading.errors import DeskError
from trading.governance.entities import (
    APPROVE,
    BREAK_GLASS_DUTY,
    OPERATE,
    PROPOSE,
    READ,
    RESUME,
)
from trading.specification import InstrumentSpec, specify

__all__ = [
    "DUTIES_OF_ROLE",
    "NO_CAP",
    "ROLES",
    "SCREEN_ROWS",
    "AccountConfig",
    "DeskConfig",
    "StrategyConfig",
    "instruments_of",
    "read_config",
    "twin_run",
    "write_config",
    "write_private",
]

SCREEN_ROWS = 100_000
"""How many rows of each history of the market Deephaven keeps."""
_DASHBOARDS = ("desk", "risk", "strategy")
ROLES = ("viewer", "trader", "risk")
"""What a member of an account may do: look; give commands; look, halt, and lift halts."""

DUTIES_OF_ROLE: dict[str, tuple[str, ...]] = {
    "viewer": (READ,),
    "trader": (PROPOSE, OPERATE, BREAK_GLASS_DUTY),
    "risk": (PROPOSE, APPROVE, OPERATE, RESUME, BREAK_GLASS_DUTY),
}
"""The duties of governance that come with a role."""

NO_CAP = 1_000_000
"""The places for open symbols of paper twins, which are as good as unbounded."""


class StrategyConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A strategy: `where` is package.module:Class or file.py:Class."""

    where: str
    parameters: dict[str, Any] = {}
    symbols: tuple[str, ...] = ()
    timeframes: tuple[str, ...] = ()


class AccountConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An account that an engine trades, and who may do what on it.

    `broker` is `paper` or `exchange`. With `twins` each strategy also runs without a cap on open
    symbols, in the run `twin:NAME`, and the weights of the account follow what the twins earn.
    `limits` are those of `trading.risk.Limits`, set at the first start. `duties` are duties of
    governance that a person has beside those of the role.
    """

    account: str
    run: str = "paper:demo"
    cash: str = "100000"
    currency: str = "USD"
    broker: str = "paper"
    owner: str = ""
    members: dict[str, str] = {}
    strategies: tuple[StrategyConfig, ...] = ()
    twins: bool = True
    max_open: int = 3
    limits: dict[str, Any] = {}
    duties: dict[str, tuple[str, ...]] = {}

    def all_duties(self) -> dict[str, frozenset[str]]:
        """Return what each person may decide on this account."""
        found = {
            user: frozenset((*DUTIES_OF_ROLE[role], *self.duties.get(user, ())))
            for user, role in self.members.items()
        }
        for user in self.duties.keys() - found.keys():
            found[user] = frozenset(self.duties[user])
        return found


class DeskConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that the processes share; ports are of this machine.

    `logins` are the passwords of the processes' own users of the store, by user: `desk_market`
    keeps ticks, `desk_engine` owns the records. `options` is the underlying of simulated options,
    `deephaven_key` what Deephaven asks of browsers and clients; empty where it does not run.
    """

    directory: str
    store: dict[str, Any]
    logins: dict[str, str]
    link_key: str
    metrics_token: str
    ports: dict[str, int]
    symbols: dict[str, str]
    accounts: tuple[AccountConfig, ...]
    timeframes: tuple[str, ...] = ("5s", "1m", "5m")
    calendar: str = ""
    seed: int | None = None
    rate: float = 10.0
    replay: tuple[str, ...] = ()
    speed: float = 1.0
    hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "[::1]")
    api_host: str = "127.0.0.1"
    webhook: str = ""
    exchange_keys: dict[str, str] = {}
    options: str = ""
    deephaven_key: str = ""
    deephaven_heap_mb: int = 1024

    @property
    def folder(self) -> Path:
        """The desk's directory."""
        return Path(self.directory)

    @property
    def deephaven_url(self) -> str:
        """Where Deephaven answers."""
        return f"http://localhost:{self.ports['deephaven']}/"

    def dashboards(self, *, with_key: bool = False) -> dict[str, str]:
        """Return the address of each dashboard; with the key a browser is let in by it."""
        secret = f"&psk={quote(self.deephaven_key)}" if with_key else ""
        base = f"{self.deephaven_url}iframe/widget/"
        return {name: f"{base}?name={name}{secret}" for name in _DASHBOARDS}

    @property
    def state_file(self) -> Path:
        """Where the supervisor says how its processes are."""
        return self.folder / "run" / "state.json"

    @property
    def one_time_file(self) -> Path:
        """The one-time log-in codes that nobody has used yet."""
        return self.folder / "run" / "one_time.json"


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(number, "wb") as file:
            file.write(data)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_config(config: DeskConfig, path: Path) -> None:
    """Write the file that every process is started with."""
    write_private(path, msgspec.json.format(msgspec.json.encode(config)))


def read_config(path: str | Path) -> DeskConfig:
    """Return the configuration of a file; DeskError where it is none."""
    try:
        return json_decoder(DeskConfig).decode(Path(path).read_bytes())
    except OSError as error:
        raise DeskError(f"{path}: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise DeskError(f"{path}: {error}") from error


def instruments_of(config: DeskConfig) -> list[InstrumentSpec]:
    """Return the instruments that a desk trades."""
    return [specify(symbol, calendar=config.calendar) for symbol in config.symbols]


def twin_run(account: AccountConfig) -> str:
    """Return the run in which an account's paper twins trade."""
    return f"twin:{account.account}"
