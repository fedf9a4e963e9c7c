"""The kernel is a pure function of exact numbers: looked for in its source and in its types."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
import pytest

from tests.processes import ROOT
from trading.brokers.resting import PaperState, Resting
from trading.journal import inputs, outputs, reports
from trading.kernel.snapshot import Snapshot
from trading.orders import Order
from trading.positions.lots import Booking, Execution, Lot, Match, Position
from trading.risk import Account, Correlations, Market
from trading.specification import InstrumentSpec

PURE = ("brokers", "journal", "kernel", "orders", "positions", "risk")
FILES = sorted(path for name in PURE for path in (ROOT / "trading" / name).rglob("*.py")) + [
    ROOT / "trading" / f"{name}.py" for name in ("numbers", "sizing", "specification", "times")
]
# What reads a clock, a source of chance, the environment or a file.
IMPURE_CALLS = {
    "now",
    "utcnow",
    "today",
    "time",
    "time_ns",
    "monotonic",
    "perf_counter",
    "open",
} | {"urandom", "getenv", "uuid4", "uuid1", "uuid5", "input", "print", "id", "hash"}
# Numbers that are given by people may be floats; they are turned into Decimal at once.
FLOATS_AT_THE_SURFACE = {"numbers.py"}


def calls(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            name = (
                function.attr
                if isinstance(function, ast.Attribute)
                else getattr(function, "id", "")
            )
            yield name, node.lineno


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_clock_chance_or_file_and_no_float(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    for name, line in calls(tree):
        assert name not in IMPURE_CALLS, f"{path.name}:{line} calls {name}"
    if path.name in FLOATS_AT_THE_SURFACE:
        return
    for node in ast.walk(tree):
        where = f"{path.name}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Constant):
            assert not isinstance(node.value, float), f"{where}: a float constant"
        elif isinstance(node, ast.BinOp):
            fraction = path.name == "sizing.py"
            assert fraction or not isinstance(node.op, ast.Div), f"{where}: a true division"
        elif isinstance(node, ast.Name):
            assert node.id != "float", f"{where}: float"
        elif isinstance(node, ast.Attribute):
            assert node.attr not in ("float64", "float32", "mean", "std"), f"{where}: {node.attr}"


def structs(module: Any) -> list[type]:
    return [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, msgspec.Struct)
    ]


STATE = [
    *structs(inputs),
    *structs(outputs),
    *structs(reports),
    *(Order, Lot, Match, Execution, Booking, Position, Account, Market, Correlations),
    *(Resting, PaperState, Snapshot, InstrumentSpec),
]


def named(kind: Any) -> Iterator[Any]:
    yield kind
    for part in get_args(kind):
        yield from named(part)


@pytest.mark.parametrize("kind", STATE, ids=lambda kind: kind.__name__)
def test_no_type_from_order_to_profit_holds_a_float(kind: type) -> None:
    hints = get_type_hints(kind)
    assert hints
    for name, hint in hints.items():
        assert float not in set(named(hint)), f"{kind.__name__}.{name}"
        assert Any not in set(named(hint)), f"{kind.__name__}.{name} may be anything"


@pytest.mark.parametrize("kind", [*structs(inputs), *structs(outputs), *structs(reports)])
def test_the_journal_s_types_are_frozen_arrays(kind: Any) -> None:
    config = kind.__struct_config__
    assert config.frozen
    assert config.array_like


def test_tags_are_never_used_twice() -> None:
    tags = [
        kind.__struct_config__.tag
        for module in (inputs, outputs, reports)
        for kind in structs(module)
        if kind.__module__ == module.__name__ and kind.__struct_config__.tag is not None
    ]
    assert len(tags) == len(set(tags))
    assert tags


def test_the_kernel_loads_neither_database_nor_network() -> None:
    code = "import sys, trading.kernel; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    ours = {"store", "server", "workflow", "bridge", "client", "reactive"}
    assert (ours | {"psycopg2", "deephaven", "pandas", "pyarrow", "asyncio"}).isdisjoint(loaded)
