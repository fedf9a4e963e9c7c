"""What the API is told at its start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trading.specification import InstrumentSpec

__all__ = ["ApiSettings", "RunSettings", "RunStrategy"]


@dataclass(frozen=True)
class RunStrategy:
    """A strategy of a run: where its code is (`package.module:Class` or `file.py:Class`)."""

    where: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    symbols: tuple[str, ...] = ()
    timeframes: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunSettings:
    """An account's run, what its kernel is made of, and who may look at it with which role.

    `is_paper` is a run whose orders a simulated broker fills. `is_own` marks the account's own run;
    the others are those of its twins. `others` are people with a duty who are no members: they see
    records, and have no role.
    """

    account: str
    run: str
    members: Mapping[str, str]
    strategies: tuple[RunStrategy, ...] = ()
    max_open: int = 3
    is_paper: bool = True
    is_own: bool = True
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class ApiSettings:
    """Where the API finds store, engine and market, and its limits.

    `store` is what `StoreClient` takes beside user and password. Records of others than
    `records_owner` are not shown: anybody may write objects of these classes and share them.
    `engine` and `market` are the ports of the desk's processes on this machine, behind `link_key`;
    None where there is none. `hosts` are the names under which it may be called: others are
    refused, so that no foreign name can be made to point here. `one_time` is a file of log-in
    codes, `metrics_token` what Prometheus sends. `timeframes` are those of the bars that the desk
    keeps. `runs` are the runs of the desk's accounts, which can be replayed and explained. Times
    are seconds.
    """

    store: Mapping[str, Any]
    records_owner: str = "desk_engine"
    engine: int | None = None
    market: int | None = None
    link_key: str = ""
    hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "[::1]")
    https: bool = False
    one_time: Path | None = None
    metrics_token: str = ""
    state_file: Path | None = None
    static: Path | None = None
    instruments: tuple[InstrumentSpec, ...] = ()
    calendar: str = ""
    bar_source: str = "simulated"
    timeframes: tuple[str, ...] = ()
    runs: tuple[RunSettings, ...] = ()
    session_s: float = 12 * 3600.0
    idle_s: float = 2 * 3600.0
    check_s: float = 30.0
    sessions_max: int = 500
    pool_size: int = 4
    requests_max: int = 16
    body_max: int = 64 * 1024
    body_s: float = 20.0
    failures_of_user: int = 5
    failures_of_address: int = 20
    failures_s: float = 60.0
    sockets_of_user: int = 20
    sockets_max: int = 300
    topics_max: int = 32
    interval_s: float = 0.016
    heartbeat_s: float = 2.0
    waiting_events: int = 2_000
    waiting_bytes: int = 2_000_000
    waiting_snapshot_bytes: int = 16_000_000
    resume_events: int = 5_000
    send_s: float = 10.0
    replays_of_user: int = 4
    replays_max: int = 16
    replay_rows_max: int = 2_000_000
    replay_idle_s: float = 900.0
    replay_interval_s: float = 0.1

    def runs_of(self, user: str) -> list[RunSettings]:
        """Return the runs of accounts that a user is a member of."""
        return [each for each in self.runs if user in each.members]

    def seen_by(self, user: str) -> list[RunSettings]:
        """Return the runs whose records a user sees: as a member, or by a duty alone."""
        return [each for each in self.runs if user in each.members or user in each.others]

    def own_run(self, account: str) -> str | None:
        """Return the run in which an account itself trades; None where it is not known."""
        return next((e.run for e in self.runs if e.account == account and e.is_own), None)
