"""Numbers and times in the terminal: with the digits that they have, in the zone of the machine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.desk import PRICE, QUANTITY, SIGNED_PRICE, formatted


@pytest.mark.parametrize(
    ("price", "shown"),
    [
        (228.13, "228.13"),
        (228.0, "228.00"),
        (1.08345, "1.08345"),
        (0.00001234, "0.00001234"),
        (0.0000000123, "0.0000000123"),
        (99.484375, "99.484375"),
        (60_001.5, "60,001.50"),
        (1_234_567.891, "1,234,567.89"),
        (0.1 + 0.2, "0.30"),
        (-37.63, "-37.63"),
        (0.0, "0.00"),
        (float("nan"), "nan"),
    ],
)
def test_prices_have_their_digits(price: float, shown: str) -> None:
    assert formatted(price, PRICE) == shown


def test_changes_have_a_sign() -> None:
    assert formatted(1.08345 - 1.0834, SIGNED_PRICE) == "+0.00005"
    assert formatted(-0.5, SIGNED_PRICE) == "-0.50"


def test_quantities_are_whole_or_fractions() -> None:
    assert [formatted(q, QUANTITY) for q in (1_500, 0.4, 1.8e19)] == [
        "1,500",
        "0.4",
        "18,000,000,000,000,000,000",
    ]


@given(
    st.decimals("0.00000001", "99999.999", places=8).filter(
        lambda d: d.normalize().adjusted() - d.normalize().as_tuple().exponent < 8
    )
)  # type: ignore[operator]
def test_up_to_eight_digits_nothing_is_lost(price: object) -> None:
    assert float(formatted(float(price), PRICE).replace(",", "")) == float(price)  # type: ignore[arg-type]


@pytest.fixture
def tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("tokyo")
def test_times_are_those_of_this_machine_and_say_so() -> None:
    import pandas as pd

    moment = datetime(2026, 2, 20, 20, 30, tzinfo=timezone.utc)
    for value in (moment, pd.Timestamp(moment)):
        assert formatted(value, "%H:%M:%S %Z") == "05:30:00 JST"
