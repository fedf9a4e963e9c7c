"""Columns of ticks and bars: what traded, when that was known, and in how many ticks."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from store.registry import ColumnRegistry


def define_columns(registry: ColumnRegistry) -> None:
    """Add these columns to a registry."""
    _define_ticks(registry)
    _define_prices(registry)
    _define_amounts(registry)
    _define_description(registry)
    _define_times(registry)


def _define_ticks(registry: ColumnRegistry) -> None:
    registry.define(
        "size",
        Decimal,
        role="measure",
        unit="shares",
        format=",",
        category="bars",
        description="Amount that traded at once: shares, contracts or coins, exactly",
        synonyms=["trade size", "last size", "traded quantity"],
        sample_values=[Decimal(100), Decimal("0.25")],
        semantic_type="count",
        min_value=0,
    )
    for name, words in (("bid_size", "buyers at the best bid"), ("ask_size", "sellers at the ask")):
        side = name.split("_", maxsplit=1)[0]
        registry.define(
            name,
            Decimal,
            role="measure",
            unit="shares",
            format=",",
            aggregation="last",
            category="bars",
            description=f"Amount that {words} would take or give at that price now",
            synonyms=[f"{side} quantity", f"{side} volume"],
            sample_values=[Decimal(300)],
            semantic_type="count",
            nullable=True,
            min_value=0,
        )
    registry.define(
        "sequence",
        int,
        role="attribute",
        category="bars",
        description="Number by which a source counts the ticks of a symbol, to tell repeated ones",
        synonyms=["sequence number", "seq"],
        sample_values=[104_233],
        semantic_type="identifier",
        nullable=True,
        min_value=0,
    )
    registry.define(
        "source",
        str,
        role="dimension",
        category="bars",
        description="Feed or file that ticks came from; each counts sequences of its own",
        synonyms=["feed", "data source", "venue feed"],
        sample_values=["venue", "simulated"],
        semantic_type="code",
    )


def _define_prices(registry: ColumnRegistry) -> None:
    for name, words, synonyms in (
        ("open", "first", ["opening price", "open price"]),
        ("high", "highest", ["highest price", "high price"]),
        ("low", "lowest", ["lowest price", "low price"]),
        ("close", "last", ["closing price", "close price"]),
    ):
        registry.define(
            name,
            Decimal,
            role="measure",
            unit="price",
            format=",.2f",
            aggregation="last",
            category="bars",
            description=f"Price of the {words} trade within a bar, in the instrument's currency",
            synonyms=synonyms,
            sample_values=[Decimal("230.15")],
            semantic_type="price",
            nullable=True,
        )
    registry.define(
        "vwap",
        float,
        role="measure",
        unit="price",
        format=",.2f",
        aggregation="last",
        category="bars",
        description="Average price of a bar's trades, each weighed by its size",
        synonyms=["volume weighted average price", "average traded price"],
        sample_values=[230.12],
        semantic_type="price",
        nullable=True,
    )


def _define_amounts(registry: ColumnRegistry) -> None:
    registry.define(
        "count",
        int,
        role="measure",
        unit="count",
        format=",",
        category="bars",
        description="How many trades a bar is made of, repeated deliveries not counted",
        synonyms=["tick count", "number of trades", "trades"],
        sample_values=[1_204],
        semantic_type="count",
        min_value=0,
    )


def _define_description(registry: ColumnRegistry) -> None:
    registry.define(
        "interval",
        str,
        role="dimension",
        category="bars",
        description="What one bar covers: a length of time, a session, a week or an amount",
        synonyms=["timeframe", "bar size", "resolution", "period"],
        sample_values=["1m", "session", "1000 ticks"],
        semantic_type="code",
    )


def _define_times(registry: ColumnRegistry) -> None:
    for name, description, synonyms in (
        ("start", "When a bar begins; this moment belongs to it", ["bar start", "bar begin"]),
        ("end", "When a bar ends; this moment belongs to the next one", ["bar end", "bar close"]),
        ("received", "When a tick reached the platform, by its own clock", ["receipt time"]),
        ("recorded", "Since when a version of a bar is known in the store", ["known since"]),
    ):
        registry.define(
            name,
            datetime,
            role="attribute",
            category="bars",
            description=description,
            synonyms=synonyms,
            semantic_type="event_time",
            nullable=True,
        )
