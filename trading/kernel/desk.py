"""The way of an order through the kernel: opened, judged, held or sent, and followed to its end."""

from __future__ import annotations

import msgspec

from trading.brokers.paper import PaperBroker
from trading.errors import InvariantError
from trading.journal.inputs import Cancel, Flatten, OrderTerms, Replace, Submit
from trading.journal.outputs import OrderOpened
from trading.journal.recorder import Recorder
from trading.journal.reports import OrderFilled
from trading.kernel.books import KernelBooks
from trading.kernel.emulation import Emulator
from trading.kernel.gate import Gate
from trading.kernel.hosting import AcceptAll, Picker, StrategyHost
from trading.kernel.ledger import Ledger
from trading.kernel.settings import Settings
from trading.kernel.timers import Timers
from trading.kernel.venues import EffectVenue, PaperVenue
from trading.orders.build import open_order
from trading.orders.corrections import Corrections
from trading.orders.groups import KINDS as GROUP_KINDS
from trading.orders.groups import Group, Groups
from trading.orders.order import Order
from trading.orders.request import KINDS, TIMES_IN_FORCE
from trading.orders.status import TERMINAL, OrderStatus
from trading.orders.writer import OrderWriter
from trading.risk.account import HALTED, Account, Market
from trading.risk.rules import Refused
from trading.risk.totals import Watch
from trading.specification import InstrumentSpec, specify
from trading.times import DAY

__all__ = ["Desk"]

_HELD = (OrderStatus.INITIALIZED, OrderStatus.EMULATED, OrderStatus.RELEASED)
_FLATTEN = "FLATTEN"
_NO_SPEC = specify("?")
_STOPS = ("STOP", "STOP_LIMIT", "TRAILING_STOP")
_ROLES = {"BRACKET": ("ENTRY", "TARGET", "STOP"), "OTO": ("PARENT",), "OTO_FULL": ("PARENT",)}


class Desk:
    """Takes orders and commands about them; the parts that it owns do the work."""

    def __init__(
        self,
        settings: Settings,
        recorder: Recorder,
        market: Market,
        accounts: dict[str, Account],
        timers: Timers,
        host: StrategyHost,
        picker: Picker,
        paper: PaperBroker | None,
        watch: Watch,
    ) -> None:
        self._settings = settings
        self._recorder = recorder
        self._market = market
        self._accounts = accounts
        self._timers = timers
        self._host = host
        self._picker = picker
        self._picks = type(picker) is not AcceptAll
        self._paper = paper
        self.mark_set = False
        self.ledger = Ledger(
            *(recorder, market, accounts, watch),
            method=settings.method,
            memory=settings.bust_memory,
            memory_max=settings.memory_max,
        )
        self.books = KernelBooks(recorder, market, accounts, self.ledger, paper)
        venue = EffectVenue(recorder) if paper is None else PaperVenue(recorder, market, paper)
        # A simulated broker does not repeat itself.
        self.writer = OrderWriter(recorder, venue, self.books, self, remembers=paper is None)
        self.corrections = Corrections(self.writer, self.books)
        self.gate = Gate(
            recorder,
            market,
            accounts,
            timers,
            self._cancel_account,
            self._flatten_account,
            watch,
        )
        self.groups = Groups(recorder, self.writer, self._release, self._may_grow)
        self.emulator = Emulator(self.writer, market, self._released)
        timers.is_alive = self._is_alive

    # --- opening ----------------------------------------------------------------------------------

    def open_terms(
        self,
        terms: OrderTerms,
        command_id: str = "",
        group: str = "",
        role: str = "",
        parent: str = "",
        *,
        held: bool = False,
        emergency: bool = False,
    ) -> Order:
        """Open an order and, unless it is held for its group, send it through risk."""
        recorder = self._recorder
        order_id = recorder.next_id()
        spec = self._market.specs.get(terms.symbol)
        now = recorder.now
        order = open_order(terms, _NO_SPEC if spec is None else spec, order_id, now)
        if group:
            order.group, order.role, order.parent = group, role, parent
        recorder.emit(OrderOpened(now, order_id, terms, command_id, group, role, parent))
        self.writer.add(order)
        refused = _fault(terms, spec, now)
        if refused is not None:
            self._deny(order, refused)
            return order
        # An order ends at its time wherever it is: it may wait here for its group or its time.
        if order.expire_at is not None or order.flat_by is not None:
            for kind, time in _ends_of(order):
                self._timers.set(time, kind, order_id)
        if not held:
            self.launch(order, emergency)
        return order

    def _deny(self, order: Order, refused: Refused) -> None:
        self.gate.refuse(order, refused)
        self.writer.event(order, "DENIED", refused.code)
        self.order_moved(order)

    def launch(self, order: Order, emergency: bool = False) -> None:
        """Judge an order and send it, or hold it until its time or its trigger."""
        now = self._recorder.now
        if order.not_before is not None and order.not_before > now:
            self._timers.set(order.not_before, "launch", order.order_id)
            return
        refused = self.gate.decide(order, emergency)
        if refused is not None:
            self.writer.event(order, "DENIED", refused.code)
            self.order_moved(order)
            if refused.code == "DAILY_LOSS":
                # The mark timer would see it too, but a breach that is seen halts at once.
                self.gate.halt(self._accounts[order.account], f"daily loss: {refused.message}")
            return
        if order.kind == "MARKET" and order.tif == "GTC" and order.flat_by is None:
            # By far the most; it needs neither timers nor a trigger.
            self.writer.submit(order)
        else:
            self._send(order)
        # What filled at once never was open.
        if order.status not in TERMINAL and not order.reduce_only:
            self.writer.recount(order)

    def _send(self, order: Order) -> None:
        if order.tif == "DAY":
            self._timers.set(self._day_end(order), "expire", order.order_id)
        if order.kind in _STOPS and (order.emulate or order.kind in self._settings.emulate):
            order.emulate = True
            self.emulator.hold(order)
        else:
            self.writer.submit(order)

    def _day_end(self, order: Order) -> int:
        now = self._recorder.now
        session = self._market.session(self._market.specs[order.symbol].calendar, now)
        if session is not None:
            return session[1]
        return next_day(now, self._settings.day_offset)

    def _release(self, order: Order) -> None:
        """Send a member of a group; a bracket's exits close what passed the rules at its entry."""
        if order.role in ("TARGET", "STOP"):
            self._send(order)
        else:
            self.launch(order)

    def _released(self, order: Order) -> None:
        """Send an emulated order whose trigger was reached."""
        account = self._accounts[order.account]
        if account.trading_state == HALTED and not order.reduce_only:
            refused = Refused("TRADING_HALTED", "a halt", account.state_reason, "nothing")
            self._deny(order, refused)
        else:
            self.writer.submit(order)

    # --- what happens to orders: the writer's listener --------------------------------------------

    def order_moved(self, order: Order) -> None:
        """Hear of an event that was no fill."""
        if order.group:
            self.groups.sync(order.group)
        if self._picks:
            self._picker.order_moved(order, self._recorder.now)
            self.ledger.touch(order.symbol)

    def order_filled(self, order: Order, report: OrderFilled) -> None:
        """Hear of a fill."""
        if order.group:
            self.groups.sync(order.group)
        if self._picks:
            self._picker.order_moved(order, self._recorder.now)
            self.ledger.touch(order.symbol)
        if order.flat_by is not None and order.flat_by <= self._recorder.now:
            # It crossed the cancel at the time by which all is flat.
            self._close(order.account, order.strategy, order.symbol, report.quantity * order.side)
        if not self._host.idle:
            self._host.fill(order, report)
        if not self.mark_set and self._accounts[order.account].limits.held:
            self.watch()

    def watch(self) -> None:
        """Let accounts with limits be valued while they hold positions."""
        if self.mark_set:
            return
        interval, now = self._settings.mark_interval, self._recorder.now
        self.mark_set = True
        self._timers.set(now - now % interval + interval, "mark")

    def mark(self) -> None:
        """Value every account whose limits depend on it, and go on while positions are open."""
        self.mark_set = False
        again = False
        for account in self._accounts.values():
            if account.limits.held and any(e.net for e in account.exposures.values()):
                self.gate.mark(account)
                again = again or self.gate.watches(account)
        if again:
            self.watch()

    # --- commands ---------------------------------------------------------------------------------

    def submit(self, command: Submit) -> tuple[str, str]:
        """Open the orders of a command; returns a code and the id of the first or the group."""
        terms, kind = command.orders, command.kind
        if kind == "ORDER" and len(terms) == 1:
            return "OK", self.open_terms(terms[0], command.command_id).order_id
        if kind not in GROUP_KINDS or len(terms) < 2 or (kind == "BRACKET" and len(terms) != 3):
            return "MALFORMED", f"{kind} of {len(terms)} orders"
        problem = _group_fault(kind, terms)
        if problem:
            return "MALFORMED", problem
        group_id = self._recorder.next_id()
        roles = _ROLES.get(kind, ())
        orders: list[Order] = []
        for at, each in enumerate(terms):
            role = roles[at] if at < len(roles) else ("LEG" if kind == "OCO" else "CHILD")
            parent = orders[0].order_id if orders and kind != "OCO" else ""
            orders.append(
                self.open_terms(each, command.command_id, group_id, role, parent, held=True)
            )
        group = Group(group_id, kind, [o.order_id for o in orders], [o.qty for o in orders])
        self.groups.add(group)
        if any(order.status in TERMINAL for order in orders):
            for order in orders:
                self.writer.cancel(order, "a member of its group was denied")
            self.groups.sync(group_id)
            return "DENIED", group_id
        for order in orders if kind == "OCO" else orders[:1]:
            if order.status not in TERMINAL:
                order.sent = True
                self.launch(order)
        self.groups.sync(group_id)
        return "OK", group_id

    def order(self, order_id: str) -> Order | None:
        """Return an order that is not forgotten yet."""
        return self.writer.orders.get(order_id)

    def cancel(self, command: Cancel) -> tuple[str, str]:
        """End an order by command."""
        order = self.order(command.order_id)
        if order is None:
            return "UNKNOWN_ORDER", command.order_id
        refused = self.gate.refuses_cancel(self._accounts.get(order.account))
        if refused is not None:
            return refused.code, refused.message
        return self.cancel_order(command.order_id, f"by {command.by}"), ""

    def cancel_order(self, order_id: str, reason: str = "") -> str:
        """Ask for an order's end; returns OK or why not."""
        order = self.order(order_id)
        if order is None:
            return "UNKNOWN_ORDER"
        code = self.writer.cancel(order, reason)
        self.emulator.changed(order)
        return code

    def replace(self, command: Replace) -> tuple[str, str]:
        """Give an order other terms by command, after the rules have seen them."""
        order = self.order(command.order_id)
        if order is None:
            return "UNKNOWN_ORDER", command.order_id
        qty = order.qty if command.quantity is None else command.quantity
        limit = order.limit if command.limit is None else command.limit
        stop = self.writer.kept_stop(order) if command.stop is None else command.stop
        spec = self._market.specs[order.symbol]
        terms = OrderTerms(
            *(order.account, order.strategy, order.symbol, order.side, qty, order.kind),
            *(limit, stop, order.tif, order.trail, order.trail_bps, order.expire_at),
        )
        fault = _fault(terms, spec, self._recorder.now)
        if fault is not None:
            return fault.code, fault.message
        refused = self.gate.refuses_cancel(self._accounts[order.account])
        if refused is None and order.status not in TERMINAL and not order.reduce_only:
            refused = self._judge_replace(order, qty, limit, stop)
        if refused is not None:
            return refused.code, refused.message
        if order.group and command.quantity is not None:
            self.groups.resized(order, qty)
        code = self.writer.replace(order, qty, limit, stop)
        self.emulator.replaced(order)
        return code, ""

    def _judge_replace(
        self, order: Order, qty: int, limit: int | None, stop: int | None
    ) -> Refused | None:
        """Judge what would be open after a replace, without the order as it is."""
        if qty <= order.filled:
            return None
        probe = msgspec.structs.replace(order, qty=qty - order.filled, limit=limit, stop=stop)
        self.books.count(order, -order.counted)
        try:
            refused = self.gate.would_refuse(probe)
        finally:
            self.books.count(order, order.counted)
        most = probe.qty + order.filled
        if refused is None and most < qty and order.qty < qty:
            refused = Refused(
                "DRAWDOWN", "sizes at this drawdown", f"size units {qty}", f"at most {most}"
            )
        return refused

    def _may_grow(self, order: Order, qty: int) -> bool:
        """Judge the size that a group wants for a member, and say so where it is refused."""
        if order.reduce_only:
            return True
        refused = self._judge_replace(order, qty, order.limit, order.stop)
        if refused is not None:
            self.gate.refuse(order, refused)
        return refused is None

    def _cancel_account(self, account: Account) -> None:
        self.cancel_all(account.name, "", "", "halted", closing=False)

    def _flatten_account(self, account: Account) -> None:
        self.flatten(Flatten(self._recorder.now, "", "limits", account.name))

    def cancel_all(
        self, account: str, strategy: str, symbol: str, reason: str, *, closing: bool = True
    ) -> int:
        """End every open order that fits, with those that close positions; returns how many."""
        count = 0
        for order in list(self.writer.orders.values()):
            if (
                order.account == account
                and strategy in ("", order.strategy)
                and symbol in ("", order.symbol)
                and order.status not in TERMINAL
                and (closing or not _closes(order))
                and self.cancel_order(order.order_id, reason) == "OK"
            ):
                count += 1
        return count

    def flatten(self, command: Flatten) -> tuple[str, str]:
        """Cancel what rests and close what is held, at the market; asking again closes no more."""
        # What closes a position already goes on: without it the position would stay.
        reason = f"by {command.by}"
        self.cancel_all(command.account, command.strategy, command.symbol, reason, closing=False)
        closed = 0
        for account, strategy, symbol in list(self.ledger.positions):
            if (
                account == command.account
                and command.strategy in ("", strategy)
                and command.symbol in ("", symbol)
            ):
                closed += self._close(account, strategy, symbol, None, command.command_id)
        return "OK", f"{closed} positions"

    def _close(
        self, account: str, strategy: str, symbol: str, most: int | None, command_id: str = ""
    ) -> int:
        """Send a market order against a position, less what is on its way already.

        `most` is the signed size of which no more is closed; None is all of it.
        """
        net = self.ledger.position(account, strategy, symbol).net
        for order in self.writer.orders.values():
            if (
                _closes(order)
                and (order.account, order.strategy, order.symbol) == (account, strategy, symbol)
                and order.status not in TERMINAL
            ):
                net += order.side * order.leaves
        if most is not None:
            net = max(min(net, most), 0) if most > 0 else min(max(net, most), 0)
        if not net:
            return 0
        terms = OrderTerms(
            *(account, strategy, symbol, -1 if net > 0 else 1, abs(net), "MARKET"),
            *(None, None, "GTC"),
            tag=_FLATTEN,
        )
        self.open_terms(terms, command_id, emergency=True)
        return 1

    # --- timers of orders -------------------------------------------------------------------------

    def _is_alive(self, kind: str, subject: str) -> bool:
        """Whether a timer of an order still means something."""
        if kind not in ("expire", "launch", "flat_by"):
            return True
        order = self.order(subject)
        if order is None:
            return False
        if kind == "flat_by":
            return order.flat_by is not None
        return order.status not in TERMINAL

    def set_missing_timers(self) -> None:
        """Set the timers of orders that wait here, as snapshots of before lack them."""
        known = {(kind, subject) for _, _, kind, subject in self._timers.heap}
        for order in self.writer.orders.values():
            if order.status is OrderStatus.INITIALIZED:
                for kind, time in _ends_of(order):
                    if (kind, order.order_id) not in known:
                        self._timers.set(time, kind, order.order_id)

    def expire(self, order_id: str) -> None:
        """End an order whose time in force is over, unless the venue does so itself."""
        order = self.order(order_id)
        if order is None or order.status in TERMINAL:
            return
        if order.status in _HELD:
            self.writer.event(order, "EXPIRED")
            self.emulator.changed(order)
            self.order_moved(order)
        elif self._paper is not None:
            self._paper.expire(order_id)

    def launch_held(self, order_id: str) -> None:
        """Send an order whose earliest time has come."""
        order = self.order(order_id)
        if order is not None and order.status is OrderStatus.INITIALIZED:
            self.launch(order)

    def flat_by(self, order_id: str) -> None:
        """End an order and its group, and close what is left of what they opened."""
        order = self.order(order_id)
        if order is None:
            return
        group = self.groups.groups.get(order.group)
        members = [order_id] if group is None else list(group.members)
        if order.status in TERMINAL and not order.group and order.filled:
            self.writer.finished.append((self._recorder.now, order_id))
        opened: dict[tuple[str, str, str], int] = {}
        for each in members:
            member = self.order(each)
            if member is not None:
                key = member.account, member.strategy, member.symbol
                opened[key] = opened.get(key, 0) + member.side * member.filled
            self.cancel_order(each, "flat by its time")
        for key, size in opened.items():
            if size:
                self._close(*key, size)

    def check(self, moved: dict[tuple[str, str], int]) -> None:
        """Raise InvariantError where the books or the counts of open orders are wrong."""
        self.ledger.check(moved)
        self.gate.check()
        open_sizes: dict[tuple[str, str, int], int] = {}
        for order in self.writer.orders.values():
            key = order.account, order.symbol, order.side
            open_sizes[key] = open_sizes.get(key, 0) + order.counted
            if order.counted and order.counted != order.leaves:
                raise InvariantError(
                    f"order {order.order_id} counts {order.counted} as open, {order.leaves} are"
                )
        for account in self._accounts.values():
            for symbol, exposure in account.exposures.items():
                for side, size in ((1, exposure.open_buy), (-1, exposure.open_sell)):
                    if size != open_sizes.get((account.name, symbol, side), 0):
                        raise InvariantError(
                            f"{account.name}: open orders of {symbol} on side {side} are "
                            f"{open_sizes.get((account.name, symbol, side), 0)}, counted {size}"
                        )

    def settle(self) -> None:
        """Tell strategies what has happened, and forget orders that ended long enough ago."""
        if not self._host.idle:
            self._host.drain()
        if self.writer.finished:
            settings = self._settings
            self.writer.evict(self._recorder.now - settings.order_memory, settings.memory_max)
        paper = self._paper
        if paper is not None and paper.wakes:
            for time in paper.wakes:
                self._timers.set(time, "broker")
            paper.wakes.clear()


def _ends_of(order: Order) -> list[tuple[str, int]]:
    """The timers that end an order at times of its own."""
    ends = []
    if order.tif == "GTD" and order.expire_at is not None:
        ends.append(("expire", order.expire_at))
    if order.flat_by is not None:
        ends.append(("flat_by", order.flat_by))
    return ends


def _closes(order: Order) -> bool:
    """Whether an order closes a position for a flatten or at its time."""
    return order.tag == _FLATTEN and order.kind == "MARKET"


def next_day(now: int, offset: int) -> int:
    """Return when the next day begins."""
    return now - (now - offset) % DAY + DAY


def _fault(terms: OrderTerms, spec: InstrumentSpec | None, now: int) -> Refused | None:
    """Return why terms are no order on any market, as the journal may hold anything."""
    if terms.fault_code:
        return Refused(terms.fault_code, "a well-formed order", terms.fault, "a corrected request")
    if spec is None:
        return Refused("UNKNOWN_INSTRUMENT", "instruments", terms.symbol, "a defined one")
    quantity = terms.quantity
    if quantity <= 0 or quantity % spec.size_increment:
        step = str(spec.size(spec.size_increment))
        return Refused("SIZE_INCREMENT", f"size increment {step}", str(quantity), "a multiple")
    kind = terms.kind
    plain = kind == "MARKET" and terms.limit is None and terms.stop is None
    timed = terms.tif == "GTD" or terms.flat_by is not None
    if plain and terms.side in (1, -1) and terms.tif in TIMES_IN_FORCE and not timed:
        return None
    for name, price in (("limit", terms.limit), ("stop", terms.stop)):
        if price is not None and (
            price % spec.price_increment or (price <= 0 and not spec.negative_prices)
        ):
            step = str(spec.price(spec.price_increment))
            return Refused("PRICE_INCREMENT", f"price increment {step}", f"{name} {price}", "")
    problem = ""
    if terms.side not in (1, -1) or kind not in KINDS or terms.tif not in TIMES_IN_FORCE:
        problem = f"side {terms.side}, kind {kind}, time in force {terms.tif}"
    elif (terms.limit is None) == (kind in ("LIMIT", "STOP_LIMIT")):
        problem = f"a {kind} order with a limit of {terms.limit}"
    elif (terms.stop is None and kind in ("STOP", "STOP_LIMIT")) or (
        terms.stop is not None and kind not in _STOPS
    ):
        problem = f"a {kind} order with a stop of {terms.stop}"
    elif kind == "TRAILING_STOP" and terms.trail is None and terms.trail_bps is None:
        problem = "a trailing stop without a trail"
    elif terms.tif == "GTD" and terms.expire_at is None:
        problem = "GTD without a time"
    elif terms.expire_at is not None and terms.expire_at <= now:
        problem = f"GTD until {terms.expire_at}, which is over: it is {now}"
    elif terms.flat_by is not None and terms.flat_by <= now:
        problem = f"flat by {terms.flat_by}, which is over: it is {now}"
    elif terms.not_before is not None and any(
        end is not None and end <= terms.not_before for end in (terms.expire_at, terms.flat_by)
    ):
        problem = f"not before {terms.not_before}, when its time is over"
    return Refused("MALFORMED", "a well-formed order", problem, "") if problem else None


def _group_fault(kind: str, terms: tuple[OrderTerms, ...]) -> str:
    """Return what is wrong with a group, or nothing."""
    first = terms[0]
    if any(each.account != first.account for each in terms):
        return "orders of several accounts"
    if kind == "BRACKET":
        target, stop = terms[1], terms[2]
        if any(e.symbol != first.symbol or e.side != -first.side for e in (target, stop)):
            return "exits of a bracket are against its entry, in the same symbol"
        if target.limit is None or stop.stop is None:
            return "a bracket's target is a limit order and its stop a stop order"
        if (target.limit - stop.stop) * first.side <= 0:
            return f"target {target.limit} and stop {stop.stop} are the wrong way round"
        if not (target.reduce_only and stop.reduce_only):
            return "exits of a bracket are reduce-only"
        entry = first.limit if first.limit is not None else first.stop
        if entry is not None and not (
            (target.limit - entry) * first.side > 0 and (entry - stop.stop) * first.side > 0
        ):
            return f"entry {entry} is not between target {target.limit} and stop {stop.stop}"
    return ""
