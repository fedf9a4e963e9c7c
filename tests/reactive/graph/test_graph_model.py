"""Random graphs, driven at random, equal a naive recomputation of everything after each step.

The model keeps definitions only and computes every value anew from the tracked objects. Effects
check the whole graph against it from within their callbacks: none of them may see half an update.
"""

from __future__ import annotations

import itertools
import logging
import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from reactive import Coalesce, Const, Expr, ExpressionError, Field, If
from reactive.aggregates.aggregate import weighted_mean
from reactive.errors import ComputeError, CycleError
from reactive.graph import ReactiveGraph
from reactive.graph.equality import same


@dataclass
class Position:
    price: float | None
    cost: float | None
    quantity: int
    book: str
    live: bool


FAILED = object()

# By name, the formulas that it may get; each reads only fields and names before it in this table.
FORMULAS: dict[str, list[Any]] = {
    "mv": [
        Field("price") * Field("quantity"),
        Coalesce([Field("price"), Field("cost"), Const(0.0)]) * 2,
        lambda position: position.quantity * 3.0,
    ],
    "pnl": [(Field("price") - Field("cost")) * Field("quantity"), Field("mv") - Field("cost")],
    "size": [If(Field("mv") < 0, -Field("mv"), Field("mv")), Field("mv") * 0 + Field("quantity")],
    "risk": [Field("size") + Field("pnl") / Field("cost"), Field("size") * Field("size")],
    # Hides the field of its name, except from its own formula.
    "cost": [Coalesce([Field("cost"), Const(1.0)])],
}
CONDITIONS = [Field("quantity") > 0, Field("live") & (Field("price") > 10), Field("book") == "A"]
MULTIS: list[Callable[[Any, list[str]], Any]] = [
    lambda graph, ids: [graph.get(i, "price") for i in ids],
    lambda graph, ids: sum(
        graph.get_field(i, "quantity") for i in ids if graph.get_field(i, "live")
    ),
    lambda graph, ids: graph.get(ids[0], "mv") - graph.get(ids[-1], "mv"),
]


def mean(values: list[Any]) -> Any:
    return statistics.mean(values) if values else None


def deviation(values: list[float]) -> Any:
    return statistics.stdev(values) if len(values) > 1 else None


def known(values: list[Any]) -> list[Any]:
    return [v for v in values if v is not None]


def naive_weighted_mean(pairs: list[Any]) -> Any:
    pairs = [(x, w) for x, w in pairs if x is not None and w is not None]
    weight = math.fsum(w for _, w in pairs)
    return math.fsum(x * w for x, w in pairs) / weight if weight else None


AGGREGATES: dict[str, tuple[Any, Callable[[list[Any]], Any]]] = {
    "sum": (sum, lambda values: math.fsum(known(values))),
    "min": ("min", lambda values: min(known(values), default=None)),
    "max": (max, lambda values: max(known(values), default=None)),
    "mean": (statistics.mean, lambda values: mean(known(values))),
    "count": (len, len),
    "std": ("std", lambda values: deviation([v + 0.0 for v in known(values)])),
    "first": ("first", lambda values: values[0] if values else None),
    "last": ("last", lambda values: values[-1] if values else None),
    "spread": (lambda values: max(known(values)) - min(known(values)),) * 2,
    "weighted": (weighted_mean("quantity"), naive_weighted_mean),
}


@dataclass
class Group:
    """What the model knows of a group; a rollup has no `reads`."""

    aggregate: str
    members: list[str]
    reads: Any = None
    key: str | None = None
    where: Expr | None = None
    everybody: bool = False
    removed: set[str] = field(default_factory=set)
    multi: Callable[[Any, list[str]], Any] | None = None


@dataclass
class Model:
    objects: dict[str, Position] = field(default_factory=dict)
    formulas: dict[str, dict[str, Any]] = field(default_factory=dict)
    overrides: dict[tuple[str, str], Any] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)

    def names(self, node: str) -> set[str]:
        return {"price", "cost", "quantity", "book", "live", *self.formulas[node]}

    def get(self, node: str, name: str) -> Any:
        value = self.value(node, name)
        if value is FAILED:
            raise ArithmeticError
        return value

    def get_field(self, node: str, name: str) -> Any:
        return getattr(self.objects[node], name)

    def value(self, node: str, name: str) -> Any:
        if (node, name) in self.overrides:
            return self.overrides[node, name]
        formula = self.formulas[node].get(name)
        if formula is None:
            return getattr(self.objects[node], name)
        if not isinstance(formula, Expr):
            return formula(self.objects[node])
        return self.evaluate(node, formula, name)

    def evaluate(self, node: str, formula: Expr, own: str = "") -> Any:
        row = {
            name: getattr(self.objects[node], name) if name == own else self.value(node, name)
            for name in formula.fields()
        }
        if FAILED in row.values():
            return FAILED
        try:
            return formula.eval(row)
        except ExpressionError:
            return FAILED

    def brought_in(self, group: Group, node: str) -> Any:
        if isinstance(group.reads, Expr):
            value = self.evaluate(node, group.reads)
        else:
            value = self.value(node, group.reads)
        if group.aggregate == "weighted":
            weight = self.value(node, "quantity")
            return FAILED if value is FAILED else (value, weight)
        return value

    def is_made_from(self, name: str, other: str) -> bool:
        group = self.groups[name]
        rolled_up = group.members if group.reads is None and group.multi is None else []
        return name == other or any(self.is_made_from(member, other) for member in rolled_up)

    def group(self, name: str) -> Any:
        group = self.groups[name]
        if group.multi is not None:
            try:
                return group.multi(self, group.members)
            except (ArithmeticError, AttributeError, LookupError, TypeError):
                return FAILED
        if group.reads is None:
            values: list[Any] = []
            for member in group.members:
                value = self.group(member)
                if self.groups[member].key is None:
                    values.append(value)
                elif value is FAILED:
                    return FAILED
                else:
                    values.extend(value.values())
            return self.reduce(group, values)
        members = group.members
        if group.where is not None:
            members = [m for m in members if self.evaluate(m, group.where) is True]
        if group.key is None:
            return self.reduce(group, [self.brought_in(group, m) for m in members])
        by_key: dict[Any, list[Any]] = {}
        for member in members:
            key = self.value(member, group.key)
            if key is not FAILED:
                by_key.setdefault(key, []).append(self.brought_in(group, member))
        reduced = {key: self.reduce(group, values) for key, values in by_key.items()}
        return FAILED if FAILED in reduced.values() else reduced

    def reduce(self, group: Group, values: list[Any]) -> Any:
        if any(value is FAILED for value in values):
            return FAILED
        try:
            return AGGREGATES[group.aggregate][1](values)
        except (ValueError, TypeError):
            return FAILED


def known_by_key(values: dict[Any, Any]) -> dict[Any, Any]:
    return {key: value for key, value in values.items() if value is not None}


def alike(seen: Any, expected: Any) -> bool:
    if isinstance(expected, dict):
        return (
            isinstance(seen, dict)
            and seen.keys() == expected.keys()
            and all(alike(seen[k], expected[k]) for k in expected)
        )
    if isinstance(expected, float) and isinstance(seen, float) and math.isfinite(expected):
        return math.isclose(seen, expected, rel_tol=1e-15)
    return same(seen, expected)


prices = st.none() | st.sampled_from([0.0, 10.5, 99.99, 1e9, -3.25, 0.1]) | st.floats(-1e4, 1e4)
wrong = st.just("not a number")
values_of = {
    "price": prices | wrong,
    "cost": prices,
    "quantity": st.integers(-5, 200),
    "book": st.sampled_from(["A", "B", "C"]),
    "live": st.booleans(),
}
fields = st.sampled_from(sorted(values_of))
writes = fields.flatmap(lambda name: st.tuples(st.just(name), values_of[name]))


class GraphMachine(RuleBasedStateMachine):
    nodes = Bundle("nodes")
    groups = Bundle("groups")

    def __init__(self) -> None:
        super().__init__()
        self.graph = ReactiveGraph()
        self.model = Model()
        self.named = 0
        self.effects: list[tuple[Any, Callable[[], Any], list[Any]]] = []
        self.keyed_effects: list[tuple[Any, str, dict[Any, Any]]] = []
        self.quiet = False
        self.problems: list[AssertionError] = []

    # --- nodes ------------------------------------------------------------------------------------

    @initialize(target=nodes)
    def begin(self) -> Any:
        return multiple(self.track(10.0, None, 3, "A"), self.track(None, 2.5, 1, "B"))

    @rule(
        target=nodes,
        price=prices,
        cost=prices,
        quantity=st.integers(-5, 200),
        book=values_of["book"],
    )
    def track(self, price: Any, cost: Any, quantity: int, book: str) -> str:
        position = Position(price, cost, quantity, book, True)
        self.quiet = True  # the model learns of the node only below
        node = self.graph.track(position)
        self.quiet = False
        self.model.objects[node] = position
        self.model.formulas[node] = {}
        self.welcome(node)
        return node

    def welcome(self, node: str) -> None:
        for group in self.model.groups.values():
            if group.everybody and node not in group.members and node not in group.removed:
                needed = {group.reads} if isinstance(group.reads, str) else group.reads.fields()
                if needed <= self.model.names(node):
                    group.members.append(node)

    @precondition(lambda self: len(self.model.objects) > 1)
    @rule(node=consumes(nodes))
    def untrack(self, node: str) -> None:
        self.quiet = True
        self.graph.untrack(node)
        self.quiet = False
        del self.model.objects[node], self.model.formulas[node]
        self.model.overrides = {k: v for k, v in self.model.overrides.items() if k[0] != node}
        for group in self.model.groups.values():
            if group.multi is None and group.reads is not None and node in group.members:
                group.members.remove(node)
        self.effects = [e for e in self.effects if e[0].attached]

    @rule(node=nodes, name=st.sampled_from(sorted(FORMULAS)), pick=st.integers(0, 2))
    def define(self, node: str, name: str, pick: int) -> None:
        formula = FORMULAS[name][pick % len(FORMULAS[name])]
        reads = formula.fields() if isinstance(formula, Expr) else set()
        if not reads <= self.model.names(node):
            with pytest.raises(KeyError):
                self.graph.computed(node, name, formula)
            return
        self.quiet = True
        self.graph.computed(node, name, formula)
        self.quiet = False
        self.model.formulas[node][name] = formula
        self.welcome(node)

    @rule(node=nodes, name=st.sampled_from(sorted(FORMULAS)), value=prices)
    def override(self, node: str, name: str, value: Any) -> None:
        if name not in self.model.formulas[node]:
            with pytest.raises(KeyError):
                self.graph.override(node, name, value)
            return
        self.model.overrides[node, name] = value
        self.graph.override(node, name, value)

    @rule(node=nodes, name=st.sampled_from(sorted(FORMULAS)))
    def clear_override(self, node: str, name: str) -> None:
        if name in self.model.formulas[node]:
            self.model.overrides.pop((node, name), None)
            self.graph.clear_override(node, name)

    # --- updates ----------------------------------------------------------------------------------

    @rule(node=nodes, write=writes)
    def update(self, node: str, write: tuple[str, Any]) -> None:
        self.graph.update(node, *write)

    @rule(node=nodes, changes=st.lists(writes, max_size=4).map(dict))
    def batch_update(self, node: str, changes: dict[str, Any]) -> None:
        self.graph.batch_update(node, changes)

    @rule(changes=st.lists(st.tuples(nodes, writes), max_size=6), look=st.booleans())
    def batch(self, changes: list[tuple[str, tuple[str, Any]]], look: bool) -> None:
        with self.graph.batch():
            for node, write in changes:
                self.graph.update(node, *write)
                if look:
                    self.check_all()

    @rule(changes=st.lists(st.tuples(nodes, writes), max_size=6))
    def batch_that_fails(self, changes: list[tuple[str, tuple[str, Any]]]) -> None:
        before = {node: vars(obj).copy() for node, obj in self.model.objects.items()}
        with pytest.raises(ZeroDivisionError):
            self.batch_and_fail(changes)
        assert before == {node: vars(obj) for node, obj in self.model.objects.items()}

    def batch_and_fail(self, changes: list[tuple[str, tuple[str, Any]]]) -> None:
        with self.graph.batch():
            for node, write in changes:
                self.graph.update(node, *write)
            raise ZeroDivisionError

    @rule(name=fields, chosen=st.lists(nodes, max_size=6), data=st.data())
    def update_many(self, name: str, chosen: list[str], data: st.DataObject) -> None:
        changes = [(node, data.draw(values_of[name])) for node in chosen]
        self.graph.update_many(name, changes)
        for node, value in dict(changes).items():
            assert same(getattr(self.model.objects[node], name), value)

    @rule(node=nodes, write=writes)
    def write_behind_its_back(self, node: str, write: tuple[str, Any]) -> None:
        setattr(self.model.objects[node], *write)
        self.graph.refresh(node)

    # --- groups -----------------------------------------------------------------------------------

    @rule(
        target=groups,
        aggregate=st.sampled_from(sorted(AGGREGATES)),
        reads=st.sampled_from(["price", "quantity", "mv", "size", Field("quantity") * 2]),
        chosen=st.lists(nodes, max_size=6, unique=True),
        key=st.sampled_from([None, None, "book", "quantity"]),
        where=st.sampled_from([None, None, *CONDITIONS]),
        everybody=st.booleans(),
    )
    def group(
        self,
        aggregate: str,
        reads: Any,
        chosen: list[str],
        key: str | None,
        where: Expr | None,
        everybody: bool,
    ) -> Any:
        if aggregate in ("first", "last") and (key or where is not None):
            return multiple()  # order depends on who moved when
        needed = {reads} if isinstance(reads, str) else reads.fields()
        able = [n for n in self.model.objects if needed <= self.model.names(n)]
        members = able if everybody else [n for n in dict.fromkeys(chosen) if n in able]
        name = self.new_name()
        self.model.groups[name] = Group(aggregate, list(members), reads, key, where, everybody)
        self.graph.group_computed(
            name,
            Position if everybody else members,
            reads,
            AGGREGATES[aggregate][0],
            key=key,
            where=where,
        )
        return name

    def new_name(self) -> str:
        self.named += 1
        return f"group {self.named}"

    @precondition(lambda self: self.model.groups)
    @rule(
        target=groups,
        aggregate=st.sampled_from(["sum", "max", "count", "spread", "mean"]),
        chosen=st.lists(groups, min_size=1, max_size=3, unique=True),
    )
    def rollup(self, aggregate: str, chosen: list[str]) -> Any:
        chosen = [c for c in chosen if self.rolls_up(c)]
        name = self.new_name()
        self.model.groups[name] = Group(aggregate, list(chosen))
        self.graph.rollup(name, chosen, AGGREGATES[aggregate][0])
        return name

    def rolls_up(self, name: str) -> bool:
        return self.model.groups[name].multi is None

    @rule(name=groups, member=groups)
    def add_to_rollup(self, name: str, member: str) -> None:
        group = self.model.groups[name]
        if group.multi is not None or group.reads is not None or not self.rolls_up(member):
            return
        if self.model.is_made_from(member, name):
            with pytest.raises(CycleError, match=name):
                self.graph.add_to_group(name, member)
            return
        if member not in group.members:
            group.members.append(member)
        self.graph.add_to_group(name, member)

    @rule(target=groups, pick=st.integers(0, 2), chosen=st.lists(nodes, min_size=1, max_size=4))
    def multi(self, pick: int, chosen: list[str]) -> str:
        name, function = self.new_name(), MULTIS[pick]
        self.model.groups[name] = Group("", chosen, multi=function)
        self.graph.multi_computed(name, lambda graph: function(graph, chosen))
        return name

    @rule(name=groups, node=nodes)
    def add_to_group(self, name: str, node: str) -> None:
        group = self.model.groups[name]
        if group.multi is not None or group.reads is None:
            return
        needed = {group.reads} if isinstance(group.reads, str) else group.reads.fields()
        if needed <= self.model.names(node):
            if node not in group.members:
                group.members.append(node)
            group.removed.discard(node)
            self.graph.add_to_group(name, node)
        else:
            with pytest.raises(KeyError):
                self.graph.add_to_group(name, node)

    @rule(name=groups, data=st.data())
    def remove_from_group(self, name: str, data: st.DataObject) -> None:
        group = self.model.groups[name]
        if group.multi is None and group.members:
            member = data.draw(st.sampled_from(group.members))
            group.members.remove(member)
            group.removed.add(member)
            self.graph.remove_from_group(name, member)

    @precondition(lambda self: len(self.model.groups) > 1)
    @rule(name=consumes(groups))
    def remove_group(self, name: str) -> None:
        del self.model.groups[name]
        for group in self.model.groups.values():
            if group.reads is None and group.multi is None and name in group.members:
                group.members.remove(name)
        self.graph.remove_group(name)
        self.effects = [e for e in self.effects if e[0].attached]

    # --- effects ----------------------------------------------------------------------------------

    @rule(node=nodes, name=st.sampled_from(["price", "mv", "size", "risk"]))
    def effect(self, node: str, name: str) -> None:
        if name in self.model.names(node):
            self.attach(
                lambda see: self.graph.effect(node, name, see), lambda: self.model.value(node, name)
            )

    @rule(name=groups)
    def group_effect(self, name: str) -> None:
        group = self.model.groups[name]
        if group.key is None:
            self.attach(
                lambda see: self.graph.group_effect(name, see), lambda: self.model.group(name)
            )
        else:
            told: dict[Any, Any] = {}
            effect = self.graph.group_effect(name, lambda _, changed: told.update(changed))
            self.keyed_effects.append((effect, name, told))

    def attach(self, attach: Callable[[Any], Any], expected: Callable[[], Any]) -> None:
        calls: list[Any] = []

        def see(_: str, value: Any) -> None:
            calls.append(value)
            try:
                if not self.quiet:
                    self.check_all()
                    assert alike(value, expected())
            except AssertionError as error:  # the graph would log it
                self.problems.append(error)

        effect = attach(see)
        self.effects.append((effect, expected, calls))
        value = expected()
        assert value is FAILED or (len(calls) == 1 and alike(calls[0], value))

    @precondition(lambda self: self.effects)
    @rule(pick=st.integers(0, 99))
    def remove_effect(self, pick: int) -> None:
        effect, _, _ = self.effects.pop(pick % len(self.effects))
        self.graph.remove_effect(effect)

    # --- what must hold ---------------------------------------------------------------------------

    @invariant()
    def everything_equals_the_model(self) -> None:
        self.check_all()
        for effect, expected, calls in self.effects:
            value = expected()
            assert value is FAILED or alike(calls[-1], value), effect
            for before, after in itertools.pairwise(calls):
                assert not same(before, after), f"{effect} fired for an equal value"
        assert not self.problems
        for effect, name, told in self.keyed_effects:
            value = self.model.group(name) if effect.attached else FAILED
            assert value is FAILED or alike(known_by_key(told), known_by_key(value)), effect

    def check_all(self) -> None:
        for node in self.model.objects:
            for name in self.model.names(node):
                read = partial(self.graph.get, node, name)
                self.compare(read, self.model.value(node, name), (node, name))
        for name, group in self.model.groups.items():
            expected = self.model.group(name)
            exact = group.aggregate == "sum" and group.key is None
            self.compare(partial(self.graph.get_group, name), expected, name, exact)

    def compare(
        self, read: Callable[[], Any], expected: Any, what: Any, exact: bool = False
    ) -> None:
        try:
            seen = read()
        except ComputeError:
            seen = FAILED
        equal = same if exact else alike
        assert seen is expected or equal(seen, expected), (what, seen, expected)


@pytest.fixture(autouse=True)
def quiet_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "reactive.graph")


GraphMachine.TestCase.settings = settings(stateful_step_count=30)
TestGraph = GraphMachine.TestCase
