"""The publishing path: nothing lost, nothing torn, nothing dead in silence."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from publishing import PublishingStopped, PublishLoop, RowError, RowQueue
from publishing.queue import Columns
from tests.processes import wait_until

SCHEMA = {"Name": "string", "Value": "double", "Count": "long"}
Row = tuple[Any, ...]


class Table:
    """A sink that keeps the rows it was given and the size of each batch."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.batches: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.fail_next = 0

    def __call__(self, columns: Columns) -> None:
        self.gate.wait(30)
        if self.fail_next:
            self.fail_next -= 1
            raise RuntimeError("the engine refused")
        self.batches.append(len(columns[0]))
        self.rows.extend(zip(*(c.tolist() for c in columns), strict=True))


@pytest.fixture
def loop() -> Iterator[PublishLoop]:
    made = PublishLoop(lambda: None, min_interval=0.0)
    yield made
    made.close()


@given(
    batches=st.lists(
        st.lists(
            st.tuples(st.text(max_size=3), st.floats(allow_nan=False), st.integers(-9, 9)),
            max_size=5,
        ),
        max_size=20,
    )
)
def test_rows_and_batches_arrive_in_the_order_of_the_calls(batches: list[list[Row]]) -> None:
    loop, table = PublishLoop(lambda: None, min_interval=0.0), Table()
    publisher = loop.queue(SCHEMA, table, strict=True)
    for rows in batches:
        if len(rows) == 1:
            publisher.write_row(*rows[0])
        elif rows:
            names, values, counts = zip(*rows, strict=True)
            publisher.write_columns(names, np.array(values), np.array(counts))
    loop.close()
    assert table.rows == [row for rows in batches for row in rows]
    assert publisher.stats.rows == len(table.rows)


def test_many_threads_lose_and_tear_nothing(loop: PublishLoop) -> None:
    table = Table()
    publisher = loop.queue(SCHEMA, table, max_pending_rows=50)
    threads, each = 8, 300

    def write(number: int) -> None:
        for i in range(each):
            if i % 3:
                publisher.write_row(f"t{number}", float(i), number)
            else:
                publisher.write_columns(
                    [f"t{number}"] * 2, np.array([i, i + 0.5]), np.array([number] * 2)
                )

    workers = [threading.Thread(target=write, args=(n,)) for n in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert loop.flush()
    for n in range(threads):
        mine = [value for name, value, count in table.rows if name == f"t{n}" and count == n]
        assert mine == sorted(mine)
        assert len(mine) == each + each // 3
    assert len(table.rows) == threads * (each + each // 3)


def test_a_slow_engine_holds_up_writers_instead_of_filling_memory(loop: PublishLoop) -> None:
    table = Table()
    publisher = loop.queue(SCHEMA, table, max_pending_rows=10)
    table.gate.clear()
    written = 0

    def write() -> None:
        nonlocal written
        for i in range(100):
            publisher.write_row("a", float(i), i)
            written += 1

    writer = threading.Thread(target=write)
    writer.start()
    wait_until(lambda: publisher.pending_rows == 10, 10, "a full queue")
    # At most one flush is at the gate with what it took, and a full queue waits behind it.
    assert written <= 20
    table.gate.set()
    writer.join(10)
    assert loop.flush()
    assert [row[2] for row in table.rows] == list(range(100))


def test_a_refused_batch_is_counted_and_the_next_goes_on(loop: PublishLoop) -> None:
    table, other = Table(), Table()
    publisher, bystander = loop.queue(SCHEMA, table), loop.queue(SCHEMA, other)
    table.fail_next = 1
    publisher.write_row("lost", 1.0, 1)
    bystander.write_row("kept", 1.0, 1)
    assert loop.flush()
    publisher.write_row("next", 2.0, 2)
    assert loop.flush()
    assert table.rows == [("next", 2.0, 2)]
    assert other.rows == [("kept", 1.0, 1)]
    stats = publisher.stats
    assert (stats.rows, stats.lost_rows, stats.errors) == (1, 1, 1)
    assert stats.last_error == "RuntimeError: the engine refused"


def test_one_producers_bad_batch_does_not_take_the_others_with_it(loop: PublishLoop) -> None:
    table = Table()

    def refuse_bad(columns: Columns) -> None:
        if "bad" in columns[0]:
            raise RuntimeError("the engine refused")
        table(columns)

    publisher = loop.queue(SCHEMA, refuse_bad)
    with loop.changed:  # hold the flusher, so that all wait together
        for name in ("good", "bad", "fine"):
            publisher.write_columns([name], [1.0], [1])
    assert loop.flush()
    assert [row[0] for row in table.rows] == ["good", "fine"]
    assert (publisher.stats.rows, publisher.stats.lost_rows) == (2, 1)


def test_a_refresh_that_fails_does_not_stop_publishing() -> None:
    def refresh() -> None:
        raise RuntimeError("no graph")

    loop, table = PublishLoop(refresh, min_interval=0.0), Table()
    publisher = loop.queue(SCHEMA, table, strict=True)
    for i in range(3):
        publisher.write_row("a", 1.0, i)
        assert loop.flush()
    loop.close()
    assert len(table.rows) == 3


def test_a_stream_is_published_in_batches_and_a_lone_row_at_once() -> None:
    loop, table = PublishLoop(lambda: None, min_interval=0.2), Table()
    publisher = loop.queue(SCHEMA, table, strict=True)
    publisher.write_row("lone", 0.0, 0)
    wait_until(lambda: table.batches == [1], 0.19, "the lone row")
    for i in range(50):
        publisher.write_row("stream", 0.0, i)
    loop.close()
    assert table.batches == [1, 50]


def test_none_is_the_engines_null(loop: PublishLoop) -> None:
    table = Table()
    publisher = loop.queue(SCHEMA, table, strict=True)
    publisher.write_row(None, None, None)
    assert loop.flush()
    assert table.rows == [(None, -1.7976931348623157e308, -(2**63))]


BAD_ROWS: list[tuple[Row, str]] = [
    (("a", 1.0), "a row has 3 values"),
    ((1, 1.0, 1), "column Name holds string values, not 1"),
    (("a", "1.0", 1), "column Value holds double values, not '1.0'"),
    (("a", 1.0, 1.5), "column Count holds long values, not 1.5"),
    (("a", 1.0, True), "column Count holds long values, not True"),
    (("a", 1.0, 2**63), "column Count holds long values, not 9223372036854775808"),
    (("a", 10**400, 1), "column Value holds double values"),
    (("\ud800", 1.0, 1), "column Name holds string values"),
]


@pytest.mark.parametrize(("row", "message"), BAD_ROWS)
def test_a_row_that_does_not_fit_is_refused_at_the_call(
    loop: PublishLoop, row: Row, message: str
) -> None:
    table = Table()
    publisher = loop.queue(SCHEMA, table, strict=True)
    with pytest.raises(RowError, match=message):
        publisher.write_row(*row)
    assert loop.flush()
    assert table.batches == []


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ((["a"], [1.0]), "a batch has 3 columns"),
        ((["a"], [1.0], [1, 2]), r"columns of a batch have one length, not \[1, 2\]"),
        (([1], [1.0], [1]), "column Name holds string values, not 1"),
        ((np.array(["a", 1], dtype=object), [1.0, 1.0], [1, 1]), "string values, not 1"),
        ((["a"], ["x"], [1]), "column Value holds double values"),
        ((["a"], [1.0], [1.0]), "column Count holds long values, not an array of float64"),
        ((["a"], [1.0], np.array([2**63], dtype=np.uint64)), "column Count holds long values"),
        ((["a"], [[1.0]], [1]), "column Value must be one-dimensional"),
    ],
)
def test_a_batch_that_does_not_fit_is_refused_whole(
    loop: PublishLoop, columns: tuple[Any, ...], message: str
) -> None:
    table = Table()
    publisher = loop.queue(SCHEMA, table, strict=True)
    with pytest.raises(RowError, match=message):
        publisher.write_columns(*columns)
    assert loop.flush()
    assert table.batches == []


def test_a_batch_is_the_callers_again_when_the_call_returns(loop: PublishLoop) -> None:
    table = Table()
    publisher = loop.queue(SCHEMA, table, strict=True)
    table.gate.clear()
    values = np.array([1.0])
    publisher.write_columns(["a"], values, [1])
    values[0] = 99.0
    table.gate.set()
    assert loop.flush()
    assert table.rows == [("a", 1.0, 1)]


def test_closing_publishes_what_waits_and_refuses_the_rest() -> None:
    loop, table = PublishLoop(lambda: None, min_interval=0.5), Table()
    publisher: RowQueue = loop.queue(SCHEMA, table, strict=True)
    for i in range(10):
        publisher.write_row("a", 1.0, i)
    loop.close()
    assert len(table.rows) == 10
    with pytest.raises(PublishingStopped):
        publisher.write_row("a", 1.0, 11)


def test_a_writer_that_waits_for_room_hears_of_the_end() -> None:
    loop, table = PublishLoop(lambda: None, min_interval=0.0), Table()
    publisher = loop.queue(SCHEMA, table, max_pending_rows=1)
    table.gate.clear()
    raised = threading.Event()

    def write() -> None:
        try:
            for i in range(10):
                publisher.write_row("a", 1.0, i)
        except PublishingStopped:
            raised.set()

    writer = threading.Thread(target=write)
    writer.start()
    wait_until(lambda: publisher.pending_rows == 1, 10, "a full queue")
    loop.close(timeout=0.1)
    assert raised.wait(10)
    table.gate.set()
    writer.join(10)
