"""Governed objects: to and from JSON, checking values, defining classes, importing the package.

Each figure stands beside its rival's, taken in turn in the same run: the best of many rounds.
"""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from math import isfinite
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from store import REGISTRY, Storable  # noqa: E402

ROUNDS = 60


@dataclass
class Quote(Storable):
    symbol: str = "AAPL"
    side: str = "BUY"
    quantity: int = 100
    price: float = 150.25
    bid: float = 150.2
    ask: float = 150.3
    volume: int = 1_250_000
    pnl: float = -12.5
    model_name: str = "momentum"
    active: bool = True


@dataclass
class Plain:
    symbol: str = "AAPL"
    side: str = "BUY"
    quantity: int = 100
    price: float = 150.25
    bid: float = 150.2
    ask: float = 150.3
    volume: int = 1_250_000
    pnl: float = -12.5
    model_name: str = "momentum"
    active: bool = True


@dataclass
class Stamped(Quote):
    timestamp: datetime | None = None


@dataclass
class PlainStamped(Plain):
    timestamp: datetime | None = None


def plain_stamped(text: str) -> PlainStamped:
    data = json.loads(text)
    data["timestamp"] = datetime.fromisoformat(data["timestamp"])
    return PlainStamped(**data)


SYMBOL = re.compile(r"^[A-Z0-9./=^:&|_+*$@#!-]+$")


def checked_by_hand(quote: Plain) -> list[str]:
    """The rules of the ten columns as somebody would write them for this one class."""
    problems = []
    if (
        not isinstance(quote.symbol, str)
        or len(quote.symbol) > 40
        or not SYMBOL.fullmatch(quote.symbol)
    ):
        problems.append("symbol")
    if quote.side not in ("BUY", "SELL"):
        problems.append("side")
    for name in ("quantity", "volume"):
        value = getattr(quote, name)
        if not isinstance(value, int) or isinstance(value, bool):
            problems.append(name)
    if quote.volume < 0:
        problems.append("volume")
    for name in ("price", "bid", "ask"):
        value = getattr(quote, name)
        if not isinstance(value, float) or not isfinite(value) or value < 0:
            problems.append(name)
    if not isinstance(quote.pnl, float) or not isfinite(quote.pnl):
        problems.append("pnl")
    if (
        not isinstance(quote.model_name, str)
        or len(quote.model_name) > 100
        or "\0" in quote.model_name
    ):
        problems.append("model_name")
    if not isinstance(quote.active, bool):
        problems.append("active")
    return problems


def define_governed() -> None:
    dataclass(type("Governed", (Storable,), {**_body(Plain), "__annotations__": _TYPES}))


def define_plain() -> None:
    dataclass(type("Ungoverned", (), {**_body(Plain), "__annotations__": _TYPES}))


_TYPES = {field.name: type(field.default) for field in dataclasses.fields(Plain)}


def _body(cls: type) -> dict[str, object]:
    return {"__module__": __name__} | {f.name: f.default for f in dataclasses.fields(cls)}


def in_turn(actions: dict[str, Callable[[], object]], calls: int) -> dict[str, float]:
    """Microseconds a call, the best round of each."""
    best = dict.fromkeys(actions, float("inf"))
    for _ in range(ROUNDS):
        for name, action in actions.items():
            started = time.perf_counter()
            for _ in range(calls):
                action()
            best[name] = min(best[name], (time.perf_counter() - started) / calls * 1e6)
    return best


def line(what: str, ours: float, rival: float, asked: str, unit: str = "µs") -> None:
    ratio = f"ratio {ours / rival:5.2f}"
    print(f"{what:<36} {ours:8.2f} {unit}  rival {rival:8.2f} {unit}  {ratio}  asked: {asked}")


def main() -> None:
    quote, plain = Quote(), Plain()
    now = datetime(2026, 2, 22, 9, tzinfo=timezone.utc)
    stamped, rival_stamped = Stamped(timestamp=now), PlainStamped(timestamp=now)
    text, plain_text = quote.to_json(), json.dumps(dataclasses.asdict(plain))
    stamped_text = stamped.to_json()
    rival_text = json.dumps(dataclasses.asdict(rival_stamped), default=datetime.isoformat)
    found = in_turn(
        {
            "to": quote.to_json,
            "to rival": lambda: json.dumps(dataclasses.asdict(plain)),
            "from": lambda: Quote.from_json(text),
            "from rival": lambda: Plain(**json.loads(plain_text)),
            "to with time": stamped.to_json,
            "to with time rival": lambda: json.dumps(
                dataclasses.asdict(rival_stamped), default=datetime.isoformat
            ),
            "from with time rival": lambda: plain_stamped(rival_text),
            "from with time": lambda: Stamped.from_json(stamped_text),
            "check": lambda: REGISTRY.validate_instance(quote),
            "check rival": lambda: checked_by_hand(plain),
        },
        1_000,
    )
    found |= in_turn({"define": define_governed, "define rival": define_plain}, 10)
    print(f"Python {sys.version.split()[0]}, ten flat fields, best of {ROUNDS} rounds\n")
    line("to JSON (rival: dumps, asdict)", found["to"], found["to rival"], "≤ 1.5 ×")
    line("from JSON (rival: loads, cls(**))", found["from"], found["from rival"], "≤ 1.5 ×")
    there_and_back = found["to"] + found["from"], found["to rival"] + found["from rival"]
    line("to and from", *there_and_back, "≤ 1.5 ×")
    for way in ("to", "from"):
        times = found[f"{way} with time"], found[f"{way} with time rival"]
        line(f"{way} JSON with a time in it", *times, "-")
    line("check of values (rival: by hand)", found["check"], found["check rival"], "< 5 µs")
    line("class definition (rival: dataclass)", found["define"], found["define rival"], "< 1000 µs")
    line("import store (rival: nothing)", *import_times(), "< 150 ms", "ms")


def import_times() -> tuple[float, float]:
    """Milliseconds that the import adds to a fresh interpreter, and those of the interpreter."""

    def started(code: str) -> float:
        before = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
        return (time.perf_counter() - before) * 1e3

    both = [(started("import store"), started("pass")) for _ in range(15)]
    nothing = min(bare for _, bare in both)
    return min(full for full, _ in both) - nothing, nothing


if __name__ == "__main__":
    main()
