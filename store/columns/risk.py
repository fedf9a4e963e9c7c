"""Columns of the risk tables: values of positions and the Greeks."""

from __future__ import annotations

from store.registry import ColumnRegistry


def define_columns(registry: ColumnRegistry) -> None:
    """Add these columns to a registry."""
    _define_values(registry)
    _define_changes(registry)
    _define_greeks(registry)


def _define_values(registry: ColumnRegistry) -> None:
    registry.define(
        "position",
        int,
        role="measure",
        unit="shares",
        category="risk",
        description="Shares held now; negative when they are sold short",
        synonyms=["holding", "net position", "inventory"],
        sample_values=[100, -50],
        semantic_type="count",
        format=",d",
    )
    registry.define(
        "market_value",
        float,
        role="measure",
        unit="USD",
        category="risk",
        description="Price times position: what it would cost to replace it now",
        synonyms=["mv", "MarketValue", "position value", "TotalMV"],
        sample_values=[22800.0],
        semantic_type="currency_amount",
        format=",.2f",
    )
    registry.define(
        "unrealized_pnl",
        float,
        role="measure",
        unit="USD",
        category="risk",
        description="Profit or loss of a position that is still held, at the present price",
        synonyms=["UnrealizedPnL", "open pnl", "paper profit"],
        sample_values=[1000.0],
        semantic_type="currency_amount",
        format=",.2f",
    )
    registry.define(
        "realized_pnl",
        float,
        role="measure",
        unit="USD",
        category="risk",
        description="Profit or loss of what has been sold or bought back",
        synonyms=["RealizedPnL", "closed pnl", "booked profit"],
        sample_values=[250.0],
        semantic_type="currency_amount",
        format=",.2f",
    )


def _define_changes(registry: ColumnRegistry) -> None:
    registry.define(
        "change",
        float,
        role="measure",
        unit="USD",
        category="risk",
        description="Price now less the price at the start of the session",
        synonyms=["price change", "move", "net change"],
        sample_values=[1.25],
        semantic_type="currency_amount",
        format="+,.2f",
        aggregation="last",
    )
    registry.define(
        "change_pct",
        float,
        role="measure",
        unit="percent",
        category="risk",
        description="Price change since the start of the session, in percent: 1.5 for 1.5%",
        synonyms=["ChangePct", "percent change", "return in percent"],
        sample_values=[1.5],
        semantic_type="ratio",
        format="+.2f",
        aggregation="last",
    )
    registry.define(
        "risk_score",
        float,
        role="measure",
        unit="points",
        category="risk",
        description="Risk of a position as one number: market value times a weight",
        synonyms=["RiskScore", "risk points", "risk weight"],
        sample_values=[5700.0],
        semantic_type="score",
        format=",.2f",
    )


def _define_greeks(registry: ColumnRegistry) -> None:
    registry.define(
        "delta",
        float,
        role="measure",
        unit="USD/USD",
        # As in the portfolio summary: that of a book is the sum of its positions'.
        aggregation="sum",
        category="risk",
        description="Change in value of an option or position as its underlying rises by a dollar",
        synonyms=["option delta", "hedge ratio"],
        sample_values=[0.55],
        semantic_type="sensitivity",
        format=".4f",
    )
    registry.define(
        "gamma",
        float,
        role="measure",
        unit="1/USD",
        category="risk",
        description="Change of delta when the underlying rises by a dollar",
        synonyms=["option gamma", "convexity"],
        sample_values=[0.012],
        semantic_type="sensitivity",
        format=".4f",
    )
    registry.define(
        "theta",
        float,
        role="measure",
        unit="USD/year",
        category="risk",
        description="Change in value of an option or position as a year passes; mostly negative",
        synonyms=["time decay", "option theta"],
        sample_values=[-18.4],
        semantic_type="sensitivity",
        format=".4f",
    )
    registry.define(
        "vega",
        float,
        role="measure",
        unit="USD/1.00 vol",
        category="risk",
        description="Change in value of an option or position when volatility rises by 1.00",
        synonyms=["volatility sensitivity", "option vega"],
        sample_values=[45.2],
        semantic_type="sensitivity",
        format=".4f",
    )
