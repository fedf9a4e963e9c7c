"""Columns of governed changes, of requests to an engine, and of what is settled at a day's end."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from store.columns.texts import Text, define_texts
from store.registry import ColumnRegistry


def define_columns(registry: ColumnRegistry) -> None:
    """Add these columns to a registry."""
    for names in (_CODES, _IDENTIFIERS, _TEXTS):
        define_texts(registry, "governance", *names)
    _define_times(registry)
    _define_days(registry)
    _define_figures(registry)


_CODES: tuple[str, str, tuple[Text, ...]] = (
    "dimension",
    "code",
    (
        ("control_action", "What an engine is asked to do: HALT, FLATTEN", "kill switch", "HALT"),
        ("outcome_code", "What became of a request or a change: OK, or why not", "result", "OK"),
        ("review_outcome", "What a review found: JUSTIFIED or NOT_JUSTIFIED", "finding", "OK"),
        ("mark_source", "Where a closing price came from: GIVEN, TICKS", "price source", "TICKS"),
    ),
)

_IDENTIFIERS: tuple[str, str, tuple[Text, ...]] = (
    "attribute",
    "identifier",
    (
        ("change_id", "A governed change, as entity:version", "change request", "9f2c:2"),
        ("review_id", "The review of a change made by one person alone", "review", "9f2c"),
        ("reviewed_by", "Who reviewed a change made by one person alone", "reviewer", "eve"),
        ("basis_hash", "A hash of what a report was computed from", "basis", "9f2c"),
    ),
)

_TEXTS: tuple[str, str, tuple[Text, ...]] = (
    "attribute",
    "text",
    (
        ("parameters_json", "Parameters of a strategy as JSON", "strategy settings", "{}"),
        ("change_reason", "Why somebody asks for a change", "justification", "new desk"),
        ("decision_reason", "Why a change was decided on as it was", "decision note", "agreed"),
        ("outcome_text", "More about what became of a request or a change", "result text", "done"),
        ("report_text", "A report as plain text", "statement", "P&L"),
        ("report_file", "The name of a report's file", "file name", "ACC_2026-02-20.html"),
        ("difference_text", "What does not agree between two books", "break", "AAPL 10, 12"),
        ("time_zone", "The time zone whose days count", "zone", "Europe/Oslo"),
    ),
)

_AMOUNTS: tuple[tuple[str, str, str, bool], ...] = (
    ("unrealized_amount", "Profit or loss of what is open, exactly", "open profit", True),
    ("market_amount", "What open positions are worth at their marks", "market value", True),
    ("day_amount", "Profit or loss of one day after fees", "daily profit", True),
    ("equity_amount", "Cash and market value", "net liquidation value", True),
    ("cash_amount", "Cash of an account", "cash balance", False),
    ("due_amount", "Money to be received, or paid when negative", "settlement amount", False),
)


def _define_times(registry: ColumnRegistry) -> None:
    for name, description, synonym in (
        ("effective_from", "From when on a change is in force", "start of validity"),
        ("approve_by", "Until when a change can be approved", "approval deadline"),
        ("known_until", "Up to when what was recorded counts in a report", "knowledge time"),
    ):
        registry.define(
            name,
            datetime,
            role="attribute",
            category="governance",
            description=description,
            synonyms=[synonym],
            semantic_type="event_time",
            nullable=True,
        )


def _define_days(registry: ColumnRegistry) -> None:
    for name, description, synonym in (
        ("business_day", "The day that a report or an obligation is of", "trade date"),
        ("settlement_day", "The day on which cash and securities change hands", "value date"),
    ):
        registry.define(
            name,
            date,
            role="dimension",
            category="governance",
            description=description,
            synonyms=[synonym],
            sample_values=[date(2026, 2, 20)],
            semantic_type="date",
            nullable=True,
        )


def _define_figures(registry: ColumnRegistry) -> None:
    for name, description, synonym, nullable in _AMOUNTS:
        registry.define(
            name,
            Decimal,
            role="measure",
            unit="USD",
            category="governance",
            description=description,
            synonyms=[synonym],
            sample_values=[Decimal("12.5")],
            semantic_type="currency_amount",
            nullable=nullable,
            format=",.2f",
        )
    registry.define(
        "mark_price",
        Decimal,
        role="measure",
        unit="price",
        aggregation="avg",
        category="governance",
        description="The price that a position is valued at, exactly",
        synonyms=["closing mark"],
        sample_values=[Decimal("228.25")],
        semantic_type="price",
        nullable=True,
        format=",.2f",
    )
    for name, description, synonym in (
        ("report_revision", "Which computation of a day a record is of, from 1", "restatement"),
        ("fills_count", "How many fills a report counts", "number of fills"),
    ):
        registry.define(
            name,
            int,
            role="attribute",
            category="governance",
            description=description,
            synonyms=[synonym],
            sample_values=[1],
            semantic_type="count",
        )
