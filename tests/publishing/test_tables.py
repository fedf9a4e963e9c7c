"""Declared tables in a real engine: strict and converting ones, columns of arrays, and failures."""

from __future__ import annotations

import sys
import threading
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from publishing import Publisher, PublishingStopped, RegistrationError, RowError, TableWriter
from publishing.instants import instant_nanos
from tests.bridge.books import rows_of
from tests.processes import wait_until

if TYPE_CHECKING:
    pass

pytestmark = pytest.mark.usefixtures("trading_server")


def end_in_engine(writer: TableWriter) -> None:
    writer._stream._target.publisher.publish_failure(RuntimeError("ended by a test"))
    wait_until(writer.has_failed, 30, "its end")


def test_a_time_beyond_the_engines_instants_is_refused() -> None:
    from deephaven import agg

    with Publisher() as publisher:
        writer = publisher.table("edges", {"K": "string", "T": "Instant"}, strict=True)
        table = writer.blink
        newest = table.last_by("K").sort("T").update("Text = `` + T")
        count = table.agg_by([agg.count_("N"), agg.max_("T")])
        held = instant_nanos()
        for good in (held[-1], held[0], None):
            writer.write_row(str(good), good)
        writer.write_columns(["a", "b"], np.array([held[-1], -(2**63)]))
        for bad in (held[-1] + 1, 2**63 - 1, -(2**63)):
            with pytest.raises(RowError, match="Instant"):
                writer.write_row("bad", bad)
        for bad in (held[-1] + 1, 2**63 - 1):
            with pytest.raises(RowError, match="1677 to 2262"):
                writer.write_columns(["good", "bad"], np.array([0, bad]))
        assert publisher.flush()
        assert newest.size == 5
        assert not newest.j_table.isFailed()
        assert not count.j_table.isFailed()


def test_columns_of_arrays_are_rows_with_the_same_values() -> None:
    columns = {"name": str, "number": int, "value": float, "flag": bool, "at": datetime}
    moments = np.array(["2026-01-01T00:00:00.000001", "NaT", "2261-01-01"], "datetime64[us]")
    with Publisher() as publisher:
        writer = publisher.table("arrays", columns)
        writer.write_columns(
            np.array(["a", None, "c"], object),
            np.array([1, 2, 3], np.uint8),
            np.array([1, 2, 3], np.int16),
            np.array([True, False, True]),
            moments,
        )
        table = pa.table({"name": ["d"], "number": [4], "value": [4.5], "flag": [False]})
        writer.write_columns(*table.columns, [datetime(2026, 1, 1, tzinfo=timezone.utc)])
        writer.write_rows([("e", 5, 5.0, True, None), ("f", 6, 6.0, None, moments[0])])
        assert publisher.flush()
        first = 1_767_225_600_000_001_000
        assert rows_of(writer.table) == [
            ("a", 1, 1.0, True, first),
            (None, 2, 2.0, False, None),
            ("c", 3, 3.0, True, int(moments[2].astype("datetime64[ns]").astype(int))),
            ("d", 4, 4.5, False, first - 1_000),
            ("e", 5, 5.0, True, None),
            ("f", 6, 6.0, None, first),
        ]
        assert publisher.status()["arrays"].rows == 6


def test_arrays_with_values_beyond_their_columns() -> None:
    columns = {
        "small": "byte",
        "number": "long",
        "value": "double",
        "single": "float",
        "at": "Instant",
    }
    bad: list[Any] = [
        np.array([1, 128]),
        np.array([1.0, 1.5]),
        np.array([1.0, np.inf]),
        np.array([1.0, 1e300]),
        np.array(["2026-01-01", "2500-01-01"], "datetime64[s]"),
    ]
    with Publisher() as publisher:
        converting = publisher.table("converting", columns)
        converting.write_columns(*bad)
        strict = publisher.table("strict", columns, strict=True)
        good = [np.array([1, 2], np.int8), np.array([1, 2]), *[np.array([1.0, 2.0])] * 2]
        good.append(np.array([0, 1]))
        strict.write_columns(*good)
        # An infinity is a double that a program may mean.
        refused = [n for n in range(len(bad)) if n != 2]
        for n in refused:
            with pytest.raises(RowError, match=f"column {list(columns)[n]} "):
                strict.write_columns(*good[:n], bad[n], *good[n + 1 :])
        assert publisher.flush()
        nulls = converting.table.view([f"{name} = isNull({name})" for name in columns])
        assert rows_of(nulls) == [(False,) * len(columns), (True,) * len(columns)]
        assert converting.status().conversion_errors == dict.fromkeys(columns, 1)
        assert strict.table.size == 2


def test_numbers_that_python_does_not_write_out_are_refused_as_others_are() -> None:
    with Publisher() as publisher:
        writer = publisher.table("long", {"n": int}, strict=True)
        with pytest.raises(RowError, match="column n holds long values"):
            writer.write_row(10**5_000)


def test_a_name_is_declared_once_and_a_closed_table_takes_no_rows() -> None:
    with Publisher() as publisher:
        first = publisher.table("once", {"key": str, "n": int}, keys="key")
        with pytest.raises(RegistrationError, match="already"):
            publisher.table("once", {"n": int})
        other = publisher.table("other", {"n": int})
        assert publisher["once"] is first
        first.write_row("a", 1)
        first.close()
        with pytest.raises(PublishingStopped, match="once"):
            first.write_row("a", 2)
        other.write_row(3)
        assert publisher.flush()
        assert rows_of(first.live()) == [("a", 1)]
        assert rows_of(other.table) == [(3,)]
    with pytest.raises(PublishingStopped):
        other.write_row(4)


def test_rows_for_a_table_that_failed_are_counted_as_lost() -> None:
    with Publisher() as publisher:
        writer = publisher.table("doomed", {"N": "long"}, renews=False)
        writer.write_row(1)
        assert publisher.flush()
        end_in_engine(writer)
        writer.write_row(2)
        assert publisher._loop.flush()
        status = writer.status()
        assert (status.rows, status.lost_rows, status.failed) == (1, 1, True)
        assert "takes no more rows for doomed" in status.last_error


def test_tables_that_were_made_anew_end_the_old_ones_that_had_not_failed() -> None:
    """One of `live` fails, the rows go on: who followed the old table must not wait for ever."""
    names = vars(sys.modules["__main__"])
    with Publisher() as publisher:
        writer = publisher.table("half", {"key": str, "n": int}, keys="key")
        names["half_of_a_test"] = old = writer.table
        try:
            writer.remake()
            assert names["half_of_a_test"] is writer.table is not old
            assert not old.j_table.isFailed()
            writer.end_replaced()
            wait_until(lambda: bool(old.j_table.isFailed()), 30, "the old table's end")
            writer.write_row("a", 1)
            assert publisher.flush()
            assert rows_of(writer.live()) == rows_of(writer.table) == [("a", 1)]
        finally:
            del names["half_of_a_test"]


def test_tables_share_a_thread_and_each_is_whole() -> None:
    before = threading.active_count()
    with Publisher() as publisher:
        writers = [publisher.table(f"t{n}", {"n": int}) for n in range(5)]
        assert threading.active_count() <= before + 1
        for n in range(1_000):
            writers[n % 5].write_row(n)
        assert publisher.flush()
        for n, writer in enumerate(writers):
            assert [row[0] for row in rows_of(writer.table)] == list(range(n, 1_000, 5))


def test_the_names_of_before_still_work() -> None:
    with Publisher() as publisher:
        writer = publisher.table("names", {"n": int})
        with pytest.warns(DeprecationWarning, match="write_encoded"):
            writer.write_travelling([[1]])
        with pytest.warns(DeprecationWarning, match="conversion_errors"):
            assert writer.misfits is writer.conversion_errors
        assert publisher.flush()
        assert rows_of(writer.table) == [(1,)]
