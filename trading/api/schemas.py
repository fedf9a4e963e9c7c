"""Bodies of requests, as they are checked before anything is done with them."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    WithJsonSchema,
    model_validator,
)

from trading.brokers import FILL_MODELS
from trading.governance.entities import ACTIONS
from trading.orders.request import KINDS, SIDES, TIMES_IN_FORCE

__all__ = [
    "AnyPreview",
    "BracketBody",
    "CommandAnswer",
    "LimitsBody",
    "LoginBody",
    "NoteBody",
    "OcoBody",
    "OrderBody",
    "OtoBody",
    "Page",
    "ParametersBody",
    "PreviewAnswer",
    "ReasonBody",
    "ReplaceBody",
    "ReplayBody",
    "ReplayControlBody",
    "RequestBody",
    "ReviewBody",
    "ScopeBody",
    "SessionAnswer",
    "StateBody",
    "WhatIfBody",
    "clean_text",
    "past",
    "utc",
]

_NUMBER = re.compile(r"-?\d{1,18}(\.\d{1,18})?")
_UNCLEAN = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


def _number_text(value: Any) -> str:
    """A number as text: exact, finite, in plain digits."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float, Decimal)):
        raise ValueError('a number or its text is expected, such as "228.25"')  # noqa: TRY004
    text = value if isinstance(value, str) else repr(value)
    if not _NUMBER.fullmatch(text):
        try:
            number = Decimal(text)
        except InvalidOperation:
            raise ValueError('a number or its text is expected, such as "228.25"') from None
        text = f"{number:f}" if number.is_finite() and abs(number.adjusted()) < 18 else ""
        if not _NUMBER.fullmatch(text):
            raise ValueError("a finite number of at most 18 digits before and after the point")
    return text


def _above_zero(value: str) -> str:
    if not Decimal(value) > 0:
        raise ValueError("an amount above 0 is expected")
    return value


def clean_text(value: str) -> str:
    """A text without control characters and half characters."""
    if _UNCLEAN.search(value):
        raise ValueError("a text without control characters is expected")
    return value


def utc(value: datetime) -> datetime:
    """A time with its zone, which is UTC where none is said."""
    if value.tzinfo is None:
        value = value.replace(tzinfo=timezone.utc)
    try:
        value = value.astimezone(timezone.utc)
    except (OverflowError, ValueError):
        raise ValueError("a time from 1970 to 2200 is expected") from None
    if not 1970 <= value.year < 2200:
        raise ValueError("a time from 1970 to 2200 is expected")
    return value


def past(value: datetime) -> datetime:
    """A time of knowing with its zone: what will be known is not known."""
    value = utc(value)
    now = datetime.now(timezone.utc)
    if value > now:
        raise ValueError(f"it is still to come; name a time in the past, now it is {now:%FT%TZ}")
    return value


NumberText = Annotated[
    str,
    BeforeValidator(_number_text),
    WithJsonSchema({"type": "string", "pattern": r"^-?[0-9]{1,18}(\.[0-9]{1,18})?$"}),
]
Symbol = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(clean_text)]
Name = Annotated[str, Field(max_length=100), AfterValidator(clean_text)]
AccountName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,60}$", examples=["DEMO"])]
Moment = Annotated[datetime, AfterValidator(utc)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class LoginBody(_Body):
    """A user of the store, and the password; `cookie` is for pages."""

    user: Annotated[str, Field(max_length=200, examples=["alice"])]
    password: Annotated[str, Field(max_length=2_000)]
    cookie: bool = False


class _Terms(BaseModel):
    model_config = ConfigDict(extra="forbid")
    symbol: Annotated[Symbol, Field(examples=["AAPL"])]
    side: Literal[SIDES]  # type: ignore[valid-type]
    quantity: Annotated[NumberText, Field(examples=["100"])]
    kind: Literal[KINDS] = "MARKET"  # type: ignore[valid-type]
    limit_price: NumberText | None = None
    stop_price: NumberText | None = None
    time_in_force: Literal[TIMES_IN_FORCE] = "GTC"  # type: ignore[valid-type]
    strategy: Name = ""
    trail: NumberText | None = None
    trail_bps: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    expire_at: Moment | None = None
    reduce_only: bool = False
    post_only: bool = False
    emulate: bool = False
    not_before: Moment | None = None
    flat_by: Moment | None = None
    tag: Name = ""

    def terms(self) -> dict[str, Any]:
        """Return what the engine is told."""
        return self.model_dump(mode="json", exclude={"account"}, exclude_none=True)


_ORDER: dict[str, JsonValue] = {
    "account": "DEMO",
    "symbol": "AAPL",
    "side": "BUY",
    "quantity": "100",
    "kind": "LIMIT",
    "limit_price": "228.25",
}


class OrderBody(_Terms):
    """One order; numbers are taken as texts or numbers."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_ORDER]})
    account: AccountName


class BracketBody(_Terms):
    """An entry with its two exits: `target` is a limit price, `stop` a stop price."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{**_ORDER, "target": "235", "stop": "224.50"}]},
    )
    account: AccountName
    target: NumberText
    stop: NumberText


class OcoBody(_Body):
    """Orders of which a fill of one cancels the others."""

    account: AccountName
    orders: Annotated[list[_Terms], Field(min_length=2, max_length=10)]

    def terms(self) -> dict[str, Any]:
        """Return what the engine is told."""
        return {"orders": [each.terms() for each in self.orders]}


class OtoBody(_Body):
    """A parent whose fills send the child."""

    account: AccountName
    parent: _Terms
    child: _Terms
    when_full: bool = False

    def terms(self) -> dict[str, Any]:
        """Return what the engine is told."""
        return {
            "parent": self.parent.terms(),
            "child": self.child.terms(),
            "when_full": self.when_full,
        }


class AnyPreview(_Terms):
    """An order, or with `target` and `stop` a bracket, to be judged and not sent."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_ORDER]})
    account: AccountName
    target: NumberText | None = None
    stop: NumberText | None = None


class ReplaceBody(_Body):
    """New terms; what is left out stays as it is."""

    quantity: NumberText | None = None
    limit_price: NumberText | None = None
    stop_price: NumberText | None = None


class ScopeBody(_Body):
    """Everything, or what is of a symbol or strategy."""

    symbol: Annotated[str, Field(max_length=64), AfterValidator(clean_text)] = ""
    strategy: Name = ""


class StateBody(_Body):
    """The trading state that an account is to have, and why."""

    state: Literal["ACTIVE", "REDUCING", "HALTED"]
    reason: Annotated[str, Field(min_length=1, max_length=500), AfterValidator(clean_text)] = (
        "by hand"
    )


def _clean_json(value: Any, depth: int = 0) -> Any:
    """JSON without control characters in its texts, and not too deep."""
    if depth > 8:
        raise ValueError("at most 8 lists or objects inside of each other")
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, dict):
        return {clean_text(n): _clean_json(v, depth + 1) for n, v in value.items()}
    if isinstance(value, list):
        return [_clean_json(each, depth + 1) for each in value]
    if isinstance(value, (int, float)) and not abs(value) < 2**63:
        raise ValueError("a finite number of at most 63 bits")
    return value


Reason = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(clean_text)]
Note = Annotated[str, Field(max_length=500), AfterValidator(clean_text)]
JsonObject = Annotated[dict[str, JsonValue], AfterValidator(_clean_json)]


class _ProposalBody(BaseModel):
    model_config = ConfigDict(extra="forbid")
    account: AccountName
    reason: Reason
    effective_from: Moment | None = None
    approve_within_s: Annotated[int, Field(ge=1, le=30 * 86_400)] = 86_400


class LimitsBody(_ProposalBody):
    """All limits that an account is to have; names are those of `trading.risk.Limits`."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "account": "DEMO",
                    "limits": {"max_order_notional": "40000", "price_collar": "0.05"},
                    "reason": "calmer market",
                }
            ]
        },
    )
    limits: JsonObject


class ParametersBody(_ProposalBody):
    """All parameters that a strategy of an account is to have."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "account": "DEMO",
                    "strategy": "turn_taking",
                    "parameters": {"size": 5},
                    "reason": "smaller",
                }
            ]
        },
    )
    strategy: Annotated[str, Field(min_length=1, max_length=100), AfterValidator(clean_text)]
    parameters: JsonObject


class RequestBody(_Body):
    """What the engine of an account is to do, also one that is away; FLATTEN may be of a part."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"account": "DEMO", "action": "HALT", "reason": "prices look wrong"}]
        },
    )
    account: AccountName
    action: Literal[ACTIONS]  # type: ignore[valid-type]
    reason: Reason
    symbol: Annotated[str, Field(max_length=64), AfterValidator(clean_text)] = ""
    strategy: Name = ""


class NoteBody(_Body):
    """A note to a decision; it may be empty."""

    reason: Note = ""


class ReasonBody(_Body):
    """Why."""

    reason: Reason


class ReviewBody(_Body):
    """Whether another person was right to break the glass, and why."""

    justified: bool
    reason: Reason


Timeframe = Annotated[str, Field(min_length=1, max_length=20), AfterValidator(clean_text)]
Speed = Annotated[float, Field(ge=0.1, le=1_000_000)]
_REPLAY: list[JsonValue] = [
    {"symbols": ["AAPL"], "timeframes": ["1m"], "start": "2026-02-20T14:30:00Z", "speed": 10},
    {"account": "DEMO", "run": "paper:demo", "speed": None},
]


class ReplayBody(_Body):
    """A run, or symbols and a span of their recorded ticks or bars; one of both.

    An account alone means its own run. `speed` is how many recorded seconds pass in one, null for
    as fast as possible.
    """

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": _REPLAY})
    account: AccountName | None = None
    run: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(clean_text)] | None = (
        None
    )
    symbols: Annotated[list[Symbol], Field(max_length=50)] = []
    source: Literal["ticks", "bars"] = "ticks"
    timeframe: Timeframe = "1m"
    start: Moment | None = None
    end: Moment | None = None
    timeframes: Annotated[list[Timeframe], Field(max_length=8)] = []
    strategy: Name = ""
    parameters: JsonObject = {}
    cash: Annotated[NumberText, AfterValidator(_above_zero)] = "100000"
    speed: Speed | None = 1.0

    @model_validator(mode="after")
    def _is_one_of_both(self) -> ReplayBody:
        if (self.run is not None or self.account is not None) == bool(self.symbols):
            raise ValueError("give `run` or `account`, or `symbols`: one of both")
        return self


_WHAT_IF: list[JsonValue] = [
    {"account": "DEMO", "parameters": {"fast": 5}},
    {"account": "DEMO", "limits": {"max_order_quantity": "50"}, "commission": "bps 10"},
]
_CHANGES = ("parameters", "other_strategy", "limits", "fill_model", "commission", "max_open")


class WhatIfBody(_Body):
    """A run, and what is changed of it; an account alone means its own run.

    `parameters` are those that are other ones, of `strategy` where the run has several.
    `other_strategy` takes its place, by a name of `GET /replay/sources`. `limits` hold from the
    beginning on, in place of all that the run had. `commission` is a text such as "bps 10",
    `max_open` how many symbols strategies may hold at a time, `upto` the last group of the journal.
    """

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": _WHAT_IF})
    account: AccountName | None = None
    run: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(clean_text)] | None = (
        None
    )
    upto: Annotated[int, Field(ge=1, le=10**9)] | None = None
    strategy: Name = ""
    parameters: JsonObject = {}
    other_strategy: Name = ""
    limits: JsonObject | None = None
    fill_model: Literal[FILL_MODELS] | None = None  # type: ignore[valid-type]
    commission: Name = ""
    max_open: Annotated[int, Field(ge=1, le=1_000_000)] | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> WhatIfBody:
        # Limits of {} are a change: there are none.
        if self.limits is None and all(not getattr(self, name) for name in _CHANGES):
            raise ValueError(f"nothing is changed; give one of {', '.join(_CHANGES)}")
        return self


class ReplayControlBody(_Body):
    """What a session is to do; `seek` takes a time, a position or both, `speed` null is fastest."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"action": "play", "speed": 60}, {"action": "step", "what": "bar"}]
        },
    )
    action: Literal["play", "resume", "pause", "step", "seek", "speed", "restart", "end"]
    speed: Speed | None = None
    what: Literal["tick", "bar", "order"] = "tick"
    count: Annotated[int, Field(ge=1, le=10_000)] = 1
    time: Moment | None = None
    position: Annotated[int, Field(ge=0, le=10**12)] | None = None

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> ReplayControlBody:
        if self.action == "seek" and self.time is None and self.position is None:
            raise ValueError("seek needs a time or a position")
        if self.action == "speed" and "speed" not in self.model_fields_set:
            raise ValueError("speed needs a speed, or null for as fast as possible")
        return self


class CommandAnswer(BaseModel):
    """What became of a command, once it is durable."""

    command_id: str
    code: str
    order_id: str | None = None
    bracket_id: str | None = None
    orders: list[dict[str, str]] | None = None
    detail: str = ""


class PreviewAnswer(BaseModel):
    """What risk would say now; `quantity` is what a drawdown leaves of the size."""

    allowed: bool
    code: str
    quantity: str
    scaled: bool
    seen: dict[str, str]
    limit: str | None
    allowed_text: str | None


class Page(BaseModel):
    """A part of a list; `next_cursor` leads on and is null at the end."""

    items: list[dict[str, Any]]
    next_cursor: str | None = None


class SessionAnswer(BaseModel):
    """Who is logged in; `token` is there where no cookie was asked for."""

    user: str
    expires_at: str
    csrf_token: str
    token: str | None = None
    accounts: list[dict[str, str]]
