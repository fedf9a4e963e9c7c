"""Raw and adjusted views of one record, as splits and dividends were known at a time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.store.desk import ADMIN_PASSWORD, Desk
from trading.bars import bars
from trading.corporate_actions import Action, CorporateActions, corporate_actions
from trading.errors import CorporateActionError
from trading.instruments import Dividend, Split
from trading.ticks import BarRecipe, TickStore

DAY_NS = 86_400 * 10**9
MONDAY = datetime(2026, 1, 5, tzinfo=timezone.utc)
TUESDAY = MONDAY + timedelta(days=1)
AT = int(MONDAY.timestamp()) * 10**9 + 15 * 3600 * 10**9


def ticks() -> pa.Table:
    """A trade at 400 with a quote on Monday, at 101 on Tuesday, at 99 on Wednesday."""
    return pa.table(
        {
            "timestamp": pa.array([AT, AT + DAY_NS, AT + 2 * DAY_NS], pa.timestamp("ns", "UTC")),
            "symbol": ["BRK.B"] * 3,
            "price": [400.0, 101.0, 99.0],
            "size": [10, 40, 8],
            "bid": [399.0, 100.0, 98.0],
            "ask": [401.0, 102.0, 100.0],
            "sequence": [1, 2, 3],
        }
    )


@pytest.fixture
def store(desk: Desk) -> Iterator[TickStore]:
    with TickStore({**desk.info, "user": "postgres", "password": ADMIN_PASSWORD}) as store:
        store.append(ticks())
        yield store


def split(new: int = 4, old: int = 1, at: datetime = TUESDAY) -> Split:
    return Split(symbol="BRK.B", ratio_new=new, ratio_old=old, timestamp=at)


def test_ticks_and_bars_are_shown_raw_and_adjusted(store: TickStore, desk: Desk) -> None:
    client = desk.client("alice")
    client.write(split())
    wednesday = TUESDAY + timedelta(days=1)
    dividend = Dividend(symbol="BRK.B", cash_per_share=Decimal("1.01"), timestamp=wednesday)
    client.write(dividend)
    actions = corporate_actions(client, ["BRK.B"])
    raw = store.read("BRK.B")
    seen = store.read("BRK.B", actions=actions)
    # The dividend is 1 % of Tuesday's last price.
    assert seen["price"].to_pylist() == pytest.approx([99.0, 99.99, 99.0])
    assert seen["bid"].to_pylist()[0] == pytest.approx(399 / 4 * 0.99)
    assert seen["size"].to_pylist() == [40.0, 40.0, 8.0]
    assert store.read("BRK.B").equals(raw)
    assert raw["price"].to_pylist() == [Decimal(400), Decimal(101), Decimal(99)]
    assert seen.schema.names == raw.schema.names

    recipe = BarRecipe("1D")
    store.bars.keep(bars(store.read(), "1D"), recipe)
    adjusted = store.bars.read("BRK.B", recipe, actions=actions)
    assert adjusted["close"].to_pylist() == pytest.approx([99.0, 99.99, 99.0])
    assert adjusted["vwap"].to_pylist() == pytest.approx([99.0, 99.99, 99.0])
    assert adjusted["volume"].to_pylist() == [40.0, 40.0, 8.0]
    # A split leaves the money that changed hands as it was.
    assert adjusted["notional"].to_pylist() == pytest.approx([3960.0, 3999.6, 792.0])
    assert store.bars.read("BRK.B", recipe)["close"].to_pylist()[0] == Decimal(400)
    # A part of the range is adjusted by what lies after it.
    part = store.bars.read("BRK.B", recipe, MONDAY, TUESDAY, actions=actions)
    assert part["close"].to_pylist() == pytest.approx([99.0])
    splits = corporate_actions(client, ["BRK.B"], dividends=False)
    assert store.read("BRK.B", actions=splits)["price"].to_pylist() == [100.0, 101.0, 99.0]


def test_the_view_is_that_of_what_was_known(store: TickStore, desk: Desk) -> None:
    client = desk.client("alice")
    wrong = split(new=2)
    client.write(wrong)
    [event] = client.history(Split, wrong._store_entity_id)
    first_known = event._store_tx_time
    assert first_known is not None
    wrong.ratio_new = 4
    client.update(wrong)
    [_first, second] = client.history(Split, wrong._store_entity_id)

    def first_price(**when: Any) -> float:
        actions = corporate_actions(client, **when)
        return float(store.read("BRK.B", actions=actions)["price"][0].as_py())

    assert first_price() == 100.0
    assert first_price(known_at=second._store_tx_time, until=TUESDAY) == 100.0
    assert first_price(known_at=first_known, until=TUESDAY) == 200.0
    assert first_price(known_at=first_known - timedelta(seconds=1), until=TUESDAY) == 400.0
    # An announced split changes nothing before it happens.
    assert first_price(until=TUESDAY - timedelta(seconds=1)) == 400.0
    client.delete(wrong)
    assert first_price() == 400.0


def test_who_may_not_read_an_action_sees_no_adjusted_price(store: TickStore, desk: Desk) -> None:
    desk.client("alice").write(split())
    assert corporate_actions(desk.client("mallory")).by_symbol == {}


def test_what_cannot_be_applied() -> None:
    week = bars(ticks(), "1W")
    actions = CorporateActions({"BRK.B": (Action(AT + DAY_NS, 4, 1),)})
    with pytest.raises(CorporateActionError, match="compose longer bars of the adjusted ones"):
        actions.adjust(week, lambda _symbol, _at: None)
    cash = CorporateActions({"BRK.B": (Action(AT + 1, cash=Decimal(1)),)})
    with pytest.raises(CorporateActionError, match="no price before it is kept"):
        cash.adjust(ticks(), lambda _symbol, _at: None)
    with pytest.raises(CorporateActionError, match=r"the last price was 0\.5"):
        cash.adjust(ticks(), lambda _symbol, _at: 0.5)


def test_a_day_that_an_action_falls_into_counts_as_after_it() -> None:
    days = bars(ticks(), "1D")
    opens = CorporateActions({"BRK.B": (Action(AT + DAY_NS, 4, 1),)})
    assert opens.adjust(days, lambda _symbol, _at: None)["close"].to_pylist() == [100, 101, 99]


RATIOS = st.lists(
    st.tuples(st.integers(0, 40), st.integers(1, 9), st.integers(1, 9)), max_size=5, unique=True
)


@given(ratios=RATIOS, times=st.lists(st.integers(0, 40), min_size=1, max_size=8))
def test_splits_multiply_and_money_stays(
    ratios: list[tuple[int, int, int]], times: list[int]
) -> None:
    times = sorted(times)
    table = pa.table(
        {
            "timestamp": pa.array(times, pa.timestamp("ns", "UTC")),
            "symbol": ["A"] * len(times),
            "price": np.arange(1, len(times) + 1) * 1.5,
            "size": np.full(len(times), 840),
        }
    )
    actions = CorporateActions({"A": tuple(Action(*ratio) for ratio in ratios)})
    seen = actions.adjust(table, lambda _symbol, _at: None)
    for row, at in enumerate(times):
        factor = 1.0
        for time, new, old in ratios:
            if at < time:
                factor *= new / old
        assert seen["price"][row].as_py() == pytest.approx((row + 1) * 1.5 / factor)
        assert seen["size"][row].as_py() == pytest.approx(840 * factor)
    other = table.set_column(1, "symbol", pa.array(["B"] * len(times)))
    assert actions.adjust(other, lambda _symbol, _at: None)["price"].equals(other["price"])
