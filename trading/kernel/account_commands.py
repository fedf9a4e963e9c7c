"""What people do to accounts: open them, move money, set limits, halt and release them."""

from __future__ import annotations

import msgspec

from trading.decoding import json_decoder
from trading.errors import LimitsError
from trading.journal import inputs as given
from trading.journal.codec import UNREADABLE
from trading.journal.outputs import Alert, ParametersChanged
from trading.journal.recorder import Recorder
from trading.kernel.desk import Desk
from trading.kernel.hosting import StrategyHost
from trading.kernel.prices.market_data import MarketData
from trading.risk.account import ACTIVE, HALTED, TRADING_STATES, Account, Market
from trading.risk.limits import BREAK_GLASS, HeldLimits, Limits

__all__ = ["AccountCommands"]

_LIMITS: msgspec.json.Decoder[Limits] = json_decoder(Limits)


class AccountCommands:
    """Carries out commands about accounts; each returns a code, OK or why not, and a detail."""

    def __init__(
        self,
        recorder: Recorder,
        market: Market,
        accounts: dict[str, Account],
        desk: Desk,
        data: MarketData,
        host: StrategyHost,
    ) -> None:
        self._recorder = recorder
        self._market = market
        self._accounts = accounts
        self._desk = desk
        self._data = data
        self._host = host
        # Money by account and currency that no fill moved: deposits and withdrawals.
        self.moved: dict[tuple[str, str], int] = {}

    def set_trading_state(self, command: given.SetTradingState) -> tuple[str, str]:
        """Let an account trade, only reduce, or nothing; only somebody else lifts a halt."""
        account = self._accounts.get(command.account)
        if account is None:
            return "UNKNOWN_ACCOUNT", command.account
        if command.state not in TRADING_STATES:
            return "MALFORMED", f"{command.state} is none of {' '.join(TRADING_STATES)}"
        if command.state == HALTED:
            self._desk.gate.halt(account, command.reason or "kill switch", command.by)
            return "OK", ""
        if account.trading_state == HALTED:
            if not command.by or command.by == account.owner:
                return (
                    "NEEDS_ANOTHER_PERSON",
                    f"{account.name} is halted and {account.owner or 'its trader'} trades on it; "
                    "somebody else lifts the halt",
                )
            # What was lost until now has been looked at.
            bounds = self._desk.gate.bounds(account)
            if bounds is not None and bounds.limits.halt_drawdown is not None:
                account.high_water = None
            account.begin_day(self._market)
        if account.trading_state != command.state:
            self._desk.gate.set_state(account, command.state, command.reason, command.by)
        return "OK", ""

    def set_limits(self, command: given.SetLimits) -> tuple[str, str]:
        """Record limits of an account for a time."""
        account = self._accounts.get(command.account)
        if account is None:
            return "UNKNOWN_ACCOUNT", command.account
        try:
            limits = _LIMITS.decode(command.limits)
            held = HeldLimits(
                command.limits_id,
                limits,
                command.valid_from,
                command.valid_to,
                command.requested_by,
                command.approved_by,
                self._recorder.now,
            )
            self._desk.gate.set_limits(account, held)
        except (LimitsError, *UNREADABLE) as error:
            return "LIMITS_REFUSED", str(error)
        if limits.max_correlation is not None:
            self._data.measures = True
        if account.day_start_equity is None:
            account.begin_day(self._market)
        self._desk.watch()
        by, subject = command.requested_by, command.limits_id
        self._alarm(command.approved_by, account.name, subject, by, f"limits {subject}")
        return "OK", ""

    def set_parameters(self, command: given.SetParameters) -> tuple[str, str]:
        """Give a strategy other parameters; two people are needed."""
        name, by, other = command.strategy, command.requested_by, command.approved_by
        if not by or not other or by == other:
            return "PARAMETERS_REFUSED", f"{by or 'somebody'} and another person are needed"
        refused = self._host.set_parameters(command.account, name, command.parameters)
        if refused:
            return "PARAMETERS_REFUSED", refused
        recorder, change_id = self._recorder, command.change_id
        held = self._host.strategies[name].parameters
        recorder.emit(
            ParametersChanged(recorder.now, command.account, name, change_id, held, by, other)
        )
        self._alarm(other, command.account, change_id, by, f"parameters of {name}")
        return "OK", held

    def _alarm(self, approved_by: str, account: str, subject: str, by: str, what: str) -> None:
        """Raise an alarm where one person alone has put something in force."""
        if approved_by == BREAK_GLASS:
            recorder = self._recorder
            message = f"{by} has put {what} in force alone; another person must review that"
            recorder.emit(Alert(recorder.now, "BREAK_GLASS", account, subject, message))

    def transfer(self, command: given.Transfer) -> tuple[str, str]:
        """Move money into an account or out of it."""
        account = self._accounts.get(command.account)
        if account is None:
            return "UNKNOWN_ACCOUNT", command.account
        currency, amount = command.currency, command.amount
        self._desk.ledger.move_cash(account, currency, amount, "TRANSFER")
        self._note_moved(account, currency, amount)
        # Money that comes or goes is neither profit nor loss.
        value = self._market.convert(amount, currency, account.base)
        if value is not None:
            if account.day_start_equity is not None:
                account.day_start_equity += value
            if account.high_water is not None:
                account.high_water += value
        return "OK", ""

    def _note_moved(self, account: Account, currency: str, amount: int) -> None:
        key = account.name, currency
        self.moved[key] = self.moved.get(key, 0) + amount

    def open(self, event: given.OpenAccount) -> None:
        """Open an account with what it begins with."""
        if event.account in self._accounts:
            recorder = self._recorder
            recorder.emit(
                Alert(
                    recorder.now,
                    "ACCOUNT_EXISTS",
                    event.account,
                    event.account,
                    "the account is open already; money comes by a transfer",
                )
            )
            return
        account = Account(event.account, event.base, event.owner)
        account.trading_state = ACTIVE
        self._accounts[event.account] = account
        for currency, amount in event.cash:
            self._desk.ledger.move_cash(account, currency, amount, "START")
            self._note_moved(account, currency, amount)
        account.begin_day(self._market)
