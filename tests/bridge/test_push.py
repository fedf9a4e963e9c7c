"""Values of a reactive graph in ticking tables, without a database in between."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import pytest

from bridge import BridgeClosed, Push, RegistrationError, TableWriter, push, push_group
from reactive import Field, ReactiveGraph
from tests.bridge.books import rows_of

pytestmark = pytest.mark.usefixtures("engine")


@dataclass
class Position:
    symbol: str
    price: float
    quantity: int


def graph_of(*positions: Position) -> tuple[ReactiveGraph, list[str]]:
    graph = ReactiveGraph()
    nodes = [graph.track(position) for position in positions]
    for node in nodes:
        graph.computed(node, "market_value", Field("price") * Field("quantity"))
        graph.computed(node, "risk_score", Field("market_value") / 10)
    return graph, nodes


def test_computed_values_of_many_nodes(pushes: list[Push]) -> None:
    graph, nodes = graph_of(Position("AAPL", 10.0, 5), Position("IBM", 20.0, 1))
    pushed = push(graph, nodes, fields="symbol", computed=["market_value", "risk_score"])
    pushes.append(pushed)
    assert pushed.table.column_names == ["symbol", "market_value", "risk_score", "Timestamp"]
    live = pushed.live("symbol")
    graph.update(nodes[0], "price", 11.0)
    graph.batch_update(nodes[1], {"price": 30.0, "quantity": 2})
    graph.update(nodes[1], "price", 30.0)
    assert pushed.flush()
    columns = ("symbol", "market_value", "risk_score")
    assert rows_of(pushed.table, *columns) == [
        ("AAPL", 50.0, 5.0),
        ("IBM", 20.0, 2.0),
        ("AAPL", 55.0, 5.5),
        ("IBM", 60.0, 6.0),
    ]
    assert sorted(rows_of(live, *columns)) == [("AAPL", 55.0, 5.5), ("IBM", 60.0, 6.0)]
    assert all(row[0] for row in rows_of(pushed.table, "Timestamp"))


def test_nodes_come_and_go(pushes: list[Push]) -> None:
    graph, nodes = graph_of(Position("AAPL", 1.0, 1), Position("IBM", 2.0, 1))
    pushed = push(graph, nodes[0], fields="symbol", computed="market_value")
    pushes.append(pushed)
    pushed.add(nodes[1])
    pushed.add(nodes[1])
    pushed.remove(nodes[0])
    graph.update(nodes[0], "price", 5.0)
    graph.update(nodes[1], "price", 6.0)
    pushed.flush()
    pushed.stop()
    graph.update(nodes[1], "price", 7.0)
    assert rows_of(pushed.table, "symbol", "market_value") == [
        ("AAPL", 1.0),
        ("IBM", 2.0),
        ("IBM", 6.0),
    ]
    with pytest.raises(BridgeClosed):
        pushed.add(nodes[0])


def test_groups(pushes: list[Push]) -> None:
    graph, nodes = graph_of(Position("AAPL", 1.0, 1), Position("IBM", 2.0, 1))
    graph.group_computed("total", nodes, "market_value", sum)
    graph.group_computed("by symbol", nodes, "market_value", "sum", key="symbol")
    graph.multi_computed("spread", lambda g: g.get(nodes[1], "market_value") - 1)
    pushed = push_group(graph, ["total", "by symbol", "spread"])
    pushes.append(pushed)
    live = pushed.live("Group", "Key")
    graph.update(nodes[0], "price", 10.0)
    graph.update(nodes[0], "symbol", "IBM")
    assert pushed.flush()
    assert sorted(rows_of(live, "Group", "Key", "Value"), key=str) == [
        ("by symbol", "AAPL", None),
        ("by symbol", "IBM", 12.0),
        ("spread", None, 1.0),
        ("total", None, 12.0),
    ]


def test_many_threads_update_the_graph(pushes: list[Push]) -> None:
    graph, nodes = graph_of(*(Position(f"S{n}", 1.0, 1) for n in range(4)))
    pushed = push(graph, nodes, fields="symbol", computed="market_value")
    pushes.append(pushed)

    def update(node: str) -> None:
        for price in range(2, 202):
            graph.update(node, "price", float(price))

    threads = [threading.Thread(target=update, args=(node,)) for node in nodes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pushed.flush()
    rows = rows_of(pushed.table, "symbol", "market_value")
    for n in range(4):
        mine = [value for symbol, value in rows if symbol == f"S{n}"]
        assert mine == sorted(mine)
        assert mine[-1] == 201.0
    assert pushed.conversion_errors == {}


def test_a_writer_that_others_use_too(pushes: list[Push]) -> None:
    from deephaven import DynamicTableWriter, dtypes

    graph, nodes = graph_of(Position("AAPL", 2.0, 3))
    dynamic = DynamicTableWriter({"symbol": dtypes.string, "risk_score": dtypes.double})
    shared = TableWriter({"symbol": str, "market_value": float, "note": str})
    values = ["market_value", "risk_score"]
    pushes.extend(
        push(graph, nodes, fields="symbol", computed=values, writer=writer)
        for writer in (dynamic, shared)
    )
    dynamic.write_row("by hand", 1.0)
    shared.write_row("by hand", 1.0, "mine")
    graph.update(nodes[0], "price", 3.0)
    assert shared.flush()
    wanted: list[Any] = [("AAPL", 6.0, None), ("by hand", 1.0, "mine"), ("AAPL", 9.0, None)]
    assert rows_of(shared.table) == wanted
    from publishing.engine import await_new_cycle

    assert await_new_cycle(10)
    assert rows_of(dynamic.table) == [("AAPL", 0.6), ("by hand", 1.0), ("AAPL", 0.9)]
    pushes[1].stop()
    shared.write_row("goes on", 2.0, None)
    shared.close()


def test_any_object_with_write_row(pushes: list[Push]) -> None:
    rows: list[tuple[Any, ...]] = []

    class Writer:
        def write_row(self, *values: Any) -> None:
            rows.append(values)

    graph, nodes = graph_of(Position("AAPL", 2.0, 3))
    pushes.append(push(graph, nodes, fields="symbol", computed="market_value", writer=Writer()))
    assert rows[0][:2] == ("AAPL", 6.0)
    assert rows[0][2].tzinfo is not None
    assert pushes[0].table is None


def test_what_cannot_be_pushed_is_refused(pushes: list[Push]) -> None:
    graph, nodes = graph_of(Position("AAPL", 2.0, 3))
    with pytest.raises(RegistrationError, match="at least one computed"):
        push(graph, nodes, computed=[])
    with pytest.raises(RegistrationError, match="once"):
        push(graph, nodes, fields="symbol", computed=["symbol"])
    with pytest.raises(RegistrationError, match="schema names"):
        push(graph, nodes, computed="market_value", schema={"colour": str})
    with pytest.raises(RegistrationError, match="is not a column type"):
        push(graph, nodes, computed="market_value", schema={"market_value": "number"})
    with pytest.raises(KeyError):
        push(graph, nodes, computed="colour")


def test_values_that_do_not_fit_are_nulls(pushes: list[Push]) -> None:
    graph, nodes = graph_of(Position("AAPL", 2.0, 3))
    pushed = push(graph, nodes, fields="symbol", computed="market_value", schema={"symbol": int})
    pushes.append(pushed)
    assert pushed.flush()
    assert rows_of(pushed.table, "symbol", "market_value") == [(None, 6.0)]
    assert pushed.conversion_errors == {"symbol": 1}
