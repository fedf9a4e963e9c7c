"""Columns that classes of any domain use."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from store.registry import ColumnRegistry


def define_columns(registry: ColumnRegistry) -> None:
    """Add these columns to a registry."""
    _define_words(registry)
    _define_remarks(registry)
    _define_numbers(registry)
    _define_sizes(registry)
    _define_times(registry)


def _define_words(registry: ColumnRegistry) -> None:
    registry.define(
        "name",
        str,
        role="dimension",
        description="Name of a person, firm or thing, as people write it",
        synonyms=["full name", "called"],
        sample_values=["Ada Lovelace", "Northern Desk"],
        semantic_type="person_name",
        max_length=200,
        allowed_prefixes=["trader", "salesperson", "client"],
    )
    registry.define(
        "label",
        str,
        role="attribute",
        description="Short text that marks a thing on a screen or chart",
        synonyms=["caption", "mark text"],
        sample_values=["Q1 hedge"],
        semantic_type="text",
        max_length=200,
    )
    registry.define(
        "title",
        str,
        role="attribute",
        description="Heading of a document, alert or chart",
        synonyms=["heading", "headline"],
        sample_values=["Daily risk report"],
        semantic_type="text",
        max_length=300,
    )
    registry.define(
        "color",
        str,
        role="attribute",
        description="Colour on a screen or of a thing, by name or as #rrggbb",
        synonyms=["colour", "hue"],
        sample_values=["red", "#1f77b4"],
        semantic_type="text",
        max_length=32,
    )
    registry.define(
        "status",
        str,
        role="dimension",
        description="Where a thing stands in its life, as its own system calls it",
        synonyms=["order status", "progress", "condition"],
        sample_values=["PENDING", "FILLED"],
        semantic_type="code",
        max_length=32,
    )


def _define_remarks(registry: ColumnRegistry) -> None:
    registry.define(
        "notes",
        str,
        role="attribute",
        description="Free remarks for other people to read",
        synonyms=["comment", "remarks", "memo"],
        sample_values=["Client asked for a fill before the close"],
        semantic_type="text",
        nullable=True,
        sensitivity="internal",
    )
    registry.define(
        "tags",
        list[str],
        role="attribute",
        description="Words that things are grouped and found by",
        synonyms=["keywords", "labels"],
        sample_values=[["hedge", "urgent"]],
        semantic_type="keywords",
        max_length=100,
    )
    registry.define(
        "unit",
        str,
        role="attribute",
        description="What one of the value counts: a currency code, a measure or a thing",
        synonyms=["unit of measure", "uom"],
        sample_values=["USD", "shares"],
        semantic_type="code",
        max_length=32,
    )
    registry.define(
        "model_name",
        str,
        role="dimension",
        description="Name of the model or strategy that made a signal or number",
        synonyms=["model", "strategy name", "algo"],
        sample_values=["momentum_v2"],
        semantic_type="identifier",
        max_length=100,
    )


def _define_numbers(registry: ColumnRegistry) -> None:
    registry.define(
        "weight",
        float,
        role="measure",
        unit="ratio",
        description="Share of a thing in a whole, as of a position in its portfolio: 0.05 for 5%",
        synonyms=["portfolio weight", "allocation"],
        sample_values=[0.05],
        semantic_type="ratio",
        format=".4g",
        aggregation="sum",
    )
    registry.define(
        "amount",
        Decimal,
        role="measure",
        unit="USD",
        description="Sum of money to the last digit, as it is booked and paid",
        synonyms=["sum of money", "cash", "payment"],
        sample_values=[Decimal("1250.75")],
        semantic_type="currency_amount",
        format=",.2f",
    )
    registry.define(
        "value",
        float,
        role="measure",
        unit="as stated",
        description="Number that is measured or computed; `unit` or the class says of what",
        synonyms=["reading", "measurement", "level"],
        sample_values=[42.5],
        semantic_type="number",
        format=",.6g",
        aggregation="avg",
    )


def _define_sizes(registry: ColumnRegistry) -> None:
    registry.define(
        "width",
        float,
        role="measure",
        unit="pixels",
        description="Extent from left to right",
        synonyms=["breadth"],
        sample_values=[1280.0],
        semantic_type="length",
        min_value=0,
        format=",.6g",
        aggregation="max",
    )
    registry.define(
        "height",
        float,
        role="measure",
        unit="pixels",
        description="Extent from bottom to top",
        synonyms=["tallness"],
        sample_values=[720.0],
        semantic_type="length",
        min_value=0,
        format=",.6g",
        aggregation="max",
    )
    registry.define(
        "threshold",
        float,
        role="attribute",
        description="Limit at which an alert fires or a rule takes hold",
        synonyms=["trigger level", "cutoff"],
        sample_values=[5000.0],
        semantic_type="number",
        format=",.6g",
    )


def _define_times(registry: ColumnRegistry) -> None:
    registry.define(
        "ts",
        datetime,
        role="attribute",
        description="When a value was measured or computed, with its time zone",
        synonyms=["measured at", "as of time"],
        semantic_type="event_time",
        nullable=True,
        format="%Y-%m-%d %H:%M:%S %Z",
    )
    registry.define(
        "created",
        date,
        role="attribute",
        description="Day on which a thing was set up",
        synonyms=["created on", "creation date", "inception"],
        semantic_type="date",
        nullable=True,
        format="%Y-%m-%d",
    )
    registry.define(
        "active",
        bool,
        role="dimension",
        description="Whether a thing is in use now",
        synonyms=["enabled", "is active", "live"],
        sample_values=[True, False],
        semantic_type="flag",
    )
