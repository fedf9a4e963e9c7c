"""Columns of orders, trades and signals."""

from __future__ import annotations

from datetime import datetime

from store.registry import ColumnRegistry


def define_columns(registry: ColumnRegistry) -> None:
    """Add these columns to a registry."""
    _define_instruments(registry)
    _define_numbers(registry)


def _define_instruments(registry: ColumnRegistry) -> None:
    registry.define(
        "symbol",
        str,
        role="dimension",
        category="trading",
        description="Ticker symbol of the traded instrument on its main market",
        synonyms=["ticker", "instrument", "security", "stock", "underlying", "ric"],
        sample_values=["AAPL", "BRK.B", "EUR/USD", "BTC-USD", "^GSPC", "ES=F"],
        semantic_type="identifier",
        # The market server and its clients have the same rule; a test compares them.
        max_length=40,
        pattern=r"^[A-Z0-9./=^:&|_+*$@#!-]+$",
        tags=["key"],
    )
    registry.define(
        "side",
        str,
        role="dimension",
        category="trading",
        description="Whether an order or trade buys or sells, seen from our own book",
        synonyms=["buy or sell", "buy sell", "action", "way"],
        sample_values=["BUY", "SELL"],
        semantic_type="code",
        enum=["BUY", "SELL"],
    )
    registry.define(
        "direction",
        str,
        role="dimension",
        category="trading",
        description="Where a signal expects the price to go, as the position that would profit",
        synonyms=["signal direction", "bias", "view"],
        sample_values=["LONG", "SHORT", "FLAT"],
        semantic_type="code",
        max_length=16,
        pattern=r"^[A-Z][A-Z_]*$",
    )
    registry.define(
        "order_type",
        str,
        role="dimension",
        category="trading",
        description="How the market may execute an order: at once, at a limit or after a stop",
        synonyms=["ord type", "execution type"],
        sample_values=["MARKET", "LIMIT"],
        semantic_type="code",
        enum=["MARKET", "LIMIT", "STOP", "STOP_LIMIT"],
    )
    registry.define(
        "option_type",
        str,
        role="dimension",
        category="trading",
        description="Whether an option gives the right to buy (CALL) or to sell (PUT)",
        synonyms=["call put", "put call", "right"],
        sample_values=["CALL", "PUT"],
        semantic_type="code",
        enum=["CALL", "PUT"],
    )
    registry.define(
        "timestamp",
        datetime,
        role="attribute",
        category="trading",
        description="When the order, trade or signal happened in the market, with its time zone",
        synonyms=["event time", "trade time", "execution time", "datetime"],
        semantic_type="event_time",
        nullable=True,
        format="%Y-%m-%d %H:%M:%S %Z",
    )


def _define_numbers(registry: ColumnRegistry) -> None:
    registry.define(
        "price",
        float,
        role="measure",
        unit="USD",
        aggregation="avg",
        category="trading",
        description="Price of one unit of the instrument in the trade, or the limit of the order",
        synonyms=["px", "execution price", "trade price", "limit price"],
        sample_values=[228.0, 415.25],
        semantic_type="currency_amount",
        min_value=0,
        format=",.2f",
    )
    registry.define(
        "quantity",
        int,
        role="measure",
        unit="shares",
        category="trading",
        description="Number of shares or contracts; negative where a short position is meant",
        synonyms=["qty", "order size", "shares", "units"],
        sample_values=[100, 2500],
        semantic_type="count",
        format=",d",
    )
    registry.define(
        "pnl",
        float,
        role="measure",
        unit="USD",
        category="trading",
        description="Profit (positive) or loss (negative), realised and unrealised together",
        synonyms=["profit and loss", "p&l", "profit", "gain", "loss"],
        sample_values=[1500.0, -320.5],
        semantic_type="currency_amount",
        format=",.2f",
    )
    registry.define(
        "strength",
        float,
        role="measure",
        unit="score",
        category="trading",
        description="How strong a signal is, from 0 (no opinion) to 1 (as strong as it gets)",
        synonyms=["signal strength", "conviction", "score"],
        sample_values=[0.25, 0.85],
        semantic_type="score",
        min_value=0,
        max_value=1,
        format=".2f",
    )
