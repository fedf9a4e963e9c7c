"""The gate between signals and orders: places, reservations, weights (one per account)."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import msgspec

from trading.errors import SettingsError
from trading.journal.codec import pack, unpack
from trading.journal.inputs import SetWeights
from trading.journal.outputs import ReservationChanged, SignalMade, WeightsChanged
from trading.journal.recorder import Recorder
from trading.numbers import to_decimal
from trading.orders.order import Order
from trading.orders.status import TERMINAL
from trading.risk.account import Account, Market
from trading.risk.limits import Limits
from trading.times import MILLISECOND

__all__ = ["TWIN", "WHOLE", "TradePicker"]

NEVER = 2**62
WHOLE = 1_000_000
"""A weight of one, in millionths."""

TWIN = "paper:"
"""What the account of a paper twin begins with: no places are counted there."""


class _Reservation(msgspec.Struct, array_like=True, gc=False):
    """A place that is kept for a symbol until `until`, for the order of a signal."""

    signal_id: str
    until: int
    quantity: int
    order_id: str = ""


class _Working(msgspec.Struct, array_like=True, gc=False):
    """An accepted order that may still open a position."""

    account: str
    symbol: str


class _State(msgspec.Struct, array_like=True, gc=False):
    """All that a snapshot keeps, by account."""

    reserved: dict[str, dict[str, _Reservation]] = {}
    working: dict[str, _Working] = {}
    weights: dict[str, dict[str, int]] = {}
    # Weight at the last entry, by account and "strategy|symbol": what exits are scaled with.
    entered: dict[str, dict[str, int]] = {}


class TradePicker:
    """Decides which signals become orders, and of which size.

    A signal that would open a symbol needs a place: `open + reserved < max_open_positions`. It
    keeps the place until its position arrives, its order ends without a fill, or
    `reservation_ttl_ms` is over (0: no such time); what still works of the order is cancelled then.
    SELL needs a long position while `sell_requires_long`. Sizes are the signal's hint times the
    strategy's weight, bounded by what is held and by the limits of the account. Accounts of paper
    twins, `paper:…`, have no places and no weights.
    """

    def __init__(
        self,
        max_open_positions: int = 3,
        sell_requires_long: bool = True,
        reserve_on_open: bool = True,
        reservation_ttl_ms: int = 300_000,
    ) -> None:
        if max_open_positions < 0:
            raise SettingsError(
                f"max_open_positions: expected 0 or more places, seen {max_open_positions}"
            )
        if reservation_ttl_ms < 0:
            raise SettingsError(
                f"reservation_ttl_ms: expected milliseconds of 0 or more, seen {reservation_ttl_ms}"
            )
        self.max_open_positions = max_open_positions
        self.sell_requires_long = sell_requires_long
        self.reserve_on_open = reserve_on_open
        self.reservation_ttl_ms = reservation_ttl_ms
        self.due = NEVER
        self._state = _State()
        self._market = Market(0)
        self._recorder = Recorder(digest=False)

    def connect(self, market: Market, recorder: Recorder) -> None:
        """Take instruments and prices from a market, and tell of reservations to a recorder."""
        self._market, self._recorder = market, recorder

    # --- deciding ---------------------------------------------------------------------------------

    def decide(self, signal: SignalMade, account: Account, now: int) -> tuple[str, int, str]:
        """Return OK or why not, the quantity in units, and a detail; OK reserves a place."""
        symbol = signal.symbol
        held = account.position(symbol)
        twin = account.name.startswith(TWIN)
        if signal.action == "SELL" and self.sell_requires_long and held <= 0:
            return "NO_OPEN_POSITION", 0, f"the position of {symbol} is {held}"
        closes = held * (1 if signal.action == "BUY" else -1) < 0
        if closes:
            quantity = self._exit(signal, account, abs(held))
        else:
            if not twin and not held:
                full = self._is_full(account, symbol)
                if full:
                    return "OPEN_LIMIT_EXCEEDED", 0, full
            quantity = self._entry(signal, account, now)
        if quantity <= 0:
            return "NO_SIZE", 0, self._why_nothing(signal, account)
        if not closes and not twin and self.reserve_on_open:
            self._reserve(signal, account.name, quantity, now)
        return "OK", quantity, ""

    def _is_full(self, account: Account, symbol: str) -> str:
        """Return what takes all the places, or nothing where one is free or kept for the symbol."""
        open_ = {name for name, exposure in account.exposures.items() if exposure.net}
        kept = set(self._state.reserved.get(account.name, ()))
        kept |= {e.symbol for e in self._state.working.values() if e.account == account.name}
        if symbol in kept or len(open_ | kept) < self.max_open_positions:
            return ""
        return (
            f"{len(open_)} open and {len(kept - open_)} reserved of "
            f"{self.max_open_positions} places: {' '.join(sorted(open_ | kept))}"
        )

    def weight(self, account: str, strategy: str) -> int:
        """Return a strategy's weight in millionths; one where none was set."""
        return self._state.weights.get(account, {}).get(strategy, WHOLE)

    def _entry(self, signal: SignalMade, account: Account, now: int) -> int:
        weight = WHOLE
        if not account.name.startswith(TWIN):
            weight = self.weight(account.name, signal.strategy)
        wanted = signal.size_hint * weight // WHOLE
        side = 1 if signal.action == "BUY" else -1
        held = account.limits.at(now)
        if held is not None:
            room = _room(held.limits, account, self._market, signal.symbol, side)
            wanted = wanted if room is None else min(wanted, room)
        key = f"{signal.strategy}|{signal.symbol}"
        self._state.entered.setdefault(account.name, {})[key] = weight
        return self._rounded(wanted, signal.symbol)

    def _exit(self, signal: SignalMade, account: Account, held: int) -> int:
        """The size of a signal against what is held: scaled as its entry was, never more than it.

        A strategy closes its own position; what other strategies hold it may reduce by a signal
        only where it holds none itself.
        """
        key = f"{signal.strategy}|{signal.symbol}"
        weight = self._state.entered.get(account.name, {}).get(key, WHOLE)
        own = abs(account.strategy_exposure(signal.strategy, signal.symbol).net)
        bound = own if own else held
        wanted = self._rounded(signal.size_hint * weight // WHOLE, signal.symbol)
        return min(wanted, bound, held) if self.sell_requires_long or own else wanted

    def _rounded(self, size: int, symbol: str) -> int:
        spec = self._market.specs.get(symbol)
        return size if spec is None else size - size % spec.size_increment

    def _why_nothing(self, signal: SignalMade, account: Account) -> str:
        weight = self.weight(account.name, signal.strategy)
        return (
            f"the size hint is {signal.size_hint} units, the weight {weight} millionths; the size "
            "increment and the limits leave nothing of it"
        )

    # --- reservations -----------------------------------------------------------------------------

    def _reserve(self, signal: SignalMade, account: str, quantity: int, now: int) -> None:
        ttl = self.reservation_ttl_ms * MILLISECOND
        until = now + ttl if ttl else NEVER
        places = self._state.reserved.setdefault(account, {})
        # A later signal for the symbol takes over its place, and its time counts.
        places[signal.symbol] = _Reservation(signal.signal_id, until, quantity)
        self._find_due()
        self._say(account, signal.symbol, places[signal.symbol], "MADE")

    def order_placed(self, signal: SignalMade, order: Order, now: int) -> None:
        """Hear of the order that an accepted signal became."""
        place = self._state.reserved.get(order.account, {}).get(order.symbol)
        if place is not None and place.signal_id == signal.signal_id:
            place.order_id = order.order_id
            if order.status not in TERMINAL:
                self._state.working[order.order_id] = _Working(order.account, order.symbol)
            self.order_moved(order, now)

    def order_moved(self, order: Order, now: int) -> None:  # noqa: ARG002 - a picker's interface
        """Hear of an event of an order: its fill or its end ends its reservation."""
        state, over = self._state, order.status in TERMINAL
        if over:
            state.working.pop(order.order_id, None)
        place = state.reserved.get(order.account, {}).get(order.symbol)
        if place is None or place.order_id != order.order_id:
            return
        if order.filled:
            self._end(order.account, order.symbol, "POSITION_ARRIVED")
        elif over:
            self._end(order.account, order.symbol, "ORDER_ENDED")

    def expire(self, now: int) -> Sequence[str]:
        """End the reservations whose time is over; returns their orders, which have to end too."""
        over = [
            (account, symbol, place.order_id)
            for account, places in self._state.reserved.items()
            for symbol, place in places.items()
            if place.until <= now
        ]
        for account, symbol, _ in over:
            self._end(account, symbol, "EXPIRED")
        return [order_id for _, _, order_id in over if order_id in self._state.working]

    def _end(self, account: str, symbol: str, how: str) -> None:
        places = self._state.reserved[account]
        self._say(account, symbol, places.pop(symbol), how)
        if not places:
            del self._state.reserved[account]
        self._find_due()

    def _find_due(self) -> None:
        self.due = min(
            (p.until for places in self._state.reserved.values() for p in places.values()),
            default=NEVER,
        )

    def _say(self, account: str, symbol: str, place: _Reservation, state: str) -> None:
        recorder = self._recorder
        recorder.emit(
            ReservationChanged(
                recorder.now, account, symbol, state, place.signal_id, place.quantity, place.until
            )
        )

    def reserved(self, account: str) -> dict[str, int]:
        """Return the symbols that have a place reserved, with the time at which it is over."""
        return {s: place.until for s, place in self._state.reserved.get(account, {}).items()}

    # --- weights ----------------------------------------------------------------------------------

    def set_weights(self, command: SetWeights) -> tuple[str, str]:
        """Give strategies of an account other weights; returns OK, or why not."""
        for strategy, weight in command.weights:
            if not 0 <= weight <= WHOLE:
                return "MALFORMED", f"the weight {weight} of {strategy} is not within 0 to {WHOLE}"
        known = self._state.weights.setdefault(command.account, {})
        recorder = self._recorder
        for strategy, weight in command.weights:
            known[strategy] = weight
            recorder.emit(
                WeightsChanged(
                    recorder.now, command.account, strategy, weight, command.by, command.reason
                )
            )
        return "OK", f"{len(command.weights)} weights"

    # --- snapshots --------------------------------------------------------------------------------

    def dump(self) -> bytes:
        """Return what a snapshot keeps."""
        return pack(self._state)

    def load(self, data: bytes) -> None:
        """Go on from a snapshot."""
        self._state = unpack(data, _State)
        self._find_due()


def _room(limits: Limits, account: Account, market: Market, symbol: str, side: int) -> int | None:
    """The largest size in units that the limits of quantity and notional leave; None for any."""
    spec, exposure = market.specs[symbol], account.exposure(symbol)
    reach = exposure.longest if side > 0 else -exposure.shortest
    unit = 10**spec.size_decimals
    rooms: list[Fraction] = []
    for name, used in (("max_order_quantity", 0), ("max_position", reach)):
        quantity = limits.decimal(name)
        if quantity is not None:
            rooms.append(Fraction(quantity) * unit - used)
    price = market.last.get(symbol)
    amounts = [("max_order_notional", 0), ("max_symbol_notional", reach)]
    if price:
        each = abs(price) * market.factors[symbol]
        worth = market.convert(each, spec.currency, account.base)
        money = 10**market.money_decimals
        for name, used in amounts:
            amount = limits.decimal(name)
            if amount is not None and worth:
                rooms.append(Fraction(to_decimal(amount, name)) * money / worth - used)
    return max(int(min(rooms)), 0) if rooms else None
