"""Each aggregate, after any adds, changes and removals, equals what it is of the members left."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactive.aggregates.aggregate import Aggregate, aggregate_of, weighted_mean
from reactive.aggregates.exact_sum import PARTS_MAX, ExactSum
from reactive.errors import AggregateError

Numbers = list[Any]


def fsum_or_infinity(numbers: list[float]) -> float:
    """What `math.fsum` gives, and the exact answer where it raises."""
    if any(map(math.isnan, numbers)) or {math.inf, -math.inf} <= set(numbers):
        return math.nan
    if infinite := [x for x in numbers if math.isinf(x)]:
        return infinite[0]
    return rounded(sum(map(Fraction, numbers), Fraction(0)))


def rounded(exact: Fraction) -> float:
    try:
        return float(exact)
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


def same(left: Any, right: Any) -> bool:
    return left == right or (left != left and right != right)


floats = st.floats() | st.sampled_from([0.1, 1e16, -1e16, 1e-300, 1e308, -1e308, 5e-324])
finite = st.floats(allow_nan=False, allow_infinity=False)
steps = st.lists(
    st.tuples(st.sampled_from(["in", "out", "change", "batch"]), st.integers(0, 99)), max_size=60
)


def drive(aggregate: Aggregate, data: st.DataObject, values: st.SearchStrategy[Any]) -> Any:
    """Yield the running aggregate and the members' values in order of joining, after each step."""
    running = aggregate.start()
    members: dict[int, Any] = {}
    for number, (step, pick) in enumerate(data.draw(steps)):
        member = list(members)[pick % len(members)] if members else None
        if step == "in" or member is None:
            members[number] = data.draw(values)
            running.insert(number, members[number])
        elif step == "out":
            running.delete(member, members.pop(member))
        else:
            chosen = [member] if step == "change" else list(members)
            news = [data.draw(values) for _ in chosen]
            olds = [members[m] for m in chosen]
            if step != "batch" or not running.replace_many(olds, news):
                for m, old, new in zip(chosen, olds, news, strict=True):
                    running.replace(m, old, new)
            members.update(zip(chosen, news, strict=True))
        yield running, list(members.values())


@given(st.data())
def test_sum_of_floats_is_fsum(data: st.DataObject) -> None:
    for running, members in drive(aggregate_of("sum"), data, floats):
        assert same(running.value(), fsum_or_infinity(members)), members


@given(st.data())
def test_sum_of_anything_numeric_is_exact(data: st.DataObject) -> None:
    values = (
        st.none()
        | finite
        | st.integers()
        | st.booleans()
        | st.decimals(allow_nan=False, allow_infinity=False, places=4)
    )
    for running, members in drive(aggregate_of("sum"), data, values):
        known = [m for m in members if m is not None]
        exact = sum(map(Fraction, known), Fraction(0))
        seen = running.value()
        if any(isinstance(m, float) for m in known):
            assert seen == rounded(exact)
        else:
            assert Fraction(seen) == exact
            assert isinstance(seen, Decimal if any(isinstance(m, Decimal) for m in known) else int)


@given(st.data())
def test_mean_is_the_exact_mean_rounded_once(data: st.DataObject) -> None:
    for running, members in drive(aggregate_of("mean"), data, st.none() | st.floats(-1e300, 1e300)):
        known = [m for m in members if m is not None]
        assert running.value() == (statistics.mean(known) if known else None)


@given(st.data())
def test_std_is_the_sample_standard_deviation(data: st.DataObject) -> None:
    for running, members in drive(
        aggregate_of("std"), data, st.none() | st.floats(-1e100, 1e100) | st.integers(-9, 9)
    ):
        known = [m for m in members if m is not None]
        if len(known) < 2:
            assert running.value() is None
        else:
            assert running.value() == deviation(known)


def deviation(numbers: list[Any]) -> float:
    """By the definition, with a hundred digits: `statistics.stdev` is not as exact before 3.11."""
    exact = [Fraction(number) for number in numbers]
    mean = sum(exact, Fraction()) / len(exact)
    variance = sum(((x - mean) ** 2 for x in exact), Fraction()) / (len(exact) - 1)
    digits = Context(prec=100, Emax=MAX_EMAX, Emin=MIN_EMIN)
    quotient = digits.divide(Decimal(variance.numerator), Decimal(variance.denominator))
    return float(digits.sqrt(quotient))


@pytest.mark.parametrize(("name", "function"), [("min", min), ("max", max)])
@given(data=st.data())
def test_extremes(name: str, function: Callable[[Numbers], Any], data: st.DataObject) -> None:
    for running, members in drive(aggregate_of(name), data, st.none() | floats | st.integers()):
        known = [m for m in members if m is not None]
        if any(m != m for m in known):
            assert math.isnan(running.value())
        else:
            assert running.value() == (function(known) if known else None)


@given(st.data())
def test_extremes_of_text(data: st.DataObject) -> None:
    for running, members in drive(aggregate_of(max), data, st.text(max_size=3)):
        assert running.value() == max(members, default=None)


@given(st.data())
def test_weighted_mean(data: st.DataObject) -> None:
    number = st.none() | st.floats(-1e6, 1e6)
    for running, members in drive(weighted_mean("quantity"), data, st.tuples(number, number)):
        known = [(x, w) for x, w in members if x is not None and w is not None]
        weight = math.fsum(w for _, w in known)
        expected = math.fsum(x * w for x, w in known) / weight if weight else None
        assert running.value() == expected


@given(st.data())
def test_count_first_last_and_any_function(data: st.DataObject) -> None:
    for name, function in {
        "count": len,
        "first": lambda values: values[0] if values else None,
        "last": lambda values: values[-1] if values else None,
    }.items():
        for running, members in drive(aggregate_of(name), data, st.none() | st.integers()):
            assert running.value() == function(members)
    for running, members in drive(aggregate_of(tuple), data, st.none() | st.integers()):
        assert running.value() == tuple(members)


@given(st.lists(st.floats(1, 1e9), min_size=1, max_size=5), st.integers(0, 2**32))
def test_sum_does_not_drift_over_many_updates(start: list[float], seed: int) -> None:
    import random

    rng = random.Random(seed)
    total, members = ExactSum(), list(start)
    for member in members:
        total.insert(0, member)
    for _ in range(500):
        at = rng.randrange(len(members))
        new = rng.uniform(-1, 1) * 10 ** rng.randrange(-9, 9)
        total.replace(0, members[at], new)
        members[at] = new
    assert total.value() == math.fsum(members)
    assert len(total._parts) < 50, "the parts are folded, they do not pile up"


def test_well_known_functions_mean_the_incremental_aggregates() -> None:
    for function, name in [
        (sum, "sum"),
        (math.fsum, "sum"),
        (min, "min"),
        (max, "max"),
        (len, "count"),
        (statistics.mean, "mean"),
        (statistics.fmean, "mean"),
        (statistics.stdev, "std"),
    ]:
        assert aggregate_of(function) is aggregate_of(name)


def test_what_an_aggregate_does_not_take() -> None:
    with pytest.raises(AggregateError, match="no aggregate 'median'; there are count, first"):
        aggregate_of("median")
    with pytest.raises(TypeError, match="a sum takes numbers, given str 'AAPL'"):
        aggregate_of(sum).start().insert("a", "AAPL")


@pytest.mark.parametrize("odd", [None, 3, Decimal("1.5"), math.nan, math.inf])
@pytest.mark.parametrize("name", ["sum", "mean"])
def test_one_odd_member_does_not_make_each_change_dearer(name: str, odd: Any) -> None:
    """A sum that waits for its terms to be folded must not wait for ever."""
    running = aggregate_of(name).start()
    assert isinstance(running, ExactSum)
    running.insert("odd", odd)
    running.insert("a", 0.0)
    for number in range(500):
        running.replace("a", float(number), number + 1.0)
        running.value()
    assert len(running._parts) <= PARTS_MAX + 2


def test_weights_that_cancel_do_not_make_each_change_dearer() -> None:
    running: Any = weighted_mean("weight").start()
    running.insert("a", (1.5, 1.0))
    running.insert("b", (1.5, -1.0))
    for number in range(500):
        running.replace("a", (number + 0.5, 1.0), (number + 1.5, 1.0))
        assert running.value() is None
    assert len(running._products._parts) <= PARTS_MAX + 4


@pytest.mark.parametrize(
    "values",
    [
        [2**53, 2**53 + 1],
        [10**400, 10**400 + 2],
        [Decimal("0.1"), Decimal("0.2"), Decimal("1e20")],
        [Decimal("0.1"), 0.25, 7],
        [True, False],
    ],
)
def test_a_deviation_is_exact_for_all_numbers(values: list[Any]) -> None:
    running = aggregate_of("std").start()
    for at, value in enumerate(values):
        running.insert(at, value)
    exact = [Fraction(value) for value in values]
    assert math.isclose(running.value(), statistics.stdev(exact), rel_tol=1e-15)


@pytest.mark.parametrize("name", ["sum", "mean", "std"])
def test_text_is_no_number_even_if_it_looks_like_one(name: str) -> None:
    with pytest.raises(TypeError, match="takes numbers"):
        aggregate_of(name).start().insert("a", "1.5")


@pytest.mark.parametrize("name", ["sum", "mean", "std"])
def test_decimals_that_are_no_numbers_show_while_they_are_in(name: str) -> None:
    running = aggregate_of(name).start()
    running.insert("a", Decimal(1))
    running.insert("b", Decimal(1))
    before = running.value()
    for odd in (Decimal("NaN"), Decimal("sNaN")):
        running.insert("odd", odd)
        assert math.isnan(running.value())
        running.delete("odd", odd)
        assert running.value() == before
    running.insert("odd", Decimal("-Infinity"))
    assert running.value() == -math.inf or name == "std"
