"""Lots in whole numbers: how a fill closes what is open and opens the rest.

A lot remembers the whole fill that opened it (`original`, `value`, `fees`) and how much of it has
been matched. Shares of value and fees are differences of cumulative floors, so that the pieces add
up to the fill exactly, across flips as well.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from trading.errors import InvariantError, PositionError
from trading.numbers import fee_share

__all__ = ["METHODS", "Booking", "Execution", "Lot", "Match", "Method", "Position"]

Method = Literal["FIFO", "LIFO", "AVERAGE"]
METHODS: tuple[Method, ...] = ("FIFO", "LIFO", "AVERAGE")


class Execution(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A fill in whole numbers: `side` is 1 for a buy and -1 for a sell, `fees` is money."""

    fill_id: str
    order_id: str
    side: int
    quantity: int
    price: int
    fees: int
    time: int


class Lot(msgspec.Struct, array_like=True, gc=False):
    """What one fill opened; `value` is money, `original - matched` is still open."""

    fill_id: str
    order_id: str
    opened: int
    original: int
    matched: int
    value: int
    fees: int

    @property
    def quantity(self) -> int:
        """Size that is still open, in the instrument's units."""
        return self.original - self.matched

    def open_value(self) -> int:
        """Return the money that what is still open was bought or sold for."""
        return self.value - self.value * self.matched // self.original

    def open_fees(self) -> int:
        """Return the fees that belong to what is still open."""
        return self.fees - self.fees * self.matched // self.original


class Match(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One piece closed, in whole numbers; `side` is 1 where the lot was long."""

    open_fill_id: str
    open_order_id: str
    close_fill_id: str
    close_order_id: str
    side: int
    quantity: int
    open_value: int
    close_value: int
    open_fees: int
    close_fees: int
    realized: int
    opened: int
    closed: int

    @property
    def match_id(self) -> str:
        """The closing and the opening execution: one pair is matched once."""
        return f"{self.close_fill_id}:{self.open_fill_id}"


class Booking(msgspec.Struct, array_like=True, gc=False):
    """A booked fill with what undoes it: the lots it removed, and what it took from one more."""

    execution: Execution
    matches: list[Match]
    removed: list[Lot]
    pieces: list[int]
    partial: int
    opened: bool
    # The average lot before the fill; None for FIFO and LIFO, and where there was none.
    average: Lot | None = None


class Position(msgspec.Struct, array_like=True, gc=False):
    """Lots of one account, strategy and symbol, with running totals.

    `net` is signed size, `cost` the signed money that what is open was traded for, `realized` is
    before fees, `fees` all that was charged, `income` dividends and cash in lieu of fractions.
    """

    account: str
    strategy: str
    symbol: str
    currency: str
    factor: int
    method: Method = "FIFO"
    net: int = 0
    cost: int = 0
    realized: int = 0
    fees: int = 0
    income: int = 0
    updated: int = 0
    lots: list[Lot] = []
    bookings: list[Booking] = []
    # Signed money of all fills: what cash changed by, without fees and income.
    paid: int = 0

    def unrealized(self, price: int) -> int:
        """Return the profit or loss of what is open at a price, in money."""
        return self.net * price * self.factor - self.cost

    def book(self, execution: Execution, keep: bool = False) -> list[Match]:
        """Book a fill: close opposite lots, open a lot with the rest; return what was closed.

        With `keep`, the fill can later be busted or corrected exactly.
        """
        side, quantity = execution.side, execution.quantity
        value = quantity * execution.price * self.factor
        signed = value if side > 0 else -value
        self.paid += signed
        self.fees += execution.fees
        self.updated = execution.time
        net = self.net
        self.net = net + (quantity if side > 0 else -quantity)
        if self.method == "AVERAGE":
            return self._book_average(execution, value, net, keep)
        if net * side >= 0:
            self.cost += signed
            self.lots.append(
                Lot(
                    execution.fill_id,
                    execution.order_id,
                    execution.time,
                    quantity,
                    0,
                    value,
                    execution.fees,
                )
            )
            if keep:
                self.bookings.append(Booking(execution, [], [], [], 0, True))
            return []
        return self._close(execution, value, keep)

    def _close(self, execution: Execution, value: int, keep: bool) -> list[Match]:
        side, quantity, fees = execution.side, execution.quantity, execution.fees
        lots = self.lots
        at = 0 if self.method == "FIFO" else -1
        done = 0
        matches: list[Match] = []
        removed: list[Lot] = []
        pieces: list[int] = []
        partial = 0
        while done < quantity and lots:
            lot = lots[at]
            left, rest = lot.original - lot.matched, quantity - done
            piece = left if left < rest else rest
            before = lot.matched
            matches.append(self._match(execution, lot, piece, done, value, fees))
            done += piece
            if before + piece == lot.original:
                removed.append(lots.pop(at))
                pieces.append(piece)
            else:
                partial = piece
        if done < quantity:
            rest = value - value * done // quantity
            self.cost += rest if side > 0 else -rest
            lots.append(
                Lot(
                    execution.fill_id,
                    execution.order_id,
                    execution.time,
                    quantity,
                    done,
                    value,
                    fees,
                )
            )
        if keep:
            self.bookings.append(
                Booking(execution, matches, removed, pieces, partial, done < quantity)
            )
        return matches

    def _match(
        self, execution: Execution, lot: Lot, piece: int, done: int, value: int, fees: int
    ) -> Match:
        """Close a piece of a lot by a piece of a fill; `done` of the fill was matched before."""
        quantity, original, before = execution.quantity, lot.original, lot.matched
        if piece == original:
            opened, open_fees = lot.value, lot.fees
        else:
            opened = fee_share(lot.value, original, before, piece)
            open_fees = fee_share(lot.fees, original, before, piece)
        if piece == quantity:
            closed, close_fees = value, fees
        else:
            closed = fee_share(value, quantity, done, piece)
            close_fees = fee_share(fees, quantity, done, piece)
        side = -execution.side
        realized = closed - opened if side > 0 else opened - closed
        lot.matched = before + piece
        self.realized += realized
        self.cost -= opened if side > 0 else -opened
        return Match(
            lot.fill_id,
            lot.order_id,
            execution.fill_id,
            execution.order_id,
            side,
            piece,
            opened,
            closed,
            open_fees,
            close_fees,
            realized,
            lot.opened,
            execution.time,
        )

    def _book_average(self, execution: Execution, value: int, net: int, keep: bool) -> list[Match]:
        """Average cost: one lot, into which every opening fill is merged."""
        side, quantity, fees = execution.side, execution.quantity, execution.fees
        before = msgspec.structs.replace(self.lots[0]) if keep and self.lots else None
        matches: list[Match] = []
        done = 0
        if net * side < 0:
            lot = self.lots[0]
            piece = min(lot.original - lot.matched, quantity)
            matches.append(self._match(execution, lot, piece, 0, value, fees))
            done = piece
            if lot.matched == lot.original:
                self.lots.clear()
        if done < quantity:
            rest = value - value * done // quantity
            rest_fees = fees - fees * done // quantity
            self.cost += rest if side > 0 else -rest
            if self.lots:
                lot = self.lots[0]
                open_value, open_fees, open_quantity = (
                    lot.open_value(),
                    lot.open_fees(),
                    lot.quantity,
                )
                lot.original, lot.matched = open_quantity + quantity - done, 0
                lot.value, lot.fees = open_value + rest, open_fees + rest_fees
            else:
                self.lots.append(
                    Lot(
                        execution.fill_id,
                        execution.order_id,
                        execution.time,
                        quantity - done,
                        0,
                        rest,
                        rest_fees,
                    )
                )
        if keep:
            self.bookings.append(Booking(execution, matches, [], [], 0, done < quantity, before))
        return matches

    # --- busts and corrections --------------------------------------------------------------------

    def forget_before(self, time: int, most: int = 0) -> list[str]:
        """Drop the memory of fills before a time, and return their ids.

        Where more than `most` are kept, and a quarter again, the oldest are dropped too (0: no
        bound). A bust of one of them is booked as its opposite.
        """
        bookings = self.bookings
        count = len(bookings) - most if most and len(bookings) > most + most // 4 else 0
        while count < len(bookings) and bookings[count].execution.time < time:
            count += 1
        forgotten = [each.execution.fill_id for each in bookings[:count]]
        if count:
            del bookings[:count]
        return forgotten

    def find(self, fill_id: str) -> int | None:
        """Return the place of a fill among those that can be undone, or None."""
        for at in range(len(self.bookings) - 1, -1, -1):
            if self.bookings[at].execution.fill_id == fill_id:
                return at
        return None

    def rebook(self, at: int, corrected: Execution | None) -> tuple[list[Match], list[Match]]:
        """Take back one fill, or put another in its place, and match all later ones anew.

        Returns the matches that no longer hold and those that hold instead; the lots are as if the
        fill had never been, or had been right from the beginning.
        """
        later = self.bookings[at + 1 :]
        old: list[Match] = []
        while len(self.bookings) > at:
            booking = self.bookings.pop()
            old[:0] = booking.matches
            self._undo(booking)
        new: list[Match] = []
        if corrected is not None:
            new += self.book(corrected, keep=True)
        for booking in later:
            new += self.book(booking.execution, keep=True)
        kept = set(map(_content, old)) & set(map(_content, new))
        return (
            [match for match in old if _content(match) not in kept],
            [match for match in new if _content(match) not in kept],
        )

    def _undo(self, booking: Booking) -> None:
        execution = booking.execution
        side, quantity = execution.side, execution.quantity
        value = quantity * execution.price * self.factor
        signed = value if side > 0 else -value
        self.paid -= signed
        self.fees -= execution.fees
        self.net -= quantity if side > 0 else -quantity
        for match in booking.matches:
            self.realized -= match.realized
        if self.method == "AVERAGE":
            self.lots[:] = [] if booking.average is None else [booking.average]
        else:
            if booking.opened:
                self.lots.pop()
            if booking.partial:
                lot = self.lots[0 if self.method == "FIFO" else -1]
                lot.matched -= booking.partial
            for lot, piece in zip(reversed(booking.removed), reversed(booking.pieces), strict=True):
                lot.matched -= piece
                if self.method == "FIFO":
                    self.lots.insert(0, lot)
                else:
                    self.lots.append(lot)
        self.cost = sum(lot.open_value() for lot in self.lots) * (1 if self.net > 0 else -1)

    # --- corporate actions ------------------------------------------------------------------------

    def split(self, new: int, old: int, lieu_price: int = 0) -> int:
        """Turn every `old` units into `new`; the cost stays. Returns the money for fractions.

        A position that does not come out whole is rounded towards zero, and the fraction is paid
        at `lieu_price`, in the new price. Fills before a split can no longer be matched anew.
        """
        if new <= 0 or old <= 0:
            raise PositionError(f"{self.symbol}: a split of {new} for {old} is none")
        sign = 1 if self.net > 0 else -1
        total = abs(self.net) * new
        lots: list[Lot] = []
        before = after = 0
        spare_value = spare_fees = 0
        for lot in self.lots:
            value, fees = lot.open_value() + spare_value, lot.open_fees() + spare_fees
            before += lot.quantity
            size = before * new // old - after
            if size == 0:
                # Too small to be one unit: its cost goes on with the next lot.
                spare_value, spare_fees = value, fees
                continue
            spare_value = spare_fees = 0
            after += size
            lots.append(Lot(lot.fill_id, lot.order_id, lot.opened, size, 0, value, fees))
        if spare_value or spare_fees:
            if lots:
                lots[-1].value += spare_value
                lots[-1].fees += spare_fees
            else:
                self.realized -= sign * spare_value
                self.cost = 0
        self.lots[:] = lots
        self.bookings.clear()
        self.net = sign * after
        lieu = sign * ((total % old) * lieu_price * self.factor // old)
        self.income += lieu
        return lieu

    def dividend(self, cash: int, per: int) -> int:
        """Pay `cash` money for every `per` units held; a short position owes it."""
        amount = abs(self.net) * cash // per
        amount = amount if self.net > 0 else -amount
        self.income += amount
        return amount

    def check(self) -> None:
        """Raise InvariantError where lots, totals and cash contradict each other."""
        size = sum(lot.quantity for lot in self.lots)
        value = sum(lot.open_value() for lot in self.lots)
        sign = 1 if self.net >= 0 else -1
        problems = [
            text
            for wrong, text in (
                (size != abs(self.net), f"lots hold {size}, the position {self.net}"),
                (value != sign * self.cost, f"lots cost {value}, the position {self.cost}"),
                (
                    self.cost != self.paid + self.realized,
                    f"cost {self.cost} is not paid {self.paid} + realized {self.realized}",
                ),
                (
                    any(not 0 <= lot.matched < lot.original for lot in self.lots),
                    "a lot is matched beyond its size or not removed",
                ),
            )
            if wrong
        ]
        if problems:
            key = f"{self.account}|{self.strategy}|{self.symbol}"
            raise InvariantError(f"{key}: " + "; ".join(problems))


def _content(match: Match) -> tuple[object, ...]:
    return msgspec.structs.astuple(match)
