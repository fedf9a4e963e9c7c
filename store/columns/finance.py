"""Columns of quotes, options, bonds and portfolio risk."""

from __future__ import annotations

from store.registry import ColumnRegistry


def define_columns(registry: ColumnRegistry) -> None:
    """Add these columns to a registry."""
    _define_quotes(registry)
    _define_markets(registry)
    _define_positions(registry)
    _define_statistics(registry)
    _define_options(registry)
    _define_bonds(registry)


def _define_quotes(registry: ColumnRegistry) -> None:
    registry.define(
        "bid",
        float,
        role="measure",
        unit="USD",
        category="finance",
        description="Highest price at which somebody in the market would buy now",
        synonyms=["bid price", "best bid", "buy price"],
        sample_values=[227.99],
        semantic_type="currency_amount",
        format=",.2f",
        min_value=0,
        nullable=True,
        aggregation="last",
    )
    registry.define(
        "ask",
        float,
        role="measure",
        unit="USD",
        category="finance",
        description="Lowest price at which somebody in the market would sell now",
        synonyms=["ask price", "best ask", "offer", "sell price"],
        sample_values=[228.01],
        semantic_type="currency_amount",
        format=",.2f",
        min_value=0,
        nullable=True,
        aggregation="last",
    )
    registry.define(
        "last",
        float,
        role="measure",
        unit="USD",
        category="finance",
        description="Price of the most recent trade in the market",
        synonyms=["last price", "last trade", "latest price"],
        sample_values=[228.0],
        semantic_type="currency_amount",
        format=",.2f",
        min_value=0,
        nullable=True,
        aggregation="last",
    )


def _define_markets(registry: ColumnRegistry) -> None:
    registry.define(
        "volume",
        int,
        role="measure",
        unit="shares",
        category="finance",
        description="Shares or contracts traded in the market since its last open",
        synonyms=["vol", "traded volume", "turnover in shares"],
        sample_values=[1250000],
        semantic_type="count",
        format=",d",
        min_value=0,
    )
    registry.define(
        "rate",
        float,
        role="measure",
        unit="ratio",
        category="finance",
        description="Exchange or interest rate: 1.08 for EUR/USD, 0.05 for 5% a year",
        synonyms=["fx rate", "exchange rate", "interest rate"],
        sample_values=[1.08, 0.05],
        semantic_type="ratio",
        format=".6g",
        aggregation="last",
    )
    registry.define(
        "pair",
        str,
        role="dimension",
        category="finance",
        description="Currency pair: one unit of the first costs `rate` units of the second",
        synonyms=["currency pair", "fx pair", "ccy pair", "cross"],
        sample_values=["EUR/USD", "USDJPY"],
        semantic_type="identifier",
        max_length=21,
        pattern="^[A-Z0-9]{2,10}/?[A-Z0-9]{2,10}$",
    )


def _define_positions(registry: ColumnRegistry) -> None:
    registry.define(
        "avg_cost",
        float,
        role="measure",
        unit="USD",
        category="finance",
        description="Average price paid for one unit of the position that is held",
        synonyms=["average cost", "cost basis", "average price", "entry price"],
        sample_values=[220.0],
        semantic_type="currency_amount",
        format=",.2f",
        min_value=0,
        aggregation="avg",
    )
    registry.define(
        "current_price",
        float,
        role="measure",
        unit="USD",
        category="finance",
        description="Price at which the position is valued now",
        synonyms=["mark", "market price", "mark price", "spot"],
        sample_values=[230.0],
        semantic_type="currency_amount",
        format=",.2f",
        min_value=0,
        aggregation="last",
    )
    registry.define(
        "notional",
        float,
        role="measure",
        unit="USD",
        category="finance",
        description="Value that a contract's payments are reckoned on: quantity times price",
        synonyms=["notional amount", "notional value", "exposure"],
        sample_values=[1000000.0],
        semantic_type="currency_amount",
        format=",.2f",
    )


def _define_statistics(registry: ColumnRegistry) -> None:
    registry.define(
        "daily_vol",
        float,
        role="measure",
        unit="ratio",
        category="finance",
        description="Standard deviation of daily returns: 0.02 for 2% a day",
        synonyms=["daily volatility", "one day volatility"],
        sample_values=[0.02],
        semantic_type="ratio",
        min_value=0,
        format=".2%",
    )
    registry.define(
        "z_score",
        float,
        role="measure",
        unit="standard deviations",
        category="finance",
        description="Distance of a value from its mean, in standard deviations",
        synonyms=["zscore", "standard score"],
        sample_values=[-1.5, 2.33],
        semantic_type="score",
        format=".2f",
        aggregation="avg",
    )
    registry.define(
        "confidence",
        float,
        role="measure",
        unit="probability",
        category="finance",
        description="Probability that a limit or statement holds: 0.95 for 95%",
        synonyms=["confidence level", "certainty"],
        sample_values=[0.95, 0.99],
        semantic_type="ratio",
        min_value=0,
        max_value=1,
        format=".1%",
    )


def _define_options(registry: ColumnRegistry) -> None:
    registry.define(
        "underlying_price",
        float,
        role="measure",
        unit="USD",
        category="finance",
        description="Price of the instrument that an option is written on",
        synonyms=["underlying", "price of the underlying"],
        sample_values=[228.0],
        semantic_type="currency_amount",
        format=",.2f",
        min_value=0,
        aggregation="last",
    )
    registry.define(
        "strike",
        float,
        role="attribute",
        unit="USD",
        category="finance",
        description="Price at which an option may be exercised",
        synonyms=["strike price", "exercise price"],
        sample_values=[240.0],
        semantic_type="currency_amount",
        format=",.2f",
        min_value=0,
    )
    registry.define(
        "time_to_expiry",
        float,
        role="measure",
        unit="years",
        category="finance",
        description="Time until an option expires, in years: 0.25 for three months",
        synonyms=["tte", "expiry", "time to maturity"],
        sample_values=[0.25],
        semantic_type="duration",
        min_value=0,
        format=".4f",
    )
    registry.define(
        "volatility",
        float,
        role="measure",
        unit="ratio",
        category="finance",
        description="Yearly standard deviation of returns: 0.25 for 25%",
        synonyms=["vol of returns", "sigma", "implied volatility", "annual volatility"],
        sample_values=[0.25],
        semantic_type="ratio",
        min_value=0,
        format=".1%",
    )
    registry.define(
        "risk_free_rate",
        float,
        role="measure",
        unit="ratio",
        category="finance",
        description="Yearly interest rate without credit risk, compounded continuously",
        synonyms=["riskless rate", "discount rate"],
        sample_values=[0.05],
        semantic_type="ratio",
        format=".2%",
        aggregation="last",
    )


def _define_bonds(registry: ColumnRegistry) -> None:
    registry.define(
        "isin",
        str,
        role="dimension",
        category="finance",
        description="International Securities Identification Number, with its check digit",
        synonyms=["security id", "isin code"],
        sample_values=["US0378331005"],
        semantic_type="identifier",
        max_length=12,
        pattern="^[A-Z]{2}[A-Z0-9]{9}[0-9]$",
        nullable=True,
        tags=["key"],
    )
    registry.define(
        "face_value",
        float,
        role="measure",
        unit="USD",
        category="finance",
        description="Amount that a bond repays at maturity",
        synonyms=["par value", "par", "nominal", "principal"],
        sample_values=[1000.0],
        semantic_type="currency_amount",
        format=",.2f",
        min_value=0,
    )
    registry.define(
        "coupon_rate",
        float,
        role="measure",
        unit="ratio",
        category="finance",
        description="Interest that a bond pays in a year, as a part of its face value: 0.05 for 5%",
        synonyms=["coupon", "nominal yield"],
        sample_values=[0.05],
        semantic_type="ratio",
        format=".3%",
    )
    registry.define(
        "yield_to_maturity",
        float,
        role="measure",
        unit="ratio",
        category="finance",
        description="Yearly return of a bond held until it is repaid: 0.045 for 4.5%",
        synonyms=["ytm", "yield"],
        sample_values=[0.045],
        semantic_type="ratio",
        format=".3%",
    )
    registry.define(
        "years_to_maturity",
        float,
        role="measure",
        unit="years",
        category="finance",
        description="Time until a bond is repaid, in years",
        synonyms=["maturity", "remaining life", "tenor"],
        sample_values=[7.5],
        semantic_type="duration",
        min_value=0,
        format=".2f",
    )
