"""What a desk's API takes and gives, as types."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = [
    "Account",
    "Answer",
    "AsOf",
    "Change",
    "ChangedFigure",
    "Expiry",
    "Explanation",
    "Fill",
    "GovernedAccount",
    "Message",
    "NewOrder",
    "OptionLadder",
    "OptionQuote",
    "OptionUnderlying",
    "Order",
    "OrderDifference",
    "Page",
    "Position",
    "Preview",
    "Replay",
    "Request",
    "Review",
    "Session",
    "Strike",
    "Verification",
    "WhatIf",
]


class NewOrder(msgspec.Struct, frozen=True, omit_defaults=True):
    """An order as it is asked for; numbers are texts, so that no digit is lost."""

    account: str
    symbol: str
    side: str
    quantity: str
    kind: str = "MARKET"
    limit_price: str | None = None
    stop_price: str | None = None
    time_in_force: str = "GTC"
    strategy: str = ""
    trail: str | None = None
    trail_bps: int | None = None
    expire_at: str | None = None
    reduce_only: bool = False
    post_only: bool = False
    emulate: bool = False
    not_before: str | None = None
    flat_by: str | None = None
    tag: str = ""


class Answer(msgspec.Struct, frozen=True):
    """What became of a command, once it was durable."""

    command_id: str
    code: str
    order_id: str = ""
    bracket_id: str = ""
    orders: list[dict[str, str]] = []
    detail: str = ""


class Preview(msgspec.Struct, frozen=True):
    """What risk would say of an order now."""

    allowed: bool
    code: str
    quantity: str
    scaled: bool
    seen: dict[str, str]
    limit: str | None = None
    allowed_text: str | None = None


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An order as it stands; `history` has its states where one order was asked for."""

    id: str
    version: int
    order_id: str
    account: str
    run: str
    symbol: str
    side: str
    status: str
    order_quantity: str
    filled_quantity: str
    order_kind: str
    strategy: str = ""
    limit_price: str | None = None
    stop_price: str | None = None
    time_in_force: str = ""
    order_event: str = ""
    order_steps: str = ""
    order_detail: str = ""
    group_id: str = ""
    group_role: str = ""
    parent_id: str = ""
    command_id: str = ""
    order_tag: str = ""
    limits_id: str = ""
    timestamp: str | None = None
    history: list[Order] = []


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """An execution."""

    id: str
    version: int
    fill_id: str
    order_id: str
    account: str
    run: str
    symbol: str
    side: str
    fill_quantity: str
    fill_price: str
    fee_amount: str
    status: str
    strategy: str = ""
    is_maker: bool = False
    fill_note: str = ""
    executed_at: str | None = None
    corrected_id: str = ""
    corrected_quantity: str | None = None
    corrected_price: str | None = None
    corrected_fee_amount: str | None = None
    timestamp: str | None = None


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """A position with its totals; the last three are there while its price is known."""

    id: str
    version: int
    account: str
    run: str
    strategy: str
    symbol: str
    net_quantity: str
    cost_amount: str
    realized_amount: str
    fee_amount: str
    income_amount: str = "0"
    timestamp: str | None = None
    last_price: str | None = None
    unrealized_amount: str | None = None
    value_amount: str | None = None


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """An account, as the engine has it now."""

    account: str
    run: str
    role: str
    base: str
    phase: str
    trading_state: str
    state_reason: str
    cash: dict[str, str]
    equity: str | None
    open_orders: int
    positions: dict[str, str]
    digest: str


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """Who is logged in, until when, and the user's accounts with the role in each."""

    user: str
    expires_at: str
    csrf_token: str
    accounts: list[dict[str, str]]
    token: str | None = None


class Page(msgspec.Struct, frozen=True):
    """A part of a list; `next_cursor` leads on and is None at the end."""

    items: list[dict[str, Any]]
    next_cursor: str | None = None


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A change of limits or parameters: where it stands, and who may decide on it now.

    `changes` is what is different from what holds, `may` names for each of approve, reject,
    withdraw and break_glass the people who may do it, `mine` what you may.
    """

    id: str
    version: int
    kind: str
    account: str
    state: str
    changed_at: str
    change_reason: str
    requested_by: str
    strategy: str = ""
    limits: dict[str, Any] | None = None
    parameters: dict[str, Any] | None = None
    changes: list[dict[str, Any]] = []
    effective_from: str | None = None
    approve_by: str | None = None
    approved_by: str = ""
    decision_reason: str = ""
    review_id: str = ""
    outcome_code: str = ""
    outcome_text: str = ""
    command_id: str = ""
    may: dict[str, list[str]] = {}
    mine: list[str] = []
    history: list[dict[str, Any]] = []


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """What another person has to look at, since one alone has put a change in force."""

    id: str
    version: int
    state: str
    account: str
    changed_at: str
    change_id: str
    change_reason: str
    requested_by: str
    reviewed_by: str = ""
    review_outcome: str = ""
    decision_reason: str = ""
    may: dict[str, list[str]] = {}
    mine: list[str] = []


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Something that an engine was asked to do, and what became of it."""

    id: str
    version: int
    state: str
    account: str
    run: str
    changed_at: str
    control_action: str
    change_reason: str
    requested_by: str
    strategy: str = ""
    symbol: str = ""
    outcome_code: str = ""
    outcome_text: str = ""
    command_id: str = ""


class GovernedAccount(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for an account, what is proposed, and who has which duty."""

    account: str
    run: str | None
    user: str
    duties: list[str]
    people: dict[str, list[str]]
    limits: dict[str, Any] | None
    parameters: list[dict[str, Any]]
    limit_names: list[dict[str, str]]
    changes: list[Change]
    reviews: list[Review]
    requests: list[Request]


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """How far a replay session is; `speed` is None for as fast as possible."""

    session_id: str
    name: str
    owner: str
    kind: str
    state: str
    speed: float | None
    time: str
    start: str
    end: str
    position: int
    rows: int
    lag_s: float
    problem: str = ""
    account: str = ""
    run: str = ""
    symbols: list[str] = []
    timeframes: list[str] = []
    strategy: str = ""


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What folding a run's journal has shown; `difference` is None where `is_equal`.

    Else it has the `group` and `input` that differ, the `cause`, the `reason` as far as it is
    known, the event as it was `recorded` and as it is `here`, and the `lines` of both side by side.
    """

    account: str
    run: str
    is_equal: bool
    groups: int
    inputs: int
    outputs: int
    digest: str
    difference: dict[str, Any] | None
    text: str


class OrderDifference(msgspec.Struct, frozen=True, kw_only=True):
    """An order of a run or of the changed one: `what` is GONE, NEW, or OTHER with its `fields`."""

    what: str
    time: str
    fields: list[str]
    recorded: dict[str, Any] | None
    changed: dict[str, Any] | None


class WhatIf(msgspec.Struct, frozen=True, kw_only=True):
    """What would have been different; `totals` are P&L after fees, None without a price."""

    account: str
    run: str
    groups: int
    same_orders: int
    orders: list[OrderDifference]
    orders_left_out: int
    pnl: list[dict[str, Any]]
    totals: dict[str, str | None]
    notes: list[str]
    recorded_digest: str
    changed_digest: str


class OptionQuote(msgspec.Struct, frozen=True, kw_only=True):
    """A call or put; a figure that the model does not give is None, and `note` says why.

    `implied_vol` is a fraction a year, `theta` per day, `vega` and `rho` per one percent.
    """

    symbol: str
    bid: str
    ask: str
    option_price: str
    implied_vol: float | None = None
    theoretical_price: float | None = None
    delta: float | None = None
    gamma: float | None = None
    theta: float | None = None
    vega: float | None = None
    rho: float | None = None
    note: str | None = None


class Strike(msgspec.Struct, frozen=True, kw_only=True):
    """The call and the put of one strike; None where there is none."""

    strike: str
    moneyness: float
    call: OptionQuote | None
    put: OptionQuote | None


class Expiry(msgspec.Struct, frozen=True, kw_only=True):
    """The strikes of one expiry, which is `t_days` days away."""

    expiry: str
    t_days: float
    rows: list[Strike]


class OptionLadder(msgspec.Struct, frozen=True, kw_only=True):
    """The options of an underlying, by expiry and strike, as of a time."""

    underlying: str
    underlying_price: str
    time: str
    model: str
    rate: float
    expiries: list[Expiry]


class OptionUnderlying(msgspec.Struct, frozen=True, kw_only=True):
    """An underlying that has options, and their expiries."""

    underlying: str
    expiries: list[str]


class AsOf(msgspec.Struct, frozen=True, kw_only=True):
    """What was so at a time, as it was known at another."""

    account: str
    run: str
    at: str
    known_at: str
    pnl: list[dict[str, Any]]
    totals: dict[str, str | None]
    positions: list[dict[str, Any]]
    orders: list[dict[str, Any]]
    limits: list[dict[str, Any]]
    bars: list[dict[str, Any]]


class ChangedFigure(msgspec.Struct, frozen=True, kw_only=True):
    """A figure that is another one than was known, with the events that changed it."""

    table: str
    key: list[str]
    figure: str
    before: Any
    after: Any
    events: list[dict[str, Any]]


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why something happened: steps of which the first is what was asked about, text, picture."""

    subject: str
    account: str
    run: str
    steps: list[dict[str, Any]]
    text: str
    svg: str


class Message(msgspec.Struct, frozen=True):
    """A message of a stream.

    `kind` is `snapshot`, the `type` of an event, or the `type` of a value; `item` is the record or
    value, and `items` are those of a snapshot.
    """

    kind: str
    topic: str
    item: dict[str, Any] = {}
    items: list[dict[str, Any]] = []
    seq: int = 0
    position: str = ""
