"""Nodes of a graph: computed values, updates, batches, overrides, and what goes wrong."""

from __future__ import annotations

import dataclasses
import math
import pickle
import random
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest

from reactive import (
    Coalesce,
    ComputeError,
    Const,
    CycleError,
    DuplicateNameError,
    Field,
    FieldTypeError,
    If,
    ReactiveGraph,
    SideEffectError,
    TrackingError,
    UnknownNameError,
)
from reactive.errors import GraphError


@dataclass
class Position:
    symbol: str = ""
    quantity: int = 0
    avg_cost: float = 0.0
    current_price: float | None = 0.0


PNL = (Field("current_price") - Field("avg_cost")) * Field("quantity")


@pytest.fixture
def graph() -> ReactiveGraph:
    return ReactiveGraph()


@pytest.fixture
def position() -> Position:
    return Position("AAPL", 100, 220.0, 230.0)


@pytest.fixture
def node(graph: ReactiveGraph, position: Position) -> str:
    return graph.track(position)


def test_a_computed_value_follows_its_fields(
    graph: ReactiveGraph, position: Position, node: str
) -> None:
    graph.computed(node, "pnl", PNL)
    assert graph.get(node, "pnl") == 1000.0
    graph.update(node, "current_price", 235.0)
    assert graph.get(node, "pnl") == 1500.0
    assert position.current_price == 235.0, "updates write through"
    assert graph.get_field(node, "current_price") == 235.0


def test_computed_values_read_one_another(graph: ReactiveGraph, node: str) -> None:
    graph.computed(node, "pnl", PNL)
    graph.computed(node, "alert", If(Field("pnl") < -5000, "STOP_LOSS", "OK"))
    graph.computed(node, "loud", Field("alert").lower())
    graph.update(node, "current_price", 100.0)
    assert graph.get(node, "alert") == "STOP_LOSS"
    assert graph.get(node, "loud") == "stop_loss"


def test_several_fields_are_one_update(graph: ReactiveGraph, node: str) -> None:
    graph.computed(node, "pnl", PNL)
    seen: list[Any] = []
    graph.effect(node, "pnl", lambda name, value: seen.append((name, value)))
    graph.batch_update(node, {"current_price": 240.0, "avg_cost": 200.0, "quantity": 10})
    assert seen == [("pnl", 1000.0), ("pnl", 400.0)]


def test_get_also_gives_fields_and_takes_the_object_itself(
    graph: ReactiveGraph, position: Position, node: str
) -> None:
    graph.computed(node, "pnl", PNL)
    assert graph.get(node, "quantity") == 100
    assert graph.get(position, "pnl") == 1000.0  # type: ignore[arg-type]


def test_tracking_twice_gives_the_same_node(
    graph: ReactiveGraph, position: Position, node: str
) -> None:
    assert graph.track(position) == node
    other = graph.track(Position("AAPL", 100, 220.0, 230.0))
    assert other != node, "equal objects are different objects"


def test_two_graphs_may_track_one_plain_object(position: Position) -> None:
    first, second = ReactiveGraph(), ReactiveGraph()
    nodes = [graph.track(position) for graph in (first, second)]
    first.update(nodes[0], "quantity", 5)
    assert second.get_field(nodes[1], "quantity") == 5


@pytest.mark.parametrize("wrong", [object(), {"a": 1}, "text", Position])
def test_only_instances_of_dataclasses_are_tracked(graph: ReactiveGraph, wrong: Any) -> None:
    with pytest.raises(TypeError, match="only instances of dataclasses") as caught:
        graph.track(wrong)
    assert isinstance(caught.value, TrackingError)


def test_unknown_names_are_key_errors_that_say_what_there_is(
    graph: ReactiveGraph, node: str
) -> None:
    graph.computed(node, "pnl", PNL)
    for attempt in [
        lambda: graph.get("nobody", "pnl"),
        lambda: graph.get(node, "nothing"),
        lambda: graph.get_field(node, "nothing"),
        lambda: graph.get_field(node, "pnl"),
        lambda: graph.update("nobody", "quantity", 1),
        lambda: graph.update(node, "nothing", 1),
        lambda: graph.update(node, "pnl", 1),
        lambda: graph.batch_update(node, {"quantity": 1, "nothing": 1}),
        lambda: graph.update_many("nothing", {node: 1}),
        lambda: graph.update_many("quantity", {"nobody": 1}),
        lambda: graph.untrack("nobody"),
        lambda: graph.computed("nobody", "x", Const(1)),
        lambda: graph.computed(node, "x", Field("nothing") + 1),
        lambda: graph.effect(node, "nothing", print),
        lambda: graph.override(node, "quantity", 1),
        lambda: graph.clear_override(node, "nothing"),
        lambda: graph.explain(node, "nothing"),
        lambda: graph.watch(node, "nothing"),
        lambda: graph.signal(node, "nothing"),
    ]:
        with pytest.raises(KeyError) as caught:
            attempt()  # type: ignore[no-untyped-call]
        assert isinstance(caught.value, UnknownNameError)
    with pytest.raises(
        UnknownNameError,
        match=r"^no computed value or field 'nothing' in Position-1; there are: avg_cost, "
        r"current_price, pnl, quantity, symbol$",
    ):
        graph.get(node, "nothing")


def test_a_refused_batch_update_changes_nothing(
    graph: ReactiveGraph, position: Position, node: str
) -> None:
    with pytest.raises(KeyError):
        graph.batch_update(node, {"quantity": 1, "nothing": 1})
    assert position.quantity == 100


def test_errors_survive_pickle(graph: ReactiveGraph, node: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        graph.get(node, "nothing")
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert (again.kind, again.name, again.known) == (
        caught.value.kind,
        caught.value.name,
        caught.value.known,
    )


@pytest.mark.parametrize("name", ["", ":hidden", 7])
def test_names_that_computed_values_cannot_have(graph: ReactiveGraph, node: str, name: Any) -> None:
    with pytest.raises(GraphError, match="expected a name for a computed value, got"):
        graph.computed(node, name, PNL)


def test_a_computed_value_needs_an_expression_or_a_function(
    graph: ReactiveGraph, node: str
) -> None:
    with pytest.raises(GraphError, match="by an expression or a function, given 5"):
        graph.computed(node, "x", 5)  # type: ignore[arg-type]


# --- equal values, null, NaN, failures ------------------------------------------------------------


def test_an_equal_value_fires_nothing(graph: ReactiveGraph, node: str) -> None:
    graph.computed(node, "pnl", PNL)
    graph.computed(node, "sign", Field("pnl") > 0)
    seen: list[Any] = []
    for name in ("pnl", "sign", "current_price"):
        graph.effect(node, name, lambda name, value: seen.append((name, value)))
    seen.clear()
    graph.update(node, "current_price", 230.0)
    assert seen == []
    graph.update(node, "current_price", 231.0)
    assert seen == [("pnl", 1100.0), ("current_price", 231.0)]


def test_nan_is_equal_to_nan(graph: ReactiveGraph) -> None:
    node = graph.track(Position(avg_cost=math.nan))
    graph.computed(node, "cost", lambda position: position.avg_cost * 2)
    seen: list[Any] = []
    graph.effect(node, "cost", lambda _, value: seen.append(value))
    graph.effect(node, "avg_cost", lambda _, value: seen.append(value))
    assert len(seen) == 2
    graph.update(node, "avg_cost", float("nan"))
    assert len(seen) == 2
    graph.update(node, "avg_cost", 1.0)
    assert seen[2:] == [2.0, 1.0]


def test_null_goes_through(graph: ReactiveGraph, node: str) -> None:
    graph.computed(node, "pnl", PNL)
    graph.update(node, "current_price", None)
    assert graph.get(node, "pnl") is None
    graph.update(node, "current_price", 221.0)
    assert graph.get(node, "pnl") == 100.0


def test_a_value_that_fails_is_raised_to_its_readers_and_recovers(
    graph: ReactiveGraph, node: str, caplog: pytest.LogCaptureFixture
) -> None:
    graph.computed(node, "pnl", PNL)
    graph.computed(node, "known", Coalesce([Field("pnl"), Const(0.0)]))
    graph.computed(node, "cost", Field("avg_cost") * 2)
    seen: list[Any] = []
    graph.effect(node, "known", lambda _, value: seen.append(value))
    graph.update(node, "current_price", "closed")
    for name in ("pnl", "known"):
        with pytest.raises(ComputeError, match=rf"Position-1\.{name} has no value") as caught:
            graph.get(node, name)
        assert isinstance(caught.value.__cause__, FieldTypeError)
    assert graph.get(node, "cost") == 440.0, "the other values are not touched"
    graph.update(node, "current_price", "still closed")
    assert seen == [1000.0]
    assert len(caplog.records) == graph.callback_errors == 1, "said once, until it recovers"
    graph.update(node, "current_price", 230.0)
    assert seen == [1000.0], "back to the value that was seen last"
    graph.update(node, "current_price", 231.0)
    assert seen == [1000.0, 1100.0]


def test_values_that_cannot_be_compared_count_as_changed(graph: ReactiveGraph) -> None:
    class Vector:
        def __eq__(self, other: object) -> bool:
            raise ValueError("the truth value is ambiguous")

        __hash__ = object.__hash__

    @dataclass
    class Series:
        points: Any

    node = graph.track(Series(Vector()))
    graph.computed(node, "same", lambda series: series.points)
    seen: list[Any] = []
    graph.effect(node, "same", lambda _, value: seen.append(value))
    first, second = Vector(), Vector()
    graph.update(node, "points", first)
    graph.update_many("points", {node: second})
    graph.batch_update(node, {"points": second})
    assert seen[1:] == [first, second] or [id(v) for v in seen[1:]] == [id(first), id(second)]


def test_exact_numbers_stay_exact(graph: ReactiveGraph) -> None:
    @dataclass
    class Cash:
        amount: Decimal
        parts: int

    node = graph.track(Cash(Decimal("0.10"), 10**20))
    graph.computed(node, "double", Field("amount") + Field("amount"))
    graph.computed(node, "more", Field("parts") + 1)
    assert graph.get(node, "double") == Decimal("0.20")
    assert graph.get(node, "more") == 10**20 + 1


# --- definitions ----------------------------------------------------------------------------------


def test_a_second_definition_takes_the_place_of_the_first(graph: ReactiveGraph, node: str) -> None:
    graph.computed(node, "mv", Field("current_price") * Field("quantity"))
    graph.computed(node, "half", Field("mv") / 2)
    seen: list[Any] = []
    graph.effect(node, "half", lambda _, value: seen.append(value))
    graph.computed(node, "mv", Field("avg_cost") * Field("quantity"))
    assert seen == [11500.0, 11000.0]
    graph.update(node, "avg_cost", 1.0)
    assert graph.get(node, "half") == 50.0


def test_a_definition_of_another_type_reaches_its_readers(graph: ReactiveGraph, node: str) -> None:
    graph.computed(node, "mark", Field("current_price"))
    graph.computed(node, "known", ~Field("mark").is_null())
    graph.computed(node, "mark", Field("symbol"))
    assert graph.get(node, "known") is True
    graph.update(node, "symbol", None)
    assert graph.get(node, "known") is False


def test_a_definition_that_would_depend_on_itself_is_refused_by_name(
    graph: ReactiveGraph, node: str
) -> None:
    graph.computed(node, "a", Field("quantity") + 1)
    graph.computed(node, "b", Field("a") + 1)
    graph.computed(node, "c", Field("b") + 1)
    with pytest.raises(CycleError) as caught:
        graph.computed(node, "a", Field("c") + 1)
    assert caught.value.path in (list("acba"), list("cbac"), list("bacb"))
    graph.update(node, "quantity", 1)
    assert graph.get(node, "c") == 4, "nothing has changed"
    with pytest.raises(CycleError, match="a → a"):
        graph.computed(node, "a", Field("a") + 1)


def test_a_computed_value_hides_a_field_except_from_its_own_formula(
    graph: ReactiveGraph, node: str
) -> None:
    graph.computed(node, "mv", Field("current_price") * Field("quantity"))
    graph.computed(node, "current_price", Coalesce([Field("current_price"), Field("avg_cost")]))
    graph.update(node, "current_price", None)
    assert graph.get(node, "current_price") == 220.0
    assert graph.get_field(node, "current_price") is None
    assert graph.get(node, "mv") == 22000.0


def test_functions_of_the_object_are_computed_values_too(graph: ReactiveGraph, node: str) -> None:
    graph.computed(node, "name", lambda position: f"{position.symbol} x {position.quantity}")
    graph.computed(node, "length", Field("name").length())
    graph.update(node, "quantity", 7)
    assert graph.get(node, "name") == "AAPL x 7"
    assert graph.get(node, "length") == 8


def test_a_function_that_computes_may_not_update_the_graph(graph: ReactiveGraph, node: str) -> None:
    def sneaky(position: Position) -> int:
        graph.update(node, "quantity", position.quantity + 1)
        return position.quantity

    graph.computed(node, "sneaky", sneaky)
    with pytest.raises(ComputeError, match="may only read the graph") as caught:
        graph.get(node, "sneaky")
    assert isinstance(caught.value.__cause__, SideEffectError)
    assert graph.get_field(node, "quantity") == 100


def test_a_function_that_computes_reads_only_what_is_followed(
    graph: ReactiveGraph, node: str
) -> None:
    other = graph.track(Position())
    graph.computed(node, "nosy", lambda _: graph.get(other, "quantity"))
    with pytest.raises(ComputeError, match=r"read Position-2\.quantity, whose changes"):
        graph.get(node, "nosy")


# --- batches --------------------------------------------------------------------------------------


def test_a_batch_over_several_objects_is_one_update(graph: ReactiveGraph) -> None:
    nodes = [graph.track(Position("A", 1, 0.0, 1.0)) for _ in range(3)]
    for node in nodes:
        graph.computed(node, "mv", Field("current_price") * Field("quantity"))
    graph.group_computed("total", nodes, "mv", sum)
    seen: list[Any] = []
    graph.group_effect("total", lambda _, value: seen.append(value))
    with graph.batch():
        for number, node in enumerate(nodes):
            graph.update(node, "current_price", 10.0 + number)
            graph.update(node, "quantity", 2)
        assert graph.get(nodes[0], "mv") == 20.0, "what is read inside is up to date"
        assert graph.get_group("total") == 66.0
        assert seen == [3.0]
    assert seen == [3.0, 66.0]


def test_a_batch_that_raises_leaves_all_objects_as_they_were(
    graph: ReactiveGraph, position: Position, node: str
) -> None:
    graph.computed(node, "pnl", PNL)
    seen: list[Any] = []
    graph.effect(node, "pnl", lambda _, value: seen.append(value))
    before = dataclasses.replace(position)

    def fail() -> None:
        with graph.batch():
            graph.update(node, "current_price", 1.0)
            graph.update(node, "current_price", 2.0)
            assert graph.get(node, "pnl") == -21800.0
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert position == before
    assert graph.get(node, "pnl") == 1000.0
    assert seen == [1000.0]


def test_an_inner_batch_that_raises_takes_back_its_own_writes_alone(
    graph: ReactiveGraph, position: Position, node: str
) -> None:
    def fail() -> None:
        with graph.batch():
            graph.update(node, "current_price", 1.0)
            graph.update(node, "quantity", 1)
            raise ZeroDivisionError

    with graph.batch():
        graph.update(node, "current_price", 300.0)
        with pytest.raises(ZeroDivisionError):
            fail()
    assert (position.current_price, position.quantity) == (300.0, 100)


def test_there_and_back_in_one_batch_fires_nothing(graph: ReactiveGraph, node: str) -> None:
    graph.computed(node, "pnl", PNL)
    seen: list[Any] = []
    graph.effect(node, "pnl", lambda _, value: seen.append(value))
    with graph.batch():
        graph.update(node, "current_price", 1.0)
        graph.get(node, "pnl")
        graph.update(node, "current_price", 230.0)
    assert seen == [1000.0]


def test_update_many_is_one_update_over_objects_of_all_kinds(graph: ReactiveGraph) -> None:
    @dataclass
    class Quote:
        current_price: float

        def __setattr__(self, name: str, value: Any) -> None:
            if value is not None and value < 0:
                raise ValueError("no negative prices")
            super().__setattr__(name, value)

    position, other, quote = Position(quantity=2), Position(quantity=3), Quote(1.0)
    nodes = [graph.track(obj) for obj in (position, other, quote)]
    for node in nodes[:2]:
        graph.computed(node, "mv", Field("current_price") * Field("quantity"))
    graph.computed(nodes[1], "double", Field("mv") * 2)
    graph.group_computed("sum", nodes, "current_price", sum)
    seen: list[Any] = []
    graph.group_effect("sum", lambda _, value: seen.append(value))
    graph.update_many("current_price", dict.fromkeys(nodes[:2], 10.0))
    graph.update_many("current_price", [(nodes[2], 5.0), (nodes[0], 1.0), (nodes[0], 2.0)])
    assert seen == [1.0, 21.0, 17.0]
    assert (graph.get(nodes[0], "mv"), graph.get(nodes[1], "double")) == (4.0, 60.0)
    with pytest.raises(ValueError, match="no negative prices"):
        graph.update_many("current_price", {nodes[0]: 7.0, nodes[2]: -1.0})
    assert (position.current_price, quote.current_price) == (2.0, 5.0), "all or nothing"
    graph.update_many("current_price", {})
    assert seen == [1.0, 21.0, 17.0]


def test_an_object_that_refuses_a_value_stays_as_it_was(graph: ReactiveGraph) -> None:
    @dataclass(frozen=True)
    class Fixed:
        price: float = 1.0
        quantity: int = 2

    node = graph.track(Fixed())
    graph.computed(node, "mv", Field("price") * Field("quantity"))
    for attempt in (
        lambda: graph.update(node, "price", 2.0),
        lambda: graph.batch_update(node, {"price": 2.0}),
        lambda: graph.update_many("price", {node: 2.0}),
    ):
        with pytest.raises(dataclasses.FrozenInstanceError):
            attempt()
    assert graph.get(node, "mv") == 2.0


def test_refresh_takes_in_what_was_written_behind_the_graphs_back(
    graph: ReactiveGraph, position: Position, node: str
) -> None:
    graph.computed(node, "pnl", PNL)
    position.current_price = 240.0
    graph.refresh(node)
    assert graph.get(node, "pnl") == 2000.0


# --- what-if --------------------------------------------------------------------------------------


def test_an_override_ripples_on_until_it_is_cleared(graph: ReactiveGraph, node: str) -> None:
    graph.computed(node, "pnl", PNL)
    graph.computed(node, "alert", If(Field("pnl") < -5000, "STOP_LOSS", "OK"))
    graph.group_computed("total", [node], "pnl", sum)
    graph.override(node, "pnl", -6000.0)
    assert (graph.get(node, "alert"), graph.get_group("total")) == ("STOP_LOSS", -6000.0)
    assert graph.overrides(node) == ["pnl"]
    graph.update(node, "current_price", 250.0)
    assert graph.get(node, "pnl") == -6000.0, "it stands still"
    graph.override(node, "pnl", -7000.0)
    assert graph.get_group("total") == -7000.0
    graph.clear_override(node, "pnl")
    assert (graph.get(node, "alert"), graph.get_group("total")) == ("OK", 3000.0)
    graph.clear_override(node, "pnl")
    assert graph.overrides(node) == []


def test_explain_says_what_a_value_is_made_of_and_what_changed_it(
    graph: ReactiveGraph, node: str
) -> None:
    graph.computed(node, "pnl", PNL)
    graph.computed(node, "twice", Field("pnl") * 2)
    graph.update(node, "current_price", 235.0)
    changed = graph.explain(node, "pnl")
    assert changed.value == 1500.0
    assert changed.formula == "(current_price - avg_cost) * quantity"
    assert changed.inputs == {"avg_cost": 220.0, "current_price": 235.0, "quantity": 100}
    assert changed.cause == "update of Position-1.current_price"
    assert graph.explain(node, "twice").update == changed.update
    graph.update(node, "symbol", "MSFT")
    assert graph.explain(node, "pnl").update == changed.update, "not touched since"
    graph.override(node, "pnl", 1.0)
    assert graph.explain(node, "pnl").overridden
    assert graph.explain(node, "twice").cause == "override of Position-1.pnl"
    assert str(graph.explain(node, "twice")).startswith(
        "Position-1.twice = 2.0\n  from pnl * 2\n    pnl = 1.0\n  last changed by #"
    )
    graph.clear_override(node, "pnl")
    graph.update(node, "current_price", "closed")
    failed = graph.explain(node, "pnl")
    assert isinstance(failed.error, FieldTypeError)
    assert "failed: " in str(failed)
    assert graph.explain(node, "quantity").formula == "a field"


# --- leaving --------------------------------------------------------------------------------------


def test_an_untracked_object_is_forgotten(
    graph: ReactiveGraph, position: Position, node: str
) -> None:
    other = graph.track(Position("GOOG", 1, 0.0, 10.0))
    for tracked in (node, other):
        graph.computed(tracked, "mv", Field("current_price") * Field("quantity"))
    graph.group_computed("total", [node, other], "mv", sum)
    totals: list[Any] = []
    graph.group_effect("total", lambda _, value: totals.append(value))
    effect = graph.effect(node, "mv", lambda *_: None)
    graph.untrack(node)
    assert totals == [23010.0, 10.0]
    assert not effect.attached
    with pytest.raises(UnknownNameError):
        graph.get(node, "mv")
    again = graph.track(position)
    assert again != node, "ids are not given twice"
    with pytest.raises(UnknownNameError):
        graph.get(again, "mv")


def test_untracking_inside_a_batch_keeps_the_rest(graph: ReactiveGraph, node: str) -> None:
    other = graph.track(Position(quantity=1))
    graph.group_computed("total", [node, other], "quantity", sum)
    with graph.batch():
        graph.update(node, "quantity", 50)
        graph.update(other, "quantity", 2)
        graph.untrack(node)
    assert graph.get_group("total") == 2


def test_fields_without_a_value_fail_alone(graph: ReactiveGraph) -> None:
    @dataclass
    class Late:
        price: float = field(init=False)
        quantity: int = 2

    late = Late()
    node = graph.track(late)
    graph.computed(node, "mv", Field("price") * Field("quantity"))
    graph.computed(node, "lots", Field("quantity") * 10)
    with pytest.raises(ComputeError, match="AttributeError"):
        graph.get(node, "mv")
    graph.update(node, "quantity", 3)
    assert graph.get(node, "lots") == 30
    graph.update(node, "price", 2.0)
    assert graph.get(node, "mv") == 6.0


def test_a_graph_uses_names_that_python_uses_itself(graph: ReactiveGraph) -> None:
    fields = ["o", "v", "new", "old", "node", "value", "links", "write", "Failure", "f0", "v0"]
    cls = dataclasses.make_dataclass("Odd", [(name, float, 1.0) for name in fields])
    node = graph.track(cls())
    total = Field(fields[0])
    for name in fields[1:]:
        total = total + Field(name)
    graph.computed(node, 'a "quoted"\nname', total)
    graph.computed(node, "update", total * 2)
    for number, name in enumerate(fields):
        graph.update(node, name, 2.0)
        assert graph.get(node, "update") == 2 * (len(fields) + number + 1)
    graph.update_many("o", {node: 0.0})
    graph.batch_update(node, dict.fromkeys(fields, 0.0))
    assert graph.get(node, 'a "quoted"\nname') == 0.0


def test_a_duplicate_is_a_key_error(graph: ReactiveGraph) -> None:
    graph.group_computed("all", [], "x", sum)
    for attempt in (
        lambda: graph.group_computed("all", [], "x", sum),
        lambda: graph.rollup("all", []),
        lambda: graph.multi_computed("all", lambda _: 1),
    ):
        with pytest.raises(KeyError, match="there is a group 'all' already") as caught:
            attempt()
        assert isinstance(caught.value, DuplicateNameError)


def test_many_updates_take_objects_too(graph: ReactiveGraph, position: Position) -> None:
    other = Position()
    node, _ = graph.track(position), graph.track(other)
    graph.update_many("current_price", [(position, 1.0), (other, 2.0), (node, 3.0)])
    assert (position.current_price, other.current_price) == (3.0, 2.0)


def test_a_removed_function_of_the_graph_that_failed_is_not_called_again(
    graph: ReactiveGraph,
) -> None:
    node, calls = graph.track(Position(quantity=0)), []

    def invert(g: ReactiveGraph) -> float:
        calls.append(1)
        return 1 / g.get(node, "quantity")

    graph.multi_computed("inverse", invert)
    graph.remove_group("inverse")
    before = len(calls)
    graph.update(node, "quantity", 5)
    graph.track(Position())
    assert len(calls) == before


@pytest.mark.parametrize("kind", ["multi", "group"])
def test_an_interrupted_computation_is_taken_up_again(graph: ReactiveGraph, kind: str) -> None:
    node, interrupt = graph.track(Position(quantity=1)), False

    def compute(values: list[int]) -> int:
        if interrupt:
            raise KeyboardInterrupt
        return values[0]

    if kind == "multi":
        graph.multi_computed("value", lambda g: compute([g.get(node, "quantity")]))
    else:
        graph.group_computed("value", [node], "quantity", compute)
    interrupt = True
    with pytest.raises(KeyboardInterrupt):
        graph.update(node, "quantity", 2)
    interrupt = False
    graph.update(node, "avg_cost", 1.0)
    assert graph.get_group("value") == 2


@pytest.mark.parametrize("way", ["update", "batch", "update_many", "refresh"])
def test_an_interrupted_value_of_a_node_is_taken_up_again(graph: ReactiveGraph, way: str) -> None:
    interrupt_at = -1

    def compute(position: Position) -> int:
        if position.quantity == interrupt_at:
            raise KeyboardInterrupt
        if position.quantity > 100:
            raise ValueError
        return position.quantity * 2

    positions = [Position(quantity=n) for n in (1, 2, 3)]
    nodes = [graph.track(position) for position in positions]
    for node in nodes:
        graph.computed(node, "double", compute)
        graph.computed(node, "more", Field("double") + 1)
    graph.group_computed("total", nodes, "double", sum)
    graph.group_computed("large", nodes, "double", sum, where=Field("double") > 10)
    told: list[Any] = []
    graph.group_effect("total", lambda _, value: told.append(value))

    news = dict(zip(nodes, (10, 20, 30), strict=True))

    def change() -> None:
        if way == "update":
            graph.update(nodes[1], "quantity", 20)
        elif way == "batch":
            with graph.batch():
                for node, quantity in news.items():
                    graph.update(node, "quantity", quantity)
        elif way == "update_many":
            graph.update_many("quantity", news)
        else:
            positions[1].quantity = 20
            graph.refresh(nodes[1])

    interrupt_at = 20
    with pytest.raises(KeyboardInterrupt):
        change()
    interrupt_at = -1
    # The next update makes all of it right, before anybody reads a value.
    graph.update(nodes[0], "quantity", 7)
    doubles = [position.quantity * 2 for position in positions]
    assert told[-1] == sum(doubles)
    assert [graph.get(node, "double") for node in nodes] == doubles
    assert [graph.get(node, "more") for node in nodes] == [double + 1 for double in doubles]
    assert graph.get_group("large") == sum(double for double in doubles if double > 10)
    graph.update_many("quantity", dict.fromkeys(nodes, 4))
    assert (graph.get_group("total"), graph.get_group("large")) == (24, 0)
    graph.update(nodes[2], "quantity", 101)
    graph.update(nodes[2], "quantity", 5)
    assert graph.get_group("total") == told[-1] == 26


def test_functions_of_the_graph_may_change_places(graph: ReactiveGraph) -> None:
    """Who reads whom turns round within one update; that is no cycle."""
    node = graph.track(Position(quantity=0))

    def one(g: ReactiveGraph) -> int:
        return 100 if g.get(node, "quantity") else g.get_group("two") + 1

    def two(g: ReactiveGraph) -> int:
        return g.get_group("one") + 1 if g.get(node, "quantity") else 5

    graph.multi_computed("one", one)
    graph.multi_computed("two", two)
    graph.multi_computed("both", lambda g: (g.get_group("one"), g.get_group("two")))
    assert graph.get_group("both") == (6, 5)
    for quantity in (1, 2, 0, 3, 0):
        graph.update(node, "quantity", quantity)
        assert graph.get_group("both") == ((100, 101) if quantity else (6, 5))


def test_a_cycle_of_functions_of_the_graph_ends_with_what_made_it(graph: ReactiveGraph) -> None:
    node = graph.track(Position(quantity=0))
    names = ["one", "two", "three"]
    for name, other in zip(names, (*names[1:], "one"), strict=True):
        graph.multi_computed(
            name,
            lambda g, name=name, other=other: (
                g.get_group(other) + 1
                if g.get(node, "quantity") or name != "three"
                else g.get_field(node, "quantity")
            ),
        )
    for quantity in (0, 1, 0, 2, 0):
        graph.update(node, "quantity", quantity)
        if quantity:
            for name in names:
                with pytest.raises(ComputeError, match="depend on itself"):
                    graph.get_group(name)
        else:
            assert [graph.get_group(name) for name in names] == [2, 1, 0]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("cycles", [False, True])
def test_functions_of_the_graph_that_read_one_another_at_random(
    graph: ReactiveGraph, seed: int, cycles: bool
) -> None:
    rng = random.Random(seed)
    names = [f"m{k}" for k in range(6)]
    # In each state everybody reads some of those before it in an order of that state.
    reads: dict[tuple[int, str], list[str]] = {}
    for state in range(5):
        order = rng.sample(names, len(names))
        for at, name in enumerate(order):
            chosen = rng.sample(order[:at], min(at, rng.randrange(3)))
            if cycles and rng.random() < 0.2:
                chosen.append(rng.choice(order))
            reads[state, name] = chosen
    position = Position(quantity=0, current_price=1.0)
    node = graph.track(position)

    def define(name: str) -> None:
        graph.multi_computed(
            name,
            lambda g: (
                g.get(node, "current_price")
                + sum(map(g.get_group, reads[g.get(node, "quantity"), name]))
            ),
        )

    def expected(name: str, above: tuple[str, ...] = ()) -> float:
        if name in above:
            raise RecursionError
        below = reads[position.quantity, name]
        return (position.current_price or 0.0) + sum(expected(b, (*above, name)) for b in below)

    for name in rng.sample(names, len(names)):
        define(name)
    for _ in range(30):
        graph.update(node, *rng.choice([("quantity", rng.randrange(5)), ("current_price", 2.5)]))
        graph.update(node, "current_price", float(rng.randrange(9)))
        for name in names:
            try:
                value = expected(name)
            except RecursionError:
                with pytest.raises(ComputeError):
                    graph.get_group(name)
            else:
                assert graph.get_group(name) == value
