"""Groups: over nodes and over groups, by key, by condition, and functions of the graph."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import Any

import pytest

from reactive import (
    AggregateError,
    ComputeError,
    CycleError,
    ExpressionTypeError,
    Field,
    MembershipError,
    ReactiveGraph,
    UnknownNameError,
    weighted_mean,
)

MV = Field("price") * Field("quantity")


@dataclass
class Position:
    symbol: str
    quantity: int
    price: float | None
    desk: str = "equities"


@pytest.fixture
def graph() -> ReactiveGraph:
    return ReactiveGraph()


@pytest.fixture
def nodes(graph: ReactiveGraph) -> list[str]:
    positions = [Position("AAPL", 100, 228.0), Position("GOOG", 50, 192.0)]
    nodes = [graph.track(position) for position in positions]
    for node in nodes:
        graph.computed(node, "mv", MV)
    return nodes


def test_a_portfolio(graph: ReactiveGraph, nodes: list[str]) -> None:
    n1, n2 = nodes
    graph.group_computed("portfolio_value", nodes, "mv", sum)
    assert graph.get_group("portfolio_value") == 32400.0
    graph.multi_computed("spread", lambda g: g.get(n1, "mv") - g.get(n2, "mv"))
    assert graph.get_group("spread") == 13200.0
    n3 = graph.track(Position("TSLA", 10, 180.0))
    graph.computed(n3, "mv", MV)
    graph.add_to_group("portfolio_value", n3)
    assert graph.get_group("portfolio_value") == 34200.0
    seen: list[Any] = []
    graph.group_effect("portfolio_value", lambda name, value: seen.append((name, value)))
    graph.update(n1, "price", 230.0)
    assert graph.get_group("spread") == 13400.0
    graph.remove_from_group("portfolio_value", n2)
    assert seen == [
        ("portfolio_value", 34200.0),
        ("portfolio_value", 34400.0),
        ("portfolio_value", 24800.0),
    ]
    graph.remove_group("portfolio_value")
    with pytest.raises(UnknownNameError):
        graph.get_group("portfolio_value")
    graph.update(n1, "price", 231.0)
    assert len(seen) == 3


@pytest.mark.parametrize(
    ("aggregate", "expected"),
    [
        (sum, 32400.0),
        (min, 9600.0),
        (max, 22800.0),
        (len, 2),
        (statistics.mean, 16200.0),
        ("std", statistics.stdev([22800.0, 9600.0])),
        ("first", 22800.0),
        ("last", 9600.0),
        (lambda values: math.prod(values[:2]), 22800.0 * 9600.0),
    ],
)
def test_aggregates(graph: ReactiveGraph, nodes: list[str], aggregate: Any, expected: Any) -> None:
    graph.group_computed("group", nodes, "mv", aggregate)
    assert graph.get_group("group") == expected


def test_a_weighted_mean_weighs_by_another_name(graph: ReactiveGraph, nodes: list[str]) -> None:
    graph.group_computed("vwap", nodes, "price", weighted_mean("quantity"))
    assert graph.get_group("vwap") == 32400.0 / 150
    graph.update(nodes[1], "quantity", 0)
    assert graph.get_group("vwap") == 228.0
    graph.update(nodes[0], "quantity", 0)
    assert graph.get_group("vwap") is None


def test_groups_of_fields_and_of_expressions(graph: ReactiveGraph, nodes: list[str]) -> None:
    graph.group_computed("shares", nodes, "quantity", sum)
    graph.group_computed("double", nodes, Field("mv") * 2, sum)
    assert (graph.get_group("shares"), graph.get_group("double")) == (150, 64800.0)
    graph.update(nodes[0], "quantity", 1)
    assert (graph.get_group("shares"), graph.get_group("double")) == (51, 19656.0)


def test_without_members(graph: ReactiveGraph) -> None:
    expected = {"sum": 0, "count": 0, "min": None, "max": None, "mean": None, "std": None}
    for name in expected:
        graph.group_computed(name, [], "mv", name)
    assert {name: graph.get_group(name) for name in expected} == expected
    graph.group_computed("first", [], "mv", "first")
    assert graph.get_group("first") is None


def test_null_members_are_passed_over_and_nan_members_show(
    graph: ReactiveGraph, nodes: list[str]
) -> None:
    for name in ("sum", "mean", "min", "count"):
        graph.group_computed(name, nodes, "price", name)
    graph.update(nodes[0], "price", None)
    assert [graph.get_group(n) for n in ("sum", "mean", "min", "count")] == [192.0, 192.0, 192.0, 2]
    graph.update(nodes[0], "price", math.nan)
    assert all(math.isnan(graph.get_group(n)) for n in ("sum", "mean", "min"))
    graph.update(nodes[0], "price", 8.0)
    assert [graph.get_group(n) for n in ("sum", "mean", "min", "count")] == [200.0, 100.0, 8.0, 2]


def test_a_member_that_fails_makes_the_group_fail_until_it_recovers(
    graph: ReactiveGraph, nodes: list[str]
) -> None:
    graph.group_computed("total", nodes, "mv", sum)
    graph.rollup("firm", ["total"])
    graph.update(nodes[0], "price", "closed")
    for name in ("total", "firm"):
        with pytest.raises(ComputeError, match=r"Position-1\.mv.*'price'"):
            graph.get_group(name)
    graph.update(nodes[1], "price", 100.0)
    graph.update(nodes[0], "price", 1.0)
    assert graph.get_group("firm") == 5100.0


def test_values_that_an_aggregate_does_not_take(graph: ReactiveGraph, nodes: list[str]) -> None:
    graph.group_computed("total", nodes, "price", sum)
    graph.group_computed("top", nodes, "price", max)
    graph.update(nodes[0], "price", "closed")
    graph.update(nodes[1], "price", 5.0)
    for name in ("total", "top"):
        with pytest.raises(ComputeError, match="TypeError"):
            graph.get_group(name)
    graph.update(nodes[0], "price", 6.0)
    assert (graph.get_group("total"), graph.get_group("top")) == (11.0, 6.0)


def test_functions_that_raise_or_meddle(graph: ReactiveGraph, nodes: list[str]) -> None:
    graph.group_computed("ratio", nodes, "quantity", lambda values: values[0] / values[1])
    graph.group_computed("nosy", nodes, "mv", lambda values: graph.get(nodes[0], "price"))
    graph.group_computed("busy", nodes, "mv", lambda values: graph.update(nodes[0], "price", 1.0))
    assert graph.get_group("ratio") == 2.0
    graph.update(nodes[1], "quantity", 0)
    for name, why in [
        ("ratio", "ZeroDivisionError"),
        ("nosy", "whose changes it does not follow"),
        ("busy", "may only read the graph"),
    ]:
        with pytest.raises(ComputeError, match=why):
            graph.get_group(name)
    graph.update(nodes[1], "quantity", 25)
    assert graph.get_group("ratio") == 4.0
    assert graph.get_field(nodes[0], "price") == 228.0


def test_members_come_and_go_once(graph: ReactiveGraph, nodes: list[str]) -> None:
    graph.group_computed("total", [nodes[0], nodes[0]], "quantity", sum)
    graph.add_to_group("total", nodes[0])
    assert graph.get_group("total") == 100
    assert graph.group_members("total") == [nodes[0]]
    with pytest.raises(UnknownNameError, match="no member 'Position-2' in group 'total'"):
        graph.remove_from_group("total", nodes[1])
    bare = graph.track(Position("BARE", 1, 1.0))
    graph.group_computed("mvs", nodes, "mv", sum)
    with pytest.raises(UnknownNameError, match="'mv' in Position-3"):
        graph.add_to_group("mvs", bare)
    with pytest.raises(UnknownNameError, match="'mv' in Position-3"):
        graph.group_computed("more", [*nodes, bare], "mv", sum)
    with pytest.raises(UnknownNameError):
        graph.get_group("more")


def test_unknown_groups_and_aggregates(graph: ReactiveGraph, nodes: list[str]) -> None:
    for attempt in [
        lambda: graph.get_group("nothing"),
        lambda: graph.add_to_group("nothing", nodes[0]),
        lambda: graph.remove_from_group("nothing", nodes[0]),
        lambda: graph.remove_group("nothing"),
        lambda: graph.group_effect("nothing", print),
        lambda: graph.explain_group("nothing"),
        lambda: graph.rollup("x", ["nothing"]),
        lambda: graph.group_computed("x", ["nobody"], "mv", sum),
        lambda: graph.group_members("nothing"),
    ]:
        with pytest.raises(KeyError):
            attempt()  # type: ignore[no-untyped-call]
    with pytest.raises(AggregateError, match="no aggregate 'median'"):
        graph.group_computed("x", nodes, "mv", "median")
    graph.group_computed("x", nodes, "mv", sum)
    with pytest.raises(UnknownNameError, match="not by key"):
        graph.get_group("x", key="AAPL")


# --- by key, by condition, of a class -------------------------------------------------------------


def test_by_key(graph: ReactiveGraph, nodes: list[str]) -> None:
    graph.group_computed("by_desk", nodes, "mv", sum, key="desk")
    changes: list[Any] = []
    rates: list[Any] = []
    graph.group_effect("by_desk", lambda _, changed: changes.append(changed))
    graph.group_effect("by_desk", lambda _, value: rates.append(value), key="rates")
    assert graph.get_group("by_desk") == {"equities": 32400.0}
    graph.update(nodes[1], "desk", "rates")
    assert graph.get_group("by_desk") == {"equities": 22800.0, "rates": 9600.0}
    assert graph.get_group("by_desk", key="rates") == 9600.0
    graph.update(nodes[1], "price", 200.0)
    graph.update(nodes[1], "desk", "equities")
    assert graph.get_group("by_desk", "rates") is None
    assert changes == [
        {"equities": 32400.0},
        {"equities": 22800.0, "rates": 9600.0},
        {"rates": 10000.0},
        {"equities": 32800.0, "rates": None},
    ]
    assert rates == [None, 9600.0, 10000.0, None]


def test_a_key_whose_value_is_null_goes_for_its_readers_too(
    graph: ReactiveGraph, nodes: list[str]
) -> None:
    graph.group_computed("best", nodes, "price", max, key="desk")
    graph.multi_computed("desks", lambda g: sorted(g.get_group("best")))
    graph.batch_update(nodes[1], {"desk": "rates", "price": None})
    assert graph.get_group("best") == {"equities": 228.0, "rates": None}
    assert graph.get_group("desks") == ["equities", "rates"]
    graph.remove_from_group("best", nodes[1])
    assert graph.get_group("desks") == ["equities"]


def test_keys_that_are_no_keys_keep_a_node_out(graph: ReactiveGraph, nodes: list[str]) -> None:
    graph.group_computed("by_price", nodes, "quantity", sum, key="price")
    graph.update(nodes[0], "price", None)
    graph.update(nodes[1], "price", math.nan)
    assert graph.get_group("by_price", key=None) == 100, "null is a key"
    graph.update(nodes[0], "price", float("nan"))
    assert list(graph.get_group("by_price").values()) == [150], "NaN is one key"
    graph.update(nodes[0], "price", [1])
    graph.update(nodes[1], "price", 1.0)
    assert graph.get_group("by_price") == {1.0: 50}
    graph.update(nodes[0], "price", 1.0)
    assert graph.get_group("by_price") == {1.0: 150}


def test_a_condition_decides_who_is_in(graph: ReactiveGraph, nodes: list[str]) -> None:
    graph.group_computed("big", nodes, "mv", sum, where=Field("quantity") >= 100)
    assert graph.get_group("big") == 22800.0
    graph.update(nodes[1], "quantity", 200)
    assert graph.get_group("big") == 22800.0 + 38400.0
    with graph.batch():
        graph.update(nodes[0], "quantity", 1)
        graph.update(nodes[0], "price", 1.0)
    assert graph.get_group("big") == 38400.0
    graph.update(nodes[1], "quantity", None)
    assert graph.get_group("big") == 0, "a condition that is null does not let in"
    graph.remove_from_group("big", nodes[0])
    graph.update(nodes[0], "quantity", 100)
    assert graph.get_group("big") == 0


def test_by_key_under_a_condition(graph: ReactiveGraph, nodes: list[str]) -> None:
    third = graph.track(Position("IBM", 10, 100.0, "rates"))
    graph.computed(third, "mv", MV)
    key = Field("desk").upper()
    where = Field("mv") > 5000
    graph.group_computed("top", [*nodes, third], "mv", max, key=key, where=where)
    assert graph.get_group("top") == {"EQUITIES": 22800.0}
    graph.update(third, "price", 1000.0)
    assert graph.get_group("top") == {"EQUITIES": 22800.0, "RATES": 10000.0}
    graph.untrack(third)
    assert graph.get_group("top") == {"EQUITIES": 22800.0}


def test_a_class_stands_for_all_its_objects(graph: ReactiveGraph, nodes: list[str]) -> None:
    graph.group_computed("all", Position, "mv", sum)
    assert graph.get_group("all") == 32400.0
    late = graph.track(Position("IBM", 10, 100.0))
    assert graph.get_group("all") == 32400.0
    graph.computed(late, "mv", MV)
    assert graph.get_group("all") == 33400.0, "it joins when it has what is read"
    graph.remove_from_group("all", nodes[0])
    graph.computed(nodes[0], "more", Field("mv") + 1)
    assert graph.get_group("all") == 10600.0, "who was taken out stays out"
    graph.add_to_group("all", nodes[0])
    assert graph.get_group("all") == 33400.0


# --- groups of groups -----------------------------------------------------------------------------


def test_desk_book_firm(graph: ReactiveGraph) -> None:
    nodes = [graph.track(Position(f"S{i}", i, 1.0)) for i in range(1, 7)]
    for book in range(3):
        graph.group_computed(f"book {book}", nodes[2 * book : 2 * book + 2], "quantity", sum)
    graph.rollup("desk A", ["book 0", "book 1"])
    graph.rollup("desk B", ["book 2"], sum)
    graph.rollup("firm", ["desk A", "desk B"])
    graph.rollup("largest", ["desk A", "desk B"], max)
    firm: list[Any] = []
    graph.group_effect("firm", lambda _, value: firm.append(value))
    graph.group_effect("largest", lambda _, value: firm.append(value))
    graph.update(nodes[0], "quantity", 101)
    assert firm == [21, 11, 121, 110]
    with graph.batch():
        graph.remove_from_group("desk A", "book 1")
        graph.add_to_group("desk B", "book 1")
    assert (graph.get_group("desk A"), graph.get_group("desk B")) == (103, 18)
    assert firm[4:] == [103], "the firm's total is what it was"
    graph.remove_group("desk B")
    assert graph.get_group("firm") == 103
    assert graph.group_members("firm") == ["desk A"]


def test_the_groups_of_all_keys(graph: ReactiveGraph, nodes: list[str]) -> None:
    graph.group_computed("by_desk", nodes, "mv", sum, key="desk")
    graph.rollup("firm", "by_desk")
    graph.rollup("desks", "by_desk", len)
    assert (graph.get_group("firm"), graph.get_group("desks")) == (32400.0, 1)
    graph.update(nodes[0], "desk", "rates")
    assert (graph.get_group("firm"), graph.get_group("desks")) == (32400.0, 2)
    graph.update(nodes[1], "desk", "rates")
    assert graph.get_group("desks") == 1
    graph.remove_from_group("desks", "by_desk")
    assert graph.get_group("desks") == 0
    graph.add_to_group("desks", "by_desk")
    assert graph.get_group("desks") == 1
    graph.remove_group("desks")
    graph.update(nodes[1], "desk", "equities")
    graph.remove_group("by_desk")
    assert graph.get_group("firm") == 0


def test_groups_of_groups_that_go_round_are_refused(graph: ReactiveGraph) -> None:
    graph.rollup("a", [])
    graph.rollup("b", ["a"])
    graph.rollup("c", ["b"])
    with pytest.raises(CycleError, match=r"a → b → c → a|a → c → b → a"):
        graph.add_to_group("a", "c")
    with pytest.raises(CycleError, match="a → a"):
        graph.add_to_group("a", "a")
    assert graph.group_members("a") == []


def test_what_rollups_do_not_have(graph: ReactiveGraph, nodes: list[str]) -> None:
    graph.rollup("firm", [])
    with pytest.raises(MembershipError, match="no 'quantity' to weigh them by"):
        graph.rollup("x", [], weighted_mean("quantity"))
    with pytest.raises(UnknownNameError, match="no group 'Position-1'"):
        graph.add_to_group("firm", nodes[0])
    with pytest.raises(UnknownNameError, match="no member 'firm' in group 'firm'"):
        graph.remove_from_group("firm", "firm")


# --- functions of the graph -----------------------------------------------------------------------


def test_what_a_function_reads_is_found_out_each_time(
    graph: ReactiveGraph, nodes: list[str]
) -> None:
    graph.group_computed("total", nodes, "mv", sum)
    runs: list[None] = []

    def weight(g: ReactiveGraph) -> Any:
        runs.append(None)
        if g.get_field(nodes[0], "symbol") == "AAPL":
            return g.get(nodes[0], "mv") / g.get_group("total")
        return g.get(nodes[1], "price")

    graph.multi_computed("weight", weight)
    assert graph.get_group("weight") == 22800.0 / 32400.0
    assert len(runs) == 1
    graph.update(nodes[1], "desk", "rates")
    assert len(runs) == 1, "nothing that it read"
    graph.update(nodes[0], "symbol", "MSFT")
    assert graph.get_group("weight") == 192.0
    graph.update(nodes[0], "price", 1.0)
    assert len(runs) == 2, "nothing that it read the last time"
    graph.update(nodes[1], "price", 2.0)
    assert graph.get_group("weight") == 2.0


def test_functions_read_one_another_in_any_order(graph: ReactiveGraph, nodes: list[str]) -> None:
    switch = graph.track(Position("switch", 0, 0.0))
    graph.multi_computed(
        "low", lambda g: g.get_group("high") if g.get(switch, "quantity") else g.get(nodes[0], "mv")
    )
    graph.multi_computed("high", lambda g: g.get(nodes[0], "mv") * 2)
    graph.multi_computed("higher", lambda g: g.get_group("high") + 1)
    graph.multi_computed("over", lambda g: g.get_group("low") + 1)
    seen: list[Any] = []
    graph.group_effect("over", lambda _, value: seen.append(value))
    with graph.batch():
        graph.update(switch, "quantity", 1)
        graph.update(nodes[0], "price", 1.0)
    assert seen == [22801.0, 201.0], "it waited for what it read to be settled"


def test_functions_that_go_round_are_refused_by_name(
    graph: ReactiveGraph, nodes: list[str]
) -> None:
    graph.multi_computed("self", lambda g: g.get_group("self"))
    with pytest.raises(ComputeError, match="self → self"):
        graph.get_group("self")
    graph.multi_computed("a", lambda g: g.get_group("b") if g.get(nodes[0], "quantity") == 1 else 0)
    graph.multi_computed("b", lambda g: g.get_group("a") + 1)
    graph.update(nodes[0], "quantity", 1)
    with pytest.raises(ComputeError, match=r"a → b → a|b → a → b"):
        graph.get_group("a")
    graph.update(nodes[0], "quantity", 2)
    assert graph.get_group("b") == 1


def test_a_function_may_read_what_is_defined_later(graph: ReactiveGraph) -> None:
    graph.multi_computed("ratio", lambda g: g.get_group("total") / 2)
    with pytest.raises(ComputeError, match="no group 'total'"):
        graph.get_group("ratio")
    graph.group_computed("total", Position, "quantity", sum)
    assert graph.get_group("ratio") == 0
    node = graph.track(Position("IBM", 10, 1.0))
    assert graph.get_group("ratio") == 5
    graph.untrack(node)
    graph.remove_group("total")
    with pytest.raises(ComputeError, match="no group 'total'"):
        graph.get_group("ratio")


def test_a_function_may_read_a_group_by_key(graph: ReactiveGraph, nodes: list[str]) -> None:
    graph.group_computed("by_desk", nodes, "mv", sum, key="desk")
    graph.multi_computed("desks", lambda g: sorted(g.get_group("by_desk")))
    graph.multi_computed(
        "both", lambda g: [g.get_group("by_desk", key=k) for k in ("rates", "equities")]
    )
    graph.update(nodes[0], "desk", "rates")
    assert graph.get_group("desks") == ["equities", "rates"]
    assert graph.get_group("both") == [22800.0, 9600.0]


def test_members_of_a_function_are_not_for_adding(graph: ReactiveGraph, nodes: list[str]) -> None:
    graph.multi_computed("spread", lambda g: g.get(nodes[0], "mv"))
    for attempt in (graph.add_to_group, graph.remove_from_group):
        with pytest.raises(ValueError, match="has no members") as caught:
            attempt("spread", nodes[0])
        assert isinstance(caught.value, MembershipError)
    assert graph.group_members("spread") == []


def test_a_function_may_not_update(graph: ReactiveGraph, nodes: list[str]) -> None:
    graph.multi_computed("sneaky", lambda g: g.update(nodes[0], "price", 1.0))
    with pytest.raises(ComputeError, match="may only read the graph"):
        graph.get_group("sneaky")
    assert graph.get_field(nodes[0], "price") == 228.0


def test_explain_group(graph: ReactiveGraph, nodes: list[str]) -> None:
    graph.group_computed("total", nodes, "mv", sum)
    graph.group_computed("by_desk", nodes, "mv", sum, key="desk")
    graph.multi_computed("half", lambda g: g.get_group("total") / 2)
    graph.update(nodes[1], "price", 200.0)
    explained = graph.explain_group("total")
    assert explained.formula == "sum of 2 members"
    assert list(explained.inputs.items()) == [
        ("Position-2.mv", 10000.0),
        ("Position-1.mv", 22800.0),
    ]
    assert explained.cause == "update of Position-2.price"
    assert graph.explain_group("half").inputs == {"total": 32800.0}
    assert graph.explain_group("half").update == explained.update
    assert graph.explain_group("by_desk").inputs == {"by_desk['equities']": 32800.0}


@pytest.mark.parametrize("failing", ["first", "second"])
def test_who_recovers_has_not_joined_last(
    graph: ReactiveGraph, nodes: list[str], failing: str
) -> None:
    n1, n2 = nodes
    graph.group_computed("first", nodes, "mv", "first")
    graph.group_computed("last", nodes, "mv", "last")
    graph.group_computed("all", nodes, "mv", list)
    failed = n1 if failing == "first" else n2
    graph.update(failed, "price", "none today")
    with pytest.raises(ComputeError, match=failed):
        graph.get_group("all")
    graph.update(failed, "price", 1.0)
    expected = [graph.get(n1, "mv"), graph.get(n2, "mv")]
    assert graph.get_group("all") == expected
    assert [graph.get_group("first"), graph.get_group("last")] == expected


@pytest.mark.parametrize("whole_class", [True, False])
def test_a_group_that_cannot_be_is_not_half_defined(
    graph: ReactiveGraph, nodes: list[str], whole_class: bool
) -> None:
    members: Any = Position if whole_class else nodes
    with pytest.raises(ExpressionTypeError, match="symbol"):
        graph.group_computed("odd", members, Field("symbol") * 2, "sum")
    with pytest.raises(UnknownNameError):
        graph.get_group("odd")
    graph.group_computed("odd", members, Field("quantity") * 2, "sum")
    assert graph.get_group("odd") == 300


def test_who_joins_of_itself_with_another_type_fails_the_group_alone(graph: ReactiveGraph) -> None:
    @dataclass
    class Priced:
        price: Any

    @dataclass
    class Named(Priced):
        price: str

    graph.group_computed("double", Priced, Field("price") * 2, "sum")
    graph.track(Priced(2.0))
    named = graph.track(Named("two"))
    assert graph.get(named, "price") == "two"
    with pytest.raises(ComputeError, match=r"member Named-1.price \* 2 has no value"):
        graph.get_group("double")
    graph.untrack(named)
    assert graph.get_group("double") == 4.0
    graph.group_computed("prices", [], Field("price") * 2, "sum")
    with pytest.raises(ExpressionTypeError):
        graph.add_to_group("prices", graph.track(Named("two")))
    assert graph.get_group("prices") == 0


def test_an_expression_may_be_weighted(graph: ReactiveGraph, nodes: list[str]) -> None:
    twice = Field("price") * 2
    graph.group_computed("mean", nodes, twice, weighted_mean("quantity"))
    assert graph.get_group("mean") == 2 * 32400.0 / 150
    graph.group_computed("by desk", Position, twice, weighted_mean("quantity"), key="desk")
    graph.update(nodes[0], "quantity", 0)
    assert graph.get_group("mean") == 384.0
    assert graph.get_group("by desk") == {"equities": 384.0}
    graph.update(nodes[1], "desk", "growth")
    assert graph.get_group("by desk") == {"equities": None, "growth": 384.0}


def test_any_nan_finds_the_key_that_all_nan_are(graph: ReactiveGraph) -> None:
    graph.track(Position("A", 1, float("nan")))
    graph.track(Position("B", 2, float("nan")))
    graph.group_computed("by price", Position, "quantity", "sum", key="price")
    assert graph.get_group("by price", key=float("nan")) == 3
    with pytest.raises(UnknownNameError, match="unhashable"):
        graph.get_group("by price", key=[1.0])
