"""The object way: `@computed` methods, `@effect`s, and assignments that are updates."""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest

from reactive import (
    ComputeError,
    CycleError,
    DuplicateNameError,
    Expr,
    Field,
    If,
    NotAnExpressionError,
    ReactiveGraph,
    UnknownNameError,
    computed,
    effect,
)

LIMIT = -5000
rate = 0.5


def helper(value: float) -> float:
    return value * 2


@dataclass
class Position:
    symbol: str = ""
    quantity: int = 0
    avg_cost: float = 0.0
    current_price: float | None = 0.0
    live: bool = True
    seen: list[Any] = field(default_factory=list, compare=False, repr=False)

    FEE: ClassVar[float] = 1.5

    @computed
    def pnl(self) -> float:
        """Unrealised profit."""
        return (self.current_price - self.avg_cost) * self.quantity  # type: ignore[operator]

    @computed
    def alert(self) -> str:
        return "STOP_LOSS" if self.pnl < LIMIT else "OK"

    @computed
    def label(self) -> str:
        return f"{self.symbol}: {self.alert}"

    @effect("pnl")
    def on_pnl(self, value: float) -> None:
        self.seen.append(value)


@pytest.fixture
def graph() -> ReactiveGraph:
    return ReactiveGraph()


@pytest.fixture
def position() -> Position:
    return Position("AAPL", 100, 220.0, 230.0)


def test_an_assignment_is_an_update(graph: ReactiveGraph, position: Position) -> None:
    node = graph.track(position)
    assert position.pnl == 1000.0
    position.current_price = 235.0
    assert (position.pnl, position.alert, position.label) == (1500.0, "OK", "AAPL: OK")
    assert graph.get(node, "pnl") == 1500.0
    position.current_price = 100.0
    assert position.label == "AAPL: STOP_LOSS"
    assert position.seen == [1000.0, 1500.0, -12000.0]


def test_an_object_that_is_not_tracked_computes_when_it_is_read(position: Position) -> None:
    position.current_price = 235.0
    assert (position.pnl, position.label) == (1500.0, "AAPL: OK")
    position.current_price = None
    assert position.pnl is None, "as the expression means it"
    assert position.seen == []


def test_batches_overrides_and_groups_of_objects(graph: ReactiveGraph) -> None:
    one, two = Position("A", 1, 0.0, 1.0), Position("B", 1, 0.0, 1.0)
    graph.group_computed("pnl", Position, "pnl", sum)
    node = graph.track(one)
    graph.track(two)
    totals: list[Any] = []
    graph.group_effect("pnl", lambda _, value: totals.append(value))
    with graph.batch():
        one.current_price = 10.0
        two.current_price = 20.0
        assert one.pnl == 10.0
    assert totals == [2.0, 30.0]
    graph.override(node, "pnl", -6000.0)
    assert (one.pnl, one.alert) == (-6000.0, "STOP_LOSS")
    graph.clear_override(node, "pnl")
    assert one.alert == "OK"


def test_a_computed_value_cannot_be_assigned(graph: ReactiveGraph, position: Position) -> None:
    for _ in range(2):
        with pytest.raises(AttributeError, match=r"Position.pnl is computed .* graph.override"):
            position.pnl = 5.0  # type: ignore[misc]
        graph.track(position)


def test_untracked_it_is_an_ordinary_object_again(graph: ReactiveGraph, position: Position) -> None:
    node = graph.track(position)
    graph.untrack(node)
    position.current_price = 0.0
    assert position.seen == [1000.0]
    assert position.pnl == -22000.0
    assert "_reactive_node" not in vars(position)
    graph.track(position)
    assert position.seen == [1000.0, -22000.0]


def test_copies_of_a_tracked_object_are_not_tracked(
    graph: ReactiveGraph, position: Position
) -> None:
    graph.track(position)
    twins = [
        copy.copy(position),
        copy.deepcopy(position),
        dataclasses.replace(position),
        pickle.loads(pickle.dumps(position)),
    ]
    for twin in twins:
        assert twin == position
        twin.current_price = 1.0
        assert twin.pnl == -21900.0
        assert position.pnl == 1000.0
        other = ReactiveGraph()
        other.track(twin)
        assert twin.pnl == -21900.0


def test_one_graph_at_a_time(graph: ReactiveGraph, position: Position) -> None:
    graph.track(position)
    with pytest.raises(DuplicateNameError, match="Position-1 in another graph"):
        ReactiveGraph().track(position)
    assert dataclasses.asdict(position)["symbol"] == "AAPL"
    assert "reactive" not in repr(position)


def test_an_effect_of_an_unknown_name(graph: ReactiveGraph) -> None:
    @dataclass
    class Wrong:
        x: int = 0

        @effect("nothing")
        def on_nothing(self, value: int) -> None: ...

    with pytest.raises(UnknownNameError, match="'nothing' in Wrong-1"):
        graph.track(Wrong())


def test_effects_on_fields_and_several_on_one_method(graph: ReactiveGraph) -> None:
    @dataclass
    class Order:
        price: float = 1.0
        quantity: int = 2
        log: list[Any] = field(default_factory=list)

        @effect("price")
        @effect("quantity")
        def changed(self, value: float) -> None:
            self.log.append(value)

    order = Order()
    graph.track(order)
    order.price = 5.0
    order.quantity = 6
    assert sorted(order.log[:2]) == [1.0, 2]
    assert order.log[2:] == [5.0, 6]


def test_an_effect_may_assign(graph: ReactiveGraph) -> None:
    @dataclass
    class Order:
        price: float = 1.0
        worst: float = 1.0

        @effect("price")
        def keep_worst(self, value: float) -> None:
            self.worst = min(self.worst, value)

        @computed
        def drop(self) -> float:
            return self.price - self.worst

    order = Order()
    graph.track(order)
    order.price = -3.0
    order.price = 2.0
    assert (order.worst, order.drop) == (-3.0, 5.0)


# --- kinds of classes -----------------------------------------------------------------------------


@dataclass(slots=True)
class Slotted:
    price: float = 1.0
    quantity: int = 2

    @computed
    def mv(self) -> float:
        return self.price * self.quantity


@dataclass(frozen=True)
class Frozen:
    price: float = 1.0

    @computed
    def double(self) -> float:
        return self.price * 2


@dataclass
class Checked:
    price: float = 1.0

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "price" and value < 0:
            raise ValueError("no negative prices")
        super().__setattr__(name, value)

    @computed
    def double(self) -> float:
        return self.price * 2


@dataclass
class CheckedMore(Checked):
    limit: float = 10.0

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "price" and value > 100:
            raise ValueError("no such prices")
        super().__setattr__(name, value)

    @computed
    def room(self) -> float:
        return self.limit - self.double

    @computed
    def double(self) -> float:
        return self.price * 3


def test_a_class_with_slots(graph: ReactiveGraph) -> None:
    slotted, other = Slotted(), Slotted()
    node = graph.track(slotted)
    slotted.price = 10.0
    assert (slotted.mv, other.mv, graph.get(node, "mv")) == (20.0, 2.0, 20.0)
    twin = copy.copy(slotted)
    twin.price = 1.0
    assert (twin.mv, slotted.mv) == (2.0, 20.0)
    graph.untrack(node)
    slotted.price = 5.0
    assert slotted.mv == 10.0


def test_a_frozen_class(graph: ReactiveGraph) -> None:
    frozen = Frozen(4.0)
    node = graph.track(frozen)
    assert (frozen.double, graph.get(node, "double")) == (8.0, 8.0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        frozen.price = 5.0  # type: ignore[misc]


def test_classes_that_check_what_is_assigned(graph: ReactiveGraph) -> None:
    base, more = Checked(), CheckedMore()
    for obj in (base, more):
        graph.track(obj)
        with pytest.raises(ValueError, match="no negative prices"):
            obj.price = -1.0
        obj.price = 2.0
    with pytest.raises(ValueError, match="no such prices"):
        more.price = 200.0
    assert (base.double, more.double, more.room) == (4.0, 6.0, 4.0)
    graph.update(more, "price", 3.0)  # type: ignore[arg-type]
    assert more.room == 1.0
    graph.update_many("price", {"CheckedMore-1": 4.0})
    assert more.room == -2.0


def test_a_subclass_has_its_own_meaning_of_inherited_values() -> None:
    assert repr(Checked.double.expr) == "price * 2"
    assert repr(CheckedMore.double.expr) == "price * 3"
    assert repr(CheckedMore.room.expr) == "limit - price * 3"
    assert Checked.double.expr.to_sql("data") == "(data->>'price')::float * 2"


# --- methods read as expressions ------------------------------------------------------------------


def test_a_method_is_an_expression_for_all_targets() -> None:
    assert Position.pnl.expr.to_sql("data") == (
        "((data->>'current_price')::float - (data->>'avg_cost')::float) "
        "* (data->>'quantity')::float"
    )
    assert Position.pnl.expr.to_pure("$pos") == (
        "(($pos.current_price - $pos.avg_cost) * $pos.quantity)"
    )
    assert Position.pnl.__doc__ == "Unrealised profit."
    pnl = (Field("current_price") - Field("avg_cost")) * Field("quantity")
    assert Position.alert.expr.equals(If(pnl < -5000, "STOP_LOSS", "OK")), "spelled out"


def test_a_method_that_is_none_says_why() -> None:
    with pytest.raises(NotAnExpressionError, match=r"Position.label: .* no counterpart"):
        Position.label.expr  # noqa: B018


class Methods:
    """What simple methods look like; each stands with the expression that it is."""

    price: float
    quantity: int
    name: str
    live: bool
    cost: float | None

    def arithmetic(self):  # type: ignore[no-untyped-def]
        return -self.price + 2 * self.quantity / 3 - self.cost % 4 + self.price**2

    def comparison(self):  # type: ignore[no-untyped-def]
        return 0 < self.price <= 100 and self.quantity != 5

    def logic(self):  # type: ignore[no-untyped-def]
        return not self.live or (self.price > 1 and self.quantity < 2)

    def choice(self):  # type: ignore[no-untyped-def]
        return "HIGH" if self.price > 1 else "MID" if self.price > 0.5 else "LOW"

    def nulls(self):  # type: ignore[no-untyped-def]
        return 0.0 if self.cost is None else self.cost

    def not_nulls(self):  # type: ignore[no-untyped-def]
        return self.cost is not None and self.cost != None  # noqa: E711

    def functions(self):  # type: ignore[no-untyped-def]
        return max(abs(self.price), math.sqrt(self.cost), round(self.price, 2)) + math.floor(1.5)

    def text(self):  # type: ignore[no-untyped-def]
        return self.name.startswith("A") and "PL" in self.name and len(self.name) > 3

    def joined(self):  # type: ignore[no-untyped-def]
        return "x" + self.name

    def membership(self):  # type: ignore[no-untyped-def]
        return self.name in ("A", "B") or self.quantity not in [1, 2]

    def statements(self):  # type: ignore[no-untyped-def]
        """With a docstring."""
        value: float = self.price * self.quantity
        if value > 1000:
            value = 1000.0
        elif self.live:
            return 0.0
        return value * 2

    def nothing(self):  # type: ignore[no-untyped-def]  # noqa: RET503
        if self.live:
            return 1

    def constants(self):  # type: ignore[no-untyped-def]
        return self.price * LIMIT + math.pi

    def flag(self):  # type: ignore[no-untyped-def]
        return 1 if self.live else 0


price, quantity, name = Field("price"), Field("quantity"), Field("name")
cost, live = Field("cost"), Field("live")
value = price * quantity
EXPRESSIONS: dict[str, Any] = {
    "arithmetic": "-price + 2 * quantity / 3 - cost % 4 + price ** 2",
    "comparison": "(0 < price) & (price <= 100) & (quantity != 5)",
    "logic": "~live | (price > 1) & (quantity < 2)",
    "choice": "If(price > 1, 'HIGH', If(price > 0.5, 'MID', 'LOW'))",
    "nulls": "If(IsNull(cost), 0.0, cost)",
    "not_nulls": "~IsNull(cost) & ~IsNull(cost)",
    "functions": "max(abs(price), sqrt(cost), round(price, 2)) + floor(1.5)",
    "text": "name.starts_with('A') & name.contains('PL') & (name.length() > 3)",
    "joined": "'x'.concat(name)",
    "membership": "In(name, ['A', 'B']) | ~In(quantity, [1, 2])",
    "statements": "If(price * quantity > 1000, 1000.0 * 2, If(live, 0.0, price * quantity * 2))",
    "nothing": "If(live, 1, None)",
    "constants": "price * -5000 + 3.141592653589793",
    "flag": "If(live, 1, 0)",
}


def class_with(method: Any) -> Any:
    fields = [("price", float), ("quantity", int), ("name", str), ("live", bool)]
    cls = dataclasses.make_dataclass(
        "Simple",
        [*fields, ("cost", float | None, None)],
        namespace={"result": computed(method)},
    )
    cls.result.__set_name__(cls, "result")
    return cls


@pytest.mark.parametrize("method", EXPRESSIONS)
def test_what_is_read(method: str) -> None:
    cls = class_with(getattr(Methods, method))
    assert repr(cls.result.expr) == EXPRESSIONS[method]


ROWS = [
    (1.5, 7, "APPLE", True, 2.25),
    (0.7, 1, "A", False, 4.0),
    (-2.0, 900, "B", True, 9.0),
    (500.0, 5, "xPLx", False, 1.0),
]


@pytest.mark.parametrize("method", [m for m in EXPRESSIONS if m != "not_nulls"])
@pytest.mark.parametrize("row", ROWS)
def test_what_is_read_gives_what_the_method_gives(method: str, row: tuple[Any, ...]) -> None:
    obj = class_with(getattr(Methods, method))(*row)
    graph = ReactiveGraph()
    expected = getattr(Methods, method)(obj)
    assert obj.result == pytest.approx(expected) if expected is not None else obj.result is None
    assert graph.get(graph.track(obj), "result") == obj.result


class Opaque:
    """What cannot be read; each runs as plain Python."""

    price: float
    quantity: int
    name: str

    def calls(self):  # type: ignore[no-untyped-def]
        return helper(self.price)

    def floors(self):  # type: ignore[no-untyped-def]
        return self.quantity // 2

    def truth(self):  # type: ignore[no-untyped-def]
        return 1 if self.price else 0

    def either(self):  # type: ignore[no-untyped-def]
        return self.price or 5.0

    def loops(self):  # type: ignore[no-untyped-def]
        total = 0.0
        for _ in range(3):
            total += self.price
        return total

    def variable(self):  # type: ignore[no-untyped-def]
        return self.price * rate

    def base(self):  # type: ignore[no-untyped-def]
        return math.log(self.quantity, 2)

    def keywords(self):  # type: ignore[no-untyped-def]
        return round(self.price, ndigits=1)

    def mixed(self):  # type: ignore[no-untyped-def]
        return self.name * self.quantity

    def listed(self):  # type: ignore[no-untyped-def]
        return [self.price, self.quantity]

    def upper(self):  # type: ignore[no-untyped-def]
        return self.name.upper()


@pytest.mark.parametrize("method", [m for m in vars(Opaque) if not m.startswith("_")])
def test_what_cannot_be_read_runs_as_it_is(method: str) -> None:
    function = getattr(Opaque, method)
    cls = class_with(function)
    with pytest.raises(NotAnExpressionError, match=rf"Opaque\.{method}: "):
        cls.result.expr  # noqa: B018
    graph = ReactiveGraph()
    obj = cls(*ROWS[0])
    node = graph.track(obj)
    assert obj.result == graph.get(node, "result") == function(obj)
    obj.price = 3.0
    obj.quantity = 4
    obj.name = "z"
    assert graph.get(node, "result") == function(obj)


def test_a_lambda_or_a_method_without_source_runs_as_it_is() -> None:
    namespace: dict[str, Any] = {}
    exec("def double(self): return self.price * 2", namespace)
    for function in (namespace["double"], lambda self: self.price * 2):
        cls = class_with(function)
        with pytest.raises(
            NotAnExpressionError, match=r"source is not available|not a function of self"
        ):
            cls.result.expr  # noqa: B018
        assert cls(*ROWS[0]).result == 3.0


# --- methods that run as plain Python -------------------------------------------------------------


def test_a_method_that_hides_what_it_reads_follows_all_that_is_above_it(
    graph: ReactiveGraph,
) -> None:
    runs: list[str] = []

    @dataclass
    class Book:
        bid: float = 1.0
        ask: float = 2.0
        note: str = ""

        def middle(self) -> float:
            return (self.bid + self.ask) / 2

        @computed
        def seen(self) -> str:
            runs.append("seen")
            return repr(self.bid)

        @computed
        def mid(self) -> float:
            runs.append("mid")
            return self.middle()

        @computed
        def text(self) -> str:
            return f"{self.mid} {self.seen}"

    book = Book()
    graph.track(book)
    runs.clear()
    book.note = "x"
    assert runs == ["mid"], "what it reads of itself is seen, what a helper reads is not"
    book.bid = 3.0
    assert (book.mid, book.seen, book.text) == (2.5, "3.0", "2.5 3.0")


def test_a_method_cannot_read_what_it_does_not_follow(graph: ReactiveGraph) -> None:
    @dataclass
    class Pair:
        x: float = 1.0
        other: Any = None

        def look(self, name: str) -> Any:
            return getattr(self, name)

        @computed
        def early(self) -> Any:
            return self.look("late")

        @computed
        def late(self) -> Any:
            return f"{self.x}"

        @computed
        def foreign(self) -> Any:
            return f"{self.other.late}" if self.other is not None else ""

    one, two = Pair(), Pair()
    graph.track(one)
    with pytest.raises(ComputeError, match=r"Pair\.early read Pair-1\.late"):
        one.early  # noqa: B018
    graph.track(two)
    one.other = two
    with pytest.raises(ComputeError, match=r"Pair\.foreign read Pair-2\.late"):
        one.foreign  # noqa: B018
    graph.multi_computed("both", lambda _: one.late + two.late)
    two.x = 5.0
    assert graph.get_group("both") == "1.05.0"


def test_methods_that_depend_on_themselves_are_refused_by_name(graph: ReactiveGraph) -> None:
    @dataclass
    class Ring:
        x: float = 1.0

        @computed
        def a(self) -> Any:
            return self.b + 1

        @computed
        def b(self) -> Any:
            return self.a if self.x > 0 else self.x

    with pytest.raises(CycleError, match=r"a → b → a|b → a → b"):
        graph.track(Ring())
    with pytest.raises(CycleError):
        Ring.a.expr  # noqa: B018


def test_a_method_that_raises_fails_alone(graph: ReactiveGraph) -> None:
    @dataclass
    class Fraction:
        top: float = 1.0
        bottom: float = 0.0

        @computed
        def value(self) -> float:
            return divmod(self.top, self.bottom)[0]

        @computed
        def double(self) -> float:
            return self.top * 2

    fraction = Fraction()
    graph.track(fraction)
    with pytest.raises(ComputeError) as caught:
        fraction.value  # noqa: B018
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    fraction.bottom = 0.5
    assert (fraction.value, fraction.double) == (2.0, 2.0)


def test_computed_methods_and_definitions_of_the_graph_go_together(
    graph: ReactiveGraph, position: Position
) -> None:
    node = graph.track(position)
    graph.computed(node, "loud", Field("alert").lower())
    graph.computed(node, "shown", lambda p: f"{p.pnl:.0f}")
    position.current_price = 1.0
    assert graph.get(node, "loud") == "stop_loss"
    assert graph.get(node, "shown") == "-21900"
    assert isinstance(Position.pnl.expr, Expr)


def test_a_class_with_room_may_extend_one_with_slots() -> None:
    @dataclass(slots=True)
    class Slotted:
        x: float = 1.0

        @computed
        def double(self) -> float:
            return self.x * 2

    @dataclass
    class Roomy(Slotted):
        z: float = 1.0

        @computed
        def total(self) -> float:
            return self.double + self.z

    graph = ReactiveGraph()
    slotted, roomy = Slotted(), Roomy()
    graph.track(slotted)
    graph.track(roomy)
    slotted.x, roomy.x = 3.0, 5.0
    assert (slotted.double, roomy.double, roomy.total) == (6.0, 10.0, 11.0)
    graph.untrack(roomy)
    graph.untrack(slotted)
    slotted.x = roomy.x = 1.0
    assert (slotted.double, roomy.total) == (2.0, 3.0)


def test_an_effect_on_nothing_leaves_the_object_untracked() -> None:
    @dataclass
    class Mistyped:
        price: float = 1.0

        @effect("pirce")
        def on_price(self, value: float) -> None: ...

    graph, obj = ReactiveGraph(), Mistyped()
    for _ in range(2):
        with pytest.raises(UnknownNameError, match=r"'pirce'.* there are: price"):
            graph.track(obj)
    with pytest.raises(UnknownNameError):
        graph.get(obj, "price")  # type: ignore[arg-type]
