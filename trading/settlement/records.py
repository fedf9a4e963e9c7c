"""What the end of a day leaves in the store; a day that is computed again gets new versions.

`report_revision` counts the computations of a day, from 1. Amounts are exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from store.base import Storable
from store.state_machine import StateMachine, Transition

__all__ = ["DayMark", "DayPnl", "DayReport", "SettlementObligation"]

_ZERO = Decimal(0)


class _ReportMachine(StateMachine):
    """A day is opened, marked, booked and reported; what is known later opens it again."""

    initial = "NEW"
    transitions = [  # noqa: RUF012 - as state machines are declared
        Transition("OPEN", "MARKED"),
        Transition("MARKED", "BOOKED"),
        Transition("BOOKED", "REPORTED"),
        *(Transition(each, "OPEN") for each in ("NEW", "OPEN", "MARKED", "BOOKED", "REPORTED")),
    ]


class _ObligationMachine(StateMachine):
    initial = "PENDING"
    transitions = [Transition("PENDING", "SETTLED")]  # noqa: RUF012


@dataclass
class DayReport(Storable):
    """The end of a day of an account's run, in the account's currency.

    `known_until` says up to when what was recorded counts, `basis_hash` what it was computed from:
    the same basis gives no new revision. `day_amount` is the profit or loss since the report
    before. `difference_text` says where fills and the engine's positions disagree.
    """

    account: str = ""
    run: str = ""
    business_day: date | None = None
    time_zone: str = ""
    report_revision: int = 0
    known_until: datetime | None = None
    basis_hash: str = ""
    currency: str = ""
    fills_count: int = 0
    cash_amount: Decimal = _ZERO
    due_amount: Decimal = _ZERO
    market_amount: Decimal | None = None
    equity_amount: Decimal | None = None
    realized_amount: Decimal = _ZERO
    unrealized_amount: Decimal | None = None
    fee_amount: Decimal = _ZERO
    income_amount: Decimal = _ZERO
    day_amount: Decimal | None = None
    difference_text: str = ""
    report_text: str = ""
    report_file: str = ""

    _state_machine = _ReportMachine


@dataclass
class DayPnl(Storable):
    """Profit and loss of one strategy in one currency, from its first fill to the day's end.

    `day_amount` is what of it, after fees, is of the time since the report before.
    """

    account: str = ""
    run: str = ""
    business_day: date | None = None
    report_revision: int = 0
    strategy: str = ""
    currency: str = ""
    realized_amount: Decimal = _ZERO
    unrealized_amount: Decimal | None = None
    fee_amount: Decimal = _ZERO
    income_amount: Decimal = _ZERO
    market_amount: Decimal | None = None
    day_amount: Decimal | None = None

    @property
    def total(self) -> Decimal:
        """Profit or loss after fees, with what is open."""
        open_amount = self.unrealized_amount or _ZERO
        return self.realized_amount + open_amount - self.fee_amount + self.income_amount


@dataclass
class DayMark(Storable):
    """The price that an account's position in a symbol is valued at; `mark_source` names whose."""

    account: str = ""
    run: str = ""
    business_day: date | None = None
    report_revision: int = 0
    symbol: str = ""
    net_quantity: Decimal = _ZERO
    mark_price: Decimal | None = None
    mark_source: str = ""


@dataclass
class SettlementObligation(Storable):
    """Cash and securities of a day's trades in a symbol, which change hands on `settlement_day`.

    `due_amount` is received, or paid when negative; fees are in it. `net_quantity` is received, or
    delivered when negative.
    """

    account: str = ""
    run: str = ""
    business_day: date | None = None
    settlement_day: date | None = None
    symbol: str = ""
    currency: str = ""
    net_quantity: Decimal = _ZERO
    due_amount: Decimal = _ZERO
    report_revision: int = 0

    _state_machine = _ObligationMachine
