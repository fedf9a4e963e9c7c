"""Columns of what a trading engine records: orders, fills, matches, decisions, its journal."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from store.columns.texts import Text, define_texts
from store.registry import ColumnRegistry


def define_columns(registry: ColumnRegistry) -> None:
    """Add these columns to a registry."""
    for names in (_CODES, _IDENTIFIERS, _TEXTS):
        define_texts(registry, "engine", *names)
    _define_amounts(registry)
    _define_counts(registry)
    _define_others(registry)


_CODES: tuple[str, str, tuple[Text, ...]] = (
    "dimension",
    "code",
    (
        ("order_kind", "How an order is executed, trailing stops too", "kind of order", "LIMIT"),
        ("time_in_force", "How long an order works: DAY, GTC, GTD, IOC, FOK", "tif", "GTC"),
        ("order_event", "What led an order to the state that it has", "order change", "ACCEPTED"),
        ("group_role", "What an order is in its group: ENTRY, TARGET, STOP", "leg role", "ENTRY"),
        ("fill_note", "What was unusual about a fill: LATE, OVERFILL", "fill remark", "LATE"),
        ("cash_reason", "Why cash moved without a fill", "cash movement type", "TRANSFER"),
        ("signal_action", "What a strategy wants to do", "signal type", "BUY"),
        ("decision_kind", "Which part of the engine decided", "decider", "RISK"),
        ("decision_code", "The outcome of a decision: OK or the reason", "refusal code", "OK"),
        ("alert_code", "Which kind of alert a person must see", "alert type", "OVERFILL"),
        ("trading_state", "Whether an account may trade", "kill switch", "ACTIVE"),
    ),
)

_IDENTIFIERS: tuple[str, str, tuple[Text, ...]] = (
    "dimension",
    "identifier",
    (
        ("account", "The account that an order or a position belongs to", "book", "ACC"),
        ("run", "The run that made a record: live, paper or another", "session name", "live"),
        ("strategy", "The strategy that an order or position belongs to", "alpha", "sma_cross"),
        ("order_id", "The order's id here and at the broker", "client order id", "ACC.live.4-1"),
        ("parent_id", "The order that an order of a group waits for", "parent order", "4-1"),
        ("group_id", "The bracket or other group that an order is in", "bracket id", "4-1"),
        ("command_id", "The command that asked for something, once", "request id", "c-1"),
        ("fill_id", "The execution's id as the broker gave it", "execution id", "T17"),
        ("corrected_id", "The execution that stands for a corrected one", "correction id", "T18"),
        ("open_fill_id", "The fill that opened what a match closes", "opening fill", "T1"),
        ("open_order_id", "The order that opened what a match closes", "opening order", "4-1"),
        ("close_fill_id", "The fill that closed a piece of a lot", "closing fill", "T2"),
        ("close_order_id", "The order that closed a piece of a lot", "closing order", "5-1"),
        ("signal_id", "The signal of a strategy within its run", "signal reference", "9-1"),
        ("subject_id", "What a decision or an alert is about", "concerns", "4-1"),
        ("limits_id", "The limits that held for a decision", "limit set", "L1"),
        ("strategy_version", "The version of the strategy's code", "code version", "1.0"),
        ("parameters_hash", "A hash of the strategy's parameters", "parameter hash", "9f2c"),
        ("requested_by", "Who asked for a change of limits", "proposer", "ann"),
        ("approved_by", "Who approved a change of limits", "approver", "eve"),
        ("state_changed_by", "Who changed the trading state of an account", "halted by", "eve"),
        ("digest", "Hash over everything that a run has said", "run hash", "9f2c"),
    ),
)

_TEXTS: tuple[str, str, tuple[Text, ...]] = (
    "attribute",
    "text",
    (
        ("order_tag", "What a person or program wrote on an order", "order label", "hedge"),
        (
            "order_steps",
            "What happened to an order in one group of the journal, in order",
            "order changes",
            "INITIALIZED SUBMITTED",
        ),
        ("order_detail", "More about the state of an order", "state detail", "by ann"),
        ("cash_subject", "What a movement of cash was for", "cash reference", "AAPL"),
        ("signal_reason", "Why a strategy gave a signal", "rationale", "cross above"),
        ("decision_detail", "More about a decision of the engine", "decision text", "at most 5"),
        ("limit_text", "The limit that refused an order", "limit broken", "max_position 500"),
        ("seen_text", "What a risk rule saw when it refused", "seen value", "600"),
        ("allowed_text", "What a risk rule would have allowed", "allowed value", "500"),
        ("limits_json", "Limits of an account as JSON", "risk limits", "{}"),
        ("state_reason", "Why the trading state of an account changed", "halt reason", "loss"),
        ("alert_message", "What an alert says to people", "alert text", "filled 12 of 10"),
        ("inputs_text", "The inputs of a group of the journal, in base64", "inputs", "kA=="),
        ("created_text", "Ids of the records of a group, in base64", "record ids", "kA=="),
        ("recipe_json", "What a run is made of: strategy, fills, fees", "run recipe", "{}"),
        ("state_text", "The state of an engine, compressed, in base64", "snapshot", "kA=="),
    ),
)

_AMOUNTS: tuple[tuple[str, str, str, str, str, bool], ...] = (
    ("order_quantity", "What an order asks for, exactly", "ordered size", "shares", "count", False),
    ("filled_quantity", "What an order has filled, exactly", "done size", "shares", "count", False),
    ("fill_quantity", "The size of an execution, exactly", "fill size", "shares", "count", False),
    ("match_quantity", "The size that a match closed", "closed size", "shares", "count", False),
    ("net_quantity", "Signed size of a position, exactly", "net size", "shares", "count", False),
    ("hint_quantity", "The size that a signal suggests", "size hint", "shares", "count", False),
    ("decided_quantity", "The size that was decided on", "allowed size", "shares", "count", False),
    (
        *("corrected_quantity", "The size of an execution by its correction", "new size"),
        *("shares", "count", True),
    ),
    (
        *("corrected_price", "The price of an execution by its correction", "new px"),
        *("price", "price", True),
    ),
    (
        *("corrected_fee_amount", "Fees of an execution by its correction", "new fees"),
        *("USD", "currency_amount", True),
    ),
    ("limit_price", "The worst price that an order accepts", "limit px", "price", "price", True),
    ("stop_price", "The price that triggers a stop order", "trigger price", "price", "price", True),
    ("fill_price", "The price of an execution, exactly", "fill px", "price", "price", False),
    ("fee_amount", "Fees of a fill or a position", "fees", "USD", "currency_amount", False),
    (
        "cost_amount",
        "What an open position was traded for",
        "cost",
        "USD",
        "currency_amount",
        False,
    ),
    (
        *("income_amount", "Dividends and cash for fractions", "income", "USD"),
        *("currency_amount", False),
    ),
    (
        *("open_amount", "What a matched piece was opened for", "opening value", "USD"),
        *("currency_amount", False),
    ),
    (
        *("close_amount", "What a matched piece was closed for", "closing value", "USD"),
        *("currency_amount", False),
    ),
    (
        *("open_fee_amount", "Fees of the opening of a matched piece", "opening fees", "USD"),
        *("currency_amount", False),
    ),
    (
        *("close_fee_amount", "Fees of the closing of a matched piece", "closing fees", "USD"),
        *("currency_amount", False),
    ),
    (
        *("realized_amount", "Profit or loss of what was closed, exactly", "closed profit", "USD"),
        *("currency_amount", False),
    ),
)

_COUNTS: tuple[tuple[str, str, str], ...] = (
    ("segment", "Which part of a journal a record is, from 1", "journal part"),
    ("group_number", "Which group of the journal a record is, from 1", "group of inputs"),
    ("inputs_count", "How many inputs a group of the journal has", "number of inputs"),
    ("report_sequence", "The broker's last report that is journaled", "last report"),
    ("epoch", "Which holder of the account's lease wrote", "lease epoch"),
    ("form", "Which form of the journal a record has", "journal version"),
)


def _define_amounts(registry: ColumnRegistry) -> None:
    for name, description, synonym, unit, meaning, nullable in _AMOUNTS:
        registry.define(
            name,
            Decimal,
            role="measure",
            unit=unit,
            aggregation="avg" if meaning == "price" else None,
            category="engine",
            description=description,
            synonyms=[synonym],
            sample_values=[Decimal("12.5")],
            semantic_type=meaning,
            nullable=nullable,
            format=",.2f",
        )


def _define_counts(registry: ColumnRegistry) -> None:
    for name, description, synonym in _COUNTS:
        registry.define(
            name,
            int,
            role="attribute",
            category="engine",
            description=description,
            synonyms=[synonym],
            sample_values=[1],
            semantic_type="count",
        )


def _define_others(registry: ColumnRegistry) -> None:
    registry.define(
        "is_maker",
        bool,
        role="attribute",
        category="engine",
        description="Whether an execution took place on an order that rested",
        synonyms=["maker", "passive"],
        sample_values=[True],
        semantic_type="flag",
    )
    registry.define(
        "executed_at",
        datetime,
        role="attribute",
        category="engine",
        description="When the market executed a fill, by its own clock",
        synonyms=["transaction time"],
        semantic_type="event_time",
        nullable=True,
    )
