"""Settings of the trading layer: from a TOML file, the environment and the command line.

    settings = load_settings()                   # trading.toml, TRADING__…
    settings["tradepicker.maxOpenPositions"]     # 3
    TradePicker(**settings.picker_options())

A later source wins over an earlier one: default, file, environment, command line. Every name,
value and bound is checked, whichever source it comes from.
"""

from __future__ import annotations

import argparse
import difflib
import json
import math
import os
import re
import sys
import zoneinfo
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypedDict

from trading.bars.interval import parse_interval
from trading.errors import SettingsError, TradingError, shown
from trading.times import DAY, SECOND

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "SETTINGS",
    "KernelOptions",
    "MetricsOptions",
    "PickerOptions",
    "Setting",
    "Settings",
    "add_settings_options",
    "load_settings",
    "settings_of",
]

DEFAULT_FILE = "trading.toml"
FILE_VARIABLE = "TRADING_SETTINGS"
_PREFIX = "TRADING__"

Value = bool | int | float | str


@dataclass(frozen=True)
class Setting:
    """One setting: its name, default, what it does, and what it may be.

    `low` and `high` are inclusive bounds of numbers; `choices` are all values of a text, and
    `check` raises a ValueError that says what is expected.
    """

    name: str
    default: Value
    description: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    check: Callable[[str], None] | None = None

    @property
    def variable(self) -> str:
        """The environment variable: `TRADING__TRADEPICKER__MAX_OPEN_POSITIONS`."""
        parts = [re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", part) for part in self.name.split(".")]
        return _PREFIX + "__".join(parts).upper()

    @property
    def allowed(self) -> str:
        """What the value may be, in words."""
        if isinstance(self.default, bool):
            return "true or false"
        if self.choices:
            return ", ".join(self.choices)
        if isinstance(self.default, str):
            return "text"
        kind = "a whole number" if isinstance(self.default, int) else "a number"
        if self.low is not None and self.high is not None:
            return f"{kind} from {self.low:g} to {self.high:g}"
        return kind if self.low is None else f"{kind} of at least {self.low:g}"

    def checked(self, value: object, source: str) -> Value:
        """Return a value of this setting's type; SettingsError where it is none."""
        expected = None if self._fits(value) else self.allowed
        if expected is None and self.check is not None:
            try:
                self.check(str(value))
            except ValueError as error:
                expected = str(error)
        if expected is not None:
            raise SettingsError(f"{self.name}: expected {expected}, seen {shown(value)} ({source})")
        return float(value) if isinstance(self.default, float) else value  # type: ignore[arg-type, return-value]

    def _fits(self, value: object) -> bool:
        """Whether a value has the type of the default and lies within the bounds."""
        if isinstance(self.default, bool):
            return isinstance(value, bool)
        if isinstance(self.default, str):
            return isinstance(value, str) and (not self.choices or value in self.choices)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        if isinstance(self.default, int) and not isinstance(value, int):
            return False
        low = -math.inf if self.low is None else self.low
        high = math.inf if self.high is None else self.high
        return math.isfinite(value) and low <= value <= high

    def parsed(self, text: str, source: str) -> Value:
        """Return the value that a text of the environment or the command line means."""
        stripped = text.strip()
        value: object = stripped
        if isinstance(self.default, bool):
            value = {"true": True, "false": False}.get(stripped.lower(), stripped)
        elif isinstance(self.default, (int, float)):
            for number in (int, float):
                try:
                    value = number(stripped)
                    break
                except ValueError:
                    continue
        return self.checked(value, source)


def _interval(text: str) -> None:
    try:
        divides = parse_interval(text).divides_day
    except TradingError:
        divides = False
    if not divides:
        raise ValueError('a length of time that divides a day, such as "1m", "5m" or "1h"')


def _time_zone(text: str) -> None:
    try:
        zoneinfo.ZoneInfo(text)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("a time zone such as Europe/Oslo or UTC") from None


def _range(text: str) -> tuple[float, float]:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(?:\s*[-–]\s*(\d+(?:\.\d+)?))?\s*s", text)
    if found is None:
        raise ValueError('seconds such as "5s" or a range such as "5-15s"')
    low, high = float(found[1]), float(found[2] or found[1])
    if not 0 < low <= high:
        raise ValueError("a range of seconds above 0 that does not go down")
    return low, high


def _is_range(text: str) -> None:
    _range(text)


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "engine.outputs",
        "full",
        "what an engine writes: trade matches alone (backtests), or lots, positions and P&L too",
        choices=("matches-only", "full"),
    ),
    Setting(
        "monitoring.export",
        "metrics",
        "where unrealized P&L goes: Prometheus metrics, tables (fluss is the older word), or both",
        choices=("metrics", "tables", "fluss", "both"),
    ),
    Setting(
        "tradepicker.maxOpenPositions",
        3,
        "how many symbols an account may have open at a time",
        low=1,
        high=100_000,
    ),
    Setting("tradepicker.sellRequiresLong", True, "whether a SELL needs an open long position"),
    Setting("tradepicker.reserveOnOpen", True, "whether a BUY that opens a symbol holds its place"),
    Setting(
        "tradepicker.reservationTtlMs",
        300_000,
        "how many milliseconds a place is held for a position that does not come",
        low=1,
        high=7 * 86_400_000,
    ),
    Setting(
        "dedupe.ttlDays",
        7,
        "how many days a repeated command is recognised (a repeated execution: for ever)",
        low=1,
        high=3_650,
    ),
    Setting(
        "wm.engine.latenessSec",
        5.0,
        "how many seconds the engine waits for late ticks before a bar is final",
        low=0,
        high=3_600,
    ),
    Setting(
        "wm.monitor.latenessSec",
        2.0,
        "how many seconds monitoring waits for late prices",
        low=0,
        high=3_600,
    ),
    Setting(
        "prices.timeframe",
        "1m",
        "the interval of the bars that are made of prices",
        check=_interval,
    ),
    Setting(
        "fluss.freshness.price",
        "5-15s",
        "how often prices are committed: seconds, or from the least to the most",
        check=_is_range,
    ),
    Setting("metrics.timeZone", "Europe/Oslo", "whose days figures count by", check=_time_zone),
    Setting("metrics.periods", 252.0, "how many returns a year has", low=1, high=10_000_000),
    Setting("metrics.riskFree", 0.0, "annual risk-free rate of Sharpe ratios", low=-0.5, high=10),
)

_BY_NAME = {setting.name: setting for setting in SETTINGS}
_BY_VARIABLE = {setting.variable: setting for setting in SETTINGS}


class PickerOptions(TypedDict):
    """Arguments of `TradePicker`."""

    max_open_positions: int
    sell_requires_long: bool
    reserve_on_open: bool
    reservation_ttl_ms: int


class MetricsOptions(TypedDict):
    """Arguments of `equity_metrics`."""

    periods: float
    risk_free: float
    time_zone: str


class KernelOptions(TypedDict):
    """Arguments of the kernel's `Settings`, in nanoseconds."""

    bar_interval: int
    bar_lateness: int
    command_memory: int


class Settings(Mapping[str, Value]):
    """The values in force, by name; `source(name)` tells where each comes from."""

    def __init__(self, values: Mapping[str, Value], sources: Mapping[str, str]) -> None:
        self._values = dict(values)
        self._sources = dict(sources)

    def __getitem__(self, name: str) -> Value:
        """Return a value; SettingsError for a name that there is not."""
        if name not in self._values:
            raise SettingsError(_unknown(name, _BY_NAME))
        return self._values[name]

    def __iter__(self) -> Any:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def source(self, name: str) -> str:
        """Return where a value comes from: `default`, `file …`, `environment …` or `--set`."""
        self[name]
        return self._sources[name]

    @property
    def outputs(self) -> Literal["matches-only", "full"]:
        """What an engine writes."""
        return "full" if self["engine.outputs"] == "full" else "matches-only"

    @property
    def monitoring_export(self) -> frozenset[str]:
        """Where unrealized P&L goes: `metrics`, `tables`, or both of them."""
        asked = self["monitoring.export"]
        if asked == "both":
            return frozenset({"metrics", "tables"})
        return frozenset({"metrics" if asked == "metrics" else "tables"})

    @property
    def monitor_lateness_s(self) -> float:
        """How many seconds monitoring waits for late prices."""
        return float(self["wm.monitor.latenessSec"])

    @property
    def price_freshness_s(self) -> tuple[float, float]:
        """The least and the most seconds between two commits of prices."""
        return _range(str(self["fluss.freshness.price"]))

    def picker_options(self) -> PickerOptions:
        """Return the arguments of `TradePicker`."""
        return {
            "max_open_positions": int(self["tradepicker.maxOpenPositions"]),
            "sell_requires_long": bool(self["tradepicker.sellRequiresLong"]),
            "reserve_on_open": bool(self["tradepicker.reserveOnOpen"]),
            "reservation_ttl_ms": int(self["tradepicker.reservationTtlMs"]),
        }

    def metrics_options(self) -> MetricsOptions:
        """Return the arguments of `equity_metrics` that are settings."""
        return {
            "periods": float(self["metrics.periods"]),
            "risk_free": float(self["metrics.riskFree"]),
            "time_zone": str(self["metrics.timeZone"]),
        }

    def kernel_options(self) -> KernelOptions:
        """Return the arguments of the kernel's `Settings` that are settings here."""
        return {
            "bar_interval": parse_interval(str(self["prices.timeframe"])).length_ns,
            "bar_lateness": round(float(self["wm.engine.latenessSec"]) * SECOND),
            "command_memory": int(self["dedupe.ttlDays"]) * DAY,
        }

    def to_toml(self) -> str:
        """Return a settings file with these values, and what each is for."""
        lines = ["# Settings of the trading layer. A line that is removed means the default."]
        section = None
        for setting in SETTINGS:
            head, _, key = setting.name.rpartition(".")
            if head != section:
                lines += ["", f"[{head}]"]
                section = head
            # JSON's numbers, texts and words for true and false are TOML's too.
            value = json.dumps(self[setting.name], ensure_ascii=False)
            lines += [f"# {setting.description}: {setting.allowed}", f"{key} = {value}"]
        return "\n".join(lines) + "\n"


def load_settings(
    file: str | os.PathLike[str] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    arguments: Mapping[str, str] | Iterable[str] = (),
) -> Settings:
    """Read the settings; SettingsError says which name or value is wrong, and in which source.

    Without `file` the one that $TRADING_SETTINGS names is read, or `trading.toml` where there is
    one. `environment` is that of the process unless given. `arguments` are texts `name=value`, or a
    mapping of texts.
    """
    surroundings = os.environ if environment is None else environment
    values: dict[str, Value] = {setting.name: setting.default for setting in SETTINGS}
    sources = dict.fromkeys(values, "default")
    path = _file(file, surroundings)
    if path is not None:
        for name, value in _of_file(path):
            values[name] = _BY_NAME[name].checked(value, f"file {path}")
            sources[name] = f"file {path}"
    for variable, text in sorted(surroundings.items()):
        if not variable.startswith(_PREFIX):
            continue
        found = _BY_VARIABLE.get(variable)
        if found is None:
            raise SettingsError(f"environment: {_unknown(variable, _BY_VARIABLE)}")
        values[found.name] = found.parsed(text, f"environment {variable}")
        sources[found.name] = f"environment {variable}"
    for name, text in _of_arguments(arguments):
        values[name] = _BY_NAME[name].parsed(text, "--set")
        sources[name] = "--set"
    return Settings(values, sources)


def add_settings_options(parser: argparse.ArgumentParser) -> None:
    """Add the options by which a command takes settings; `settings_of` reads them."""
    parser.add_argument(
        "--settings",
        type=Path,
        metavar="FILE",
        help=f"a TOML file (default: ${FILE_VARIABLE}, or {DEFAULT_FILE} where there is one)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="one setting, such as tradepicker.maxOpenPositions=5; can be repeated",
    )


def settings_of(options: argparse.Namespace) -> Settings:
    """Return the settings of a command that has `add_settings_options`."""
    return load_settings(options.settings, arguments=options.set)


def _file(given: str | os.PathLike[str] | None, environment: Mapping[str, str]) -> Path | None:
    asked = given if given is not None else environment.get(FILE_VARIABLE) or None
    if asked is None:
        usual = Path(DEFAULT_FILE)
        return usual if usual.is_file() else None
    path = Path(asked)
    if not path.is_file():
        raise SettingsError(
            f"there is no settings file {path}; `python -m trading settings --toml` writes one"
        )
    return path


def _of_file(path: Path) -> list[tuple[str, object]]:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is no TOML file: {error}") from None
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error}") from None
    found: list[tuple[str, object]] = []
    _flatten(tables, "", found)
    for name, _value in found:
        if name not in _BY_NAME:
            raise SettingsError(f"file {path}: {_unknown(name, _BY_NAME)}")
    return found


def _flatten(table: Mapping[str, object], prefix: str, found: list[tuple[str, object]]) -> None:
    for key, value in table.items():
        name = prefix + key
        if isinstance(value, dict) and name not in _BY_NAME:
            _flatten(value, f"{name}.", found)
        else:
            found.append((name, value))


def _of_arguments(arguments: Mapping[str, str] | Iterable[str]) -> list[tuple[str, str]]:
    if isinstance(arguments, Mapping):
        pairs = list(arguments.items())
    else:
        pairs = []
        for text in arguments:
            name, equals, value = text.partition("=")
            if not equals:
                raise SettingsError(f"--set {text}: NAME=VALUE is expected")
            pairs.append((name.strip(), value))
    for name, _value in pairs:
        if name not in _BY_NAME:
            raise SettingsError(f"--set: {_unknown(name, _BY_NAME)}")
    return pairs


def _unknown(name: object, known: Mapping[str, Setting]) -> str:
    """Say that there is no such setting, and which one may have been meant."""
    small = {each.lower(): each for each in known}
    near = difflib.get_close_matches(str(name).lower(), small, n=1, cutoff=0.6)
    hint = f"did you mean {small[near[0]]}?" if near else "`python -m trading settings` lists all"
    return f"there is no setting {shown(name)}; {hint}"
