"""The options of `server/app.py`."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from server.address import bare_host
from server.time_zone import checked_zone, machine_zone


@dataclass(frozen=True, slots=True)
class Options:
    """What the server was asked to do; the fields are the command line's options."""

    host: str = "127.0.0.1"
    port: int = 10_000
    psk: str | None = None
    view_only: bool = False
    allow_host: tuple[str, ...] = ()
    tls_cert: Path | None = None
    tls_key: Path | None = None
    heap_mb: int | None = None
    raw_rows: int = 100_000
    seed: int | None = None
    rate: float = 5.0
    volatility: float = 0.35
    replay: tuple[Path, ...] = ()
    speed: float = 1.0
    allow_negative: bool = False
    time_zone: str | None = None


def _number(
    kind: type[int] | type[float], wanted: str, allowed: Callable[[float], bool]
) -> Callable[[str], float]:
    """Return a reader of numbers that says what is wanted when it is given something else."""

    def read(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if math.isnan(value) or not allowed(value):
            raise argparse.ArgumentTypeError(f"{wanted} is wanted, not {text!r}")
        return value

    return read


_PORT = _number(int, "a number from 1 to 65535", lambda v: 1 <= v <= 65_535)
_COUNT = _number(int, "a whole number above 0", lambda v: v > 0)
_SEED = _number(int, "a whole number, 0 or more", lambda v: v >= 0)
_RATE = _number(float, "a number above 0", lambda v: 0 < v < math.inf)
_VOLATILITY = _number(float, "a number, 0 or more", lambda v: 0 <= v < math.inf)
_SPEED = _number(float, "a number above 0, or inf,", lambda v: v > 0)


def zone(text: str) -> str:
    """Read the name of a time zone."""
    try:
        return checked_zone(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def parse_options(arguments: Sequence[str]) -> Options:
    """Read the command line; a wrong one ends the process with status 2 and says why."""
    defaults = Options()
    parser = argparse.ArgumentParser(
        prog="server/app.py",
        description="Publish ticking prices and risk in an embedded Deephaven server.",
    )
    _add_access(parser, defaults)
    _add_engine(parser, defaults)
    _add_market(parser, defaults)
    given = parser.parse_args(arguments)
    given.replay = tuple(given.replay)
    given.allow_host = tuple(given.allow_host)
    return Options(**vars(given))


def _add_access(parser: argparse.ArgumentParser, defaults: Options) -> None:
    access = parser.add_argument_group("access")
    access.add_argument(
        "--host",
        type=bare_host,
        default=defaults.host,
        help="address to listen on; 0.0.0.0 opens it to other hosts (default: %(default)s)",
    )
    access.add_argument("--port", type=_PORT, default=defaults.port, help="default: %(default)s")
    access.add_argument(
        "--psk",
        metavar="KEY",
        help="pre-shared key (default: $DEEPHAVEN_PSK, or a random one at each start)",
    )
    access.add_argument(
        "--view-only",
        action="store_true",
        help="clients see the tables and can neither run code nor replace them",
    )
    access.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="also answer requests for this name, that of a proxy in front; may be repeated",
    )
    access.add_argument(
        "--tls-cert",
        type=Path,
        metavar="FILE",
        help="encrypt connections: PEM file of the certificate, with its chain",
    )
    access.add_argument(
        "--tls-key", type=Path, metavar="FILE", help="PEM file of the certificate's private key"
    )


def _add_engine(parser: argparse.ArgumentParser, defaults: Options) -> None:
    screens = parser.add_argument_group("screens")
    screens.add_argument(
        "--time-zone",
        type=zone,
        metavar="ZONE",
        help="in which tables show times, such as Europe/Berlin (default: this machine's, "
        f"{machine_zone()})",
    )
    engine = parser.add_argument_group("engine")
    engine.add_argument(
        "--heap-mb",
        type=_COUNT,
        metavar="MB",
        help="heap of the JVM (default: a quarter "
        "of the machine's memory, at least 1,024 and at most 4,096)",
    )
    engine.add_argument(
        "--raw-rows",
        type=_COUNT,
        default=defaults.raw_rows,
        metavar="ROWS",
        help="rows that prices_raw and risk_raw keep (default: %(default)s)",
    )


def _add_market(parser: argparse.ArgumentParser, defaults: Options) -> None:
    simulator = parser.add_argument_group("simulated market")
    simulator.add_argument("--seed", type=_SEED, help="same seed, same ticks (default: random)")
    simulator.add_argument(
        "--rate",
        type=_RATE,
        default=defaults.rate,
        help="ticks of each symbol a second (default: %(default)s)",
    )
    simulator.add_argument(
        "--volatility",
        type=_VOLATILITY,
        default=defaults.volatility,
        help="annualised, 0.35 is 35 %% (default: %(default)s)",
    )
    replay = parser.add_argument_group("recorded market")
    replay.add_argument(
        "--replay",
        type=Path,
        nargs="+",
        default=(),
        metavar="FILE",
        help="play real prices from CSV or Parquet files instead of the simulated market",
    )
    replay.add_argument(
        "--speed",
        type=_SPEED,
        default=defaults.speed,
        help="times faster than recorded; 'inf' plays without waiting (default: %(default)s)",
    )
    replay.add_argument(
        "--allow-negative",
        action="store_true",
        help="take prices of 0 and below from the files, as spreads and some futures have them",
    )
