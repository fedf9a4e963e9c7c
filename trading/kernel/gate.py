"""The gate before the market: limits that hold now, decisions as events, halts."""

from __future__ import annotations

from collections.abc import Callable

from trading.journal.outputs import LimitsChanged, OrderChanged, RiskDecision, TradingStateChanged
from trading.journal.recorder import Recorder
from trading.kernel.timers import NEVER, Timers
from trading.orders.order import Order
from trading.risk.account import HALTED, Account, Market
from trading.risk.check import cancel_rate, judge
from trading.risk.limits import HeldLimits
from trading.risk.rules import Bounds, Refused, compile_limits, lost_too_much, record_sent
from trading.risk.totals import AccountTotals, Watch

__all__ = ["Gate"]


class Gate:
    """Judges orders by the limits that hold at the time of the input in hand.

    `cancel_all` is called with an account that a loss has halted, and `flatten` where its limits
    say so.
    """

    def __init__(
        self,
        recorder: Recorder,
        market: Market,
        accounts: dict[str, Account],
        timers: Timers,
        cancel_all: Callable[[Account], None],
        flatten: Callable[[Account], None],
        watch: Watch,
    ) -> None:
        self._recorder = recorder
        self._emit = recorder.emit
        self._market = market
        self._accounts = accounts
        self._timers = timers
        self._cancel_all = cancel_all
        self._flatten = flatten
        # Limits in whole numbers, and until when they are the ones.
        self._bounds: dict[str, tuple[Bounds | None, int]] = {}
        # Running sums of the accounts whose rules ask for them, and their marks.
        self._totals: dict[str, AccountTotals] = {}
        self._watch = watch

    # --- limits -----------------------------------------------------------------------------------

    def bounds(self, account: Account) -> Bounds | None:
        """Return the limits that hold now; None where an account has some, but none for now."""
        now = self._recorder.now
        found = self._bounds.get(account.name)
        if found is not None and now < found[1]:
            return found[0]
        history = account.limits
        held = history.at(now)
        bounds = None
        if held is not None or not history.held:
            bounds = compile_limits(held, self._market.money_decimals)
        until = history.next_change(now)
        self._bounds[account.name] = bounds, NEVER if until is None else until
        return bounds

    def totals(self, account: Account, bounds: Bounds) -> AccountTotals | None:
        """Return the running sums of an account; None where no rule asks for them."""
        if not bounds.needs_totals:
            return None
        found = self._totals.get(account.name)
        if found is None:
            found = AccountTotals(account, self._market, self._watch)
            self._totals[account.name] = found
        return found

    def forget_totals(self) -> None:
        """Add all sums up anew: rates, reservations or everything has changed."""
        self._totals.clear()
        self._watch.clear()

    def check(self) -> None:
        """Raise InvariantError where running sums differ from a walk over all exposures."""
        for totals in self._totals.values():
            totals.check()

    def set_limits(self, account: Account, held: HeldLimits) -> None:
        """Record limits; LimitsError where they are not properly approved."""
        account.limits.add(held)
        self._bounds.pop(account.name, None)
        recorder = self._recorder
        recorder.emit(
            LimitsChanged(
                recorder.now,
                account.name,
                held.limits_id,
                held.valid_from,
                held.valid_to,
                held.requested_by,
                held.approved_by,
            )
        )

    # --- decisions --------------------------------------------------------------------------------

    def decide(self, order: Order, emergency: bool = False) -> Refused | None:
        """Judge an order and say so; returns the refusal, or None where it may go."""
        account = self._accounts.get(order.account)
        if account is None:
            refused = Refused("UNKNOWN_ACCOUNT", "accounts", order.account, "an open one")
            self.refuse(order, refused)
            return refused
        recorder = self._recorder
        if emergency:
            recorder.emit(
                RiskDecision(
                    recorder.now,
                    order.order_id,
                    "OK",
                    "",
                    order.qty,
                    account.position(order.symbol),
                    allowed="a person closes positions",
                )
            )
            return None
        found = self._bounds.get(account.name)
        now = recorder.now
        bounds = found[0] if found is not None and now < found[1] else self.bounds(account)
        if bounds is None:
            refused = Refused(
                "MISSING_LIMITS", "limits that hold now", "none", "set limits for this time"
            )
            self.refuse(order, refused)
            return refused
        asked = order.qty
        totals = self.totals(account, bounds) if bounds.needs_totals else None
        verdict = judge(order, account, self._market, bounds, now, totals)
        if isinstance(verdict, Refused):
            self.refuse(order, verdict, bounds.limits_id)
            return verdict
        if bounds.needs_record:
            record_sent(verdict)
        self._emit(
            RiskDecision(
                now,
                order.order_id,
                "OK",
                bounds.limits_id,
                order.qty,
                verdict.exposure.net,
                verdict.price,
                verdict.equity,
                verdict.gross,
            )
        )
        if order.qty != asked:
            recorder.emit(
                OrderChanged(recorder.now, order.order_id, order.qty, order.limit, order.stop)
            )
        return None

    def would_refuse(self, order: Order) -> Refused | None:
        """Judge an order that is not sent: the new terms of one that works."""
        account = self._accounts[order.account]
        bounds = self.bounds(account)
        if bounds is None:
            return Refused("MISSING_LIMITS", "limits that hold now", "none", "set limits")
        totals = self.totals(account, bounds)
        verdict = judge(order, account, self._market, bounds, self._recorder.now, totals)
        return verdict if isinstance(verdict, Refused) else None

    def refuse(self, order: Order, refused: Refused, limits_id: str = "") -> None:
        """Say that an order was refused, and why."""
        recorder, account = self._recorder, self._accounts.get(order.account)
        recorder.emit(
            RiskDecision(
                recorder.now,
                order.order_id,
                refused.code,
                limits_id,
                order.qty,
                0 if account is None else account.position(order.symbol),
                None,
                None,
                None,
                refused.limit,
                refused.seen,
                refused.allowed,
            )
        )

    def refuses_cancel(self, account: Account | None) -> Refused | None:
        """Return why one more cancel or replace is too many, or None."""
        if account is None:
            return None
        bounds = self.bounds(account)
        return None if bounds is None else cancel_rate(account, bounds, self._recorder.now)

    # --- losses -----------------------------------------------------------------------------------

    def watches(self, account: Account) -> bool:
        """Whether limits of the account depend on what its positions are worth."""
        bounds = self.bounds(account)
        return bounds is not None and bounds.needs_equity

    def mark(self, account: Account) -> None:
        """Value an account; one that has lost its daily limit is halted."""
        bounds = self.bounds(account)
        if bounds is None or not bounds.needs_equity:
            return
        totals = self.totals(account, bounds)
        equity = account.equity(self._market) if totals is None else totals.equity()
        account.note_equity(equity)
        if equity is None or account.trading_state == HALTED:
            return
        reason = lost_too_much(bounds, account, equity)
        if not reason:
            return
        self.halt(account, reason)
        if bounds.limits.flatten_on_halt:
            self._flatten(account)

    def halt(self, account: Account, reason: str, by: str = "") -> None:
        """Halt an account and cancel what rests."""
        if account.trading_state != HALTED:
            self.set_state(account, HALTED, reason, by)
            self._cancel_all(account)

    def set_state(self, account: Account, state: str, reason: str, by: str) -> None:
        """Change what an account may do, and say so."""
        account.trading_state, account.state_reason = state, reason
        recorder = self._recorder
        recorder.emit(TradingStateChanged(recorder.now, account.name, state, reason, by))

    def instrument_changed(self) -> None:
        """Choose the rules of each symbol anew."""
        self._bounds.clear()

    def forget(self) -> None:
        """Work out the limits anew, as after a restart."""
        self._bounds.clear()
        self.forget_totals()
