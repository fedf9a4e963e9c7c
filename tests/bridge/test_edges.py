"""The ends of what each kind of column holds, in a real engine: shown, or null and counted."""

from __future__ import annotations

import sys
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from bridge import TableWriter
from client.base_client import DeephavenClient
from publishing.instants import instant_nanos
from publishing.kinds import KINDS
from tests.bridge.books import rows_of

if TYPE_CHECKING:
    from server.trading_server import TradingServer

UTC = timezone.utc
FLOAT = float(np.finfo(np.float32).max)
# What is shown, and what is beyond.
EDGES: dict[str, tuple[list[Any], list[Any]]] = {
    "string": (
        ["", "\x00", "a\x00b", "\U0010ffff", "\uffff", "x" * 100_000],
        ["\ud800", "a\udfff"],
    ),
    "bool": ([True, False], [2, "yes"]),
    "byte": ([-127, 127], [-128, 128]),
    "short": ([-(2**15) + 1, 2**15 - 1], [-(2**15), 2**15]),
    "int": ([-(2**31) + 1, 2**31 - 1], [-(2**31), 2**31]),
    "long": (
        [-(2**63) + 1, 2**63 - 1, Decimal("1E+18")],
        [-(2**63), 2**63, Decimal("1E+999999999"), 10**5_000],
    ),
    "float": ([FLOAT, -FLOAT * 0.999, 1e-45], [-FLOAT, 3.5e38, 10**400]),
    "double": (
        [sys.float_info.max, -sys.float_info.max * 0.999, 5e-324],
        [-sys.float_info.max, float("inf"), 10**400],
    ),
    "char": (["\x01", "\ufffe"], ["\uffff", "\U00010000", ""]),
    "Instant": (
        [
            datetime(2262, 4, 11, 23, 47, 15, 999_999, tzinfo=UTC),
            datetime(1677, 9, 21, 0, 12, 43, 145_225, tzinfo=UTC),
        ],
        [
            datetime(2262, 4, 11, 23, 47, 16, tzinfo=UTC),
            datetime(2262, 4, 11, 23, 47, 16, 854_775, tzinfo=UTC),
            datetime.max.replace(tzinfo=UTC),
            datetime.min.replace(tzinfo=UTC),
            # An hour that is beyond the calendar in UTC.
            datetime.max.replace(tzinfo=timezone(-timedelta(hours=1))),
            2**63 - 1,
            -(2**63),
        ],
    ),
    "LocalDate": ([date.min, date.max, date(1582, 10, 15)], ["0000-01-01", "10000-01-01"]),
    "LocalTime": ([time.min, time.max], ["24:00:01"]),
    "BigDecimal": (
        [Decimal("1E+131071"), Decimal("1E-16383"), Decimal("-0.10"), "9" * 5_000],
        [
            Decimal("1E+999999999"),
            Decimal("1E-999999999"),
            Decimal("sNaN"),
            "1e9999999999999999999",
        ],
    ),
    "BigInteger": ([10**4_000, -(10**4_000), 0], [Decimal("1E+999999999"), "0.5"]),
}


def nulls_of(table: Any) -> list[bool]:
    """Whether each value is null, by an engine that has sorted, copied and printed it.

    A function of its own: the engine looks at the local variables where a formula is made.
    """
    asked = table.sort("N").update(["Null = isNull(V)", "Text = `` + V"])
    found = [row[0] for row in rows_of(asked, "Null")]
    assert not asked.j_table.isFailed()
    assert not table.j_table.isFailed()
    return found


def test_the_edges_of_every_kind(trading_server: TradingServer) -> None:
    assert set(EDGES) == set(KINDS)
    for kind, (good, bad) in EDGES.items():
        with TableWriter({"N": int, "V": kind}, name=f"edges of {kind}", keys="N") as writer:
            for n, value in enumerate([*good, *bad]):
                writer.write_row(n, value)
            assert writer.flush(60)
            for table in (writer.table, writer.live()):
                assert nulls_of(table) == [False] * len(good) + [True] * len(bad), kind
            assert writer.conversion_errors.counts == {"V": len(bad)}, kind
            assert writer.stats.lost_rows == writer.stats.replaced == 0


def test_the_edges_reach_a_client(trading_server: TradingServer) -> None:
    kinds = [kind for kind in KINDS if kind not in ("BigDecimal", "BigInteger", "float")]
    with TableWriter({kind.capitalize(): kind for kind in kinds}) as writer:
        for n in range(2):
            writer.write_row(*[EDGES[kind][0][n] for kind in kinds])
        assert writer.flush(60)
        vars(sys.modules["__main__"])["edges_of_a_test"] = writer.table
        try:
            with DeephavenClient(port=trading_server.options.port) as client:
                found = client.open_table("edges_of_a_test").to_arrow().to_pydict()
        finally:
            del vars(sys.modules["__main__"])["edges_of_a_test"]
    for kind in ("byte", "short", "int", "long", "double", "bool", "LocalDate"):
        assert found[kind.capitalize()] == EDGES[kind][0][:2]
    assert found["String"] == ["", "\x00"]
    assert [each.replace(tzinfo=UTC) for each in found["Instant"]] == EDGES["Instant"][0]


def test_nulls_and_bounds_are_the_engines_own(trading_server: TradingServer) -> None:
    import jpy

    constants = jpy.get_type("io.deephaven.util.QueryConstants")
    for kind in ("byte", "short", "int", "long", "float", "double"):
        assert KINDS[kind].null == pytest.approx(getattr(constants, f"NULL_{kind.upper()}"), rel=0)
    assert KINDS["Instant"].null == constants.NULL_LONG
    times = jpy.get_type("io.deephaven.time.DateTimeUtils")
    held = instant_nanos()
    for nanos in (held[0], held[-1]):
        assert times.epochNanos(times.epochNanosToInstant(nanos)) == nanos
    with pytest.raises(RuntimeError, match="overflow"):
        times.epochNanos(times.epochNanosToInstant(held[-1] + 1))
