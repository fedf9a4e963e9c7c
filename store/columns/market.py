"""Columns of instruments and their corporate actions: increments, sizes, contract terms."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from store.registry import ColumnRegistry


def define_columns(registry: ColumnRegistry) -> None:
    """Add these columns to a registry."""
    _define_description(registry)
    _define_increments(registry)
    _define_bounds(registry)
    _define_option_terms(registry)
    _define_corporate_actions(registry)


def _define_description(registry: ColumnRegistry) -> None:
    registry.define(
        "kind",
        str,
        role="dimension",
        category="market",
        description="What sort of instrument it is: a share, a future, an option, a pair, a coin",
        synonyms=["instrument kind", "asset class", "instrument type"],
        sample_values=["EQUITY", "FUTURE"],
        semantic_type="code",
        enum=["EQUITY", "FUTURE", "OPTION", "FX", "CRYPTO", "INDEX"],
    )
    registry.define(
        "currency",
        str,
        role="dimension",
        category="market",
        description="Currency in which an instrument is quoted and its profit or loss arises",
        synonyms=["ccy", "quote currency", "settlement currency"],
        sample_values=["USD", "EUR", "USDT"],
        semantic_type="code",
        max_length=12,
        pattern=r"^[A-Z0-9]+$",
    )
    registry.define(
        "calendar",
        str,
        role="dimension",
        category="market",
        description="Code of the exchange calendar with the sessions; empty when it never closes",
        synonyms=["exchange calendar", "trading calendar", "mic"],
        sample_values=["XNYS", "XOSL"],
        semantic_type="code",
        max_length=16,
    )
    registry.define(
        "negative_prices",
        bool,
        role="attribute",
        category="market",
        description="Whether the instrument may legally trade at a price below zero",
        synonyms=["may be negative", "allows negative prices"],
        sample_values=[False],
        semantic_type="flag",
    )


def _define_increments(registry: ColumnRegistry) -> None:
    registry.define(
        "price_increment",
        Decimal,
        role="attribute",
        unit="price",
        category="market",
        description="Smallest step between two prices of an instrument; every price is a multiple",
        synonyms=["tick size", "minimum price variation", "price step"],
        sample_values=[Decimal("0.01"), Decimal("0.25")],
        semantic_type="price",
        min_value=0,
    )
    registry.define(
        "size_increment",
        Decimal,
        role="attribute",
        unit="shares",
        category="market",
        description="Smallest step between two sizes of an instrument; every size is a multiple",
        synonyms=["lot size", "quantity step", "size step"],
        sample_values=[Decimal(1), Decimal("0.00001")],
        semantic_type="count",
        min_value=0,
    )
    registry.define(
        "multiplier",
        Decimal,
        role="attribute",
        unit="1",
        category="market",
        description="Money that a price of 1 and a size of 1 stand for: 50 for ES, 1 for shares",
        synonyms=["contract multiplier", "point value", "contract size"],
        sample_values=[Decimal(1), Decimal(50)],
        semantic_type="ratio",
        min_value=0,
    )


def _define_bounds(registry: ColumnRegistry) -> None:
    registry.define(
        "min_size",
        Decimal,
        role="attribute",
        unit="shares",
        category="market",
        description="Smallest quantity of one order that the market accepts",
        synonyms=["minimum quantity", "minimum order size"],
        sample_values=[Decimal(1)],
        semantic_type="count",
        nullable=True,
        min_value=0,
    )
    registry.define(
        "max_size",
        Decimal,
        role="attribute",
        unit="shares",
        category="market",
        description="Largest quantity of one order that the market accepts",
        synonyms=["maximum quantity", "maximum order size"],
        sample_values=[Decimal(10000)],
        semantic_type="count",
        nullable=True,
        min_value=0,
    )
    registry.define(
        "min_notional",
        Decimal,
        role="attribute",
        unit="currency",
        category="market",
        description="Smallest value of one order, in the currency of the instrument",
        synonyms=["minimum order value", "minimum notional"],
        sample_values=[Decimal(10)],
        semantic_type="currency_amount",
        nullable=True,
        min_value=0,
    )
    registry.define(
        "max_notional",
        Decimal,
        role="attribute",
        unit="currency",
        category="market",
        description="Largest value of one order, in the currency of the instrument",
        synonyms=["maximum order value", "maximum notional"],
        sample_values=[Decimal(1000000)],
        semantic_type="currency_amount",
        nullable=True,
        min_value=0,
    )


def _define_option_terms(registry: ColumnRegistry) -> None:
    registry.define(
        "underlying_symbol",
        str,
        role="dimension",
        category="market",
        description="Symbol of the instrument that an option or a future is written on",
        synonyms=["underlier", "root symbol"],
        sample_values=["AAPL"],
        semantic_type="identifier",
        nullable=True,
        max_length=64,
    )
    registry.define(
        "strike_price",
        Decimal,
        role="attribute",
        unit="price",
        category="market",
        description="Price at which an option may be exercised, exactly as its contract says",
        synonyms=["exact strike", "contract strike"],
        sample_values=[Decimal(190)],
        semantic_type="price",
        nullable=True,
    )
    registry.define(
        "expiry_date",
        date,
        role="attribute",
        category="market",
        description="Last day of an option or a future, in the time zone of its exchange",
        synonyms=["expiration date", "maturity date", "last trading day"],
        sample_values=[date(2024, 1, 19)],
        semantic_type="date",
        nullable=True,
    )


def _define_corporate_actions(registry: ColumnRegistry) -> None:
    registry.define(
        "ratio_new",
        int,
        role="attribute",
        unit="shares",
        category="market",
        description="Shares that are held after a split for each `ratio_old` before it",
        synonyms=["split to", "new shares"],
        sample_values=[4],
        semantic_type="count",
        min_value=1,
    )
    registry.define(
        "ratio_old",
        int,
        role="attribute",
        unit="shares",
        category="market",
        description="Shares that become `ratio_new` shares by a split",
        synonyms=["split from", "old shares"],
        sample_values=[1],
        semantic_type="count",
        min_value=1,
    )
    registry.define(
        "cash_per_share",
        Decimal,
        role="attribute",
        unit="currency",
        category="market",
        description="Cash dividend that is paid for each share held, before taxes",
        synonyms=["dividend", "dividend per share", "distribution"],
        sample_values=[Decimal("0.24")],
        semantic_type="currency_amount",
        min_value=0,
    )
