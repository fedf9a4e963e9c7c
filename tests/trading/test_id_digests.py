"""Ids that a run remembers for ever, in few bytes each."""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from trading.orders.id_digests import IdDigests

NUMBERS = st.integers(-(2**63), 2**63 - 1)


@given(st.lists(st.tuples(st.text(max_size=12), NUMBERS)), NUMBERS)
def test_it_is_a_dict_of_first_numbers(pairs: list[tuple[str, int]], limit: int) -> None:
    kept, plain = IdDigests(), dict[str, int]()
    for name, number in pairs:
        assert kept.add(name, number) == plain.get(name)
        plain.setdefault(name, number)
    assert len(kept) == len(plain)
    copy = IdDigests()
    copy.load(kept.dump())
    copy.forget_up_to(limit)
    for name, number in plain.items():
        assert kept.get(name) == number
        assert copy.get(name) == (number if number > limit else None)
    assert kept.get("an id of more than twelve characters") is None


def test_the_dump_does_not_depend_on_the_order() -> None:
    names = [f"fill-{number}" for number in range(500)]
    one, other = IdDigests(), IdDigests()
    for number, name in enumerate(names):
        one.add(name, number)
    for number, name in reversed(list(enumerate(names))):
        other.add(name, number)
    assert one.dump() == other.dump()


def test_an_id_takes_few_bytes() -> None:
    tracemalloc.start()
    try:
        kept = IdDigests()
        before = tracemalloc.get_traced_memory()[0]
        for number in range(50_000):
            kept.add(f"fill-{number}", number)
        assert (tracemalloc.get_traced_memory()[0] - before) / 50_000 < 32
    finally:
        tracemalloc.stop()
