"""A brute-force book of lots with fractions: every fill is cut into units, one by one."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction


@dataclass
class NaiveFill:
    fill_id: str
    side: int
    quantity: int
    price: Fraction
    fees: Fraction


@dataclass
class NaivePiece:
    opening: str
    closing: str
    quantity: int
    realized: Fraction
    fees: Fraction


@dataclass
class NaiveBook:
    """Holds single units as (fill, price); a fill closes units of the other side, one at a time."""

    last_first: bool = False
    units: list[tuple[NaiveFill, int]] = field(default_factory=list)
    pieces: list[NaivePiece] = field(default_factory=list)
    cash: Fraction = Fraction(0)
    fees: Fraction = Fraction(0)

    def apply(self, fill: NaiveFill) -> None:
        self.cash -= fill.side * fill.quantity * fill.price
        self.fees += fill.fees
        for _ in range(fill.quantity):
            if self.units and self.units[0][1] == -fill.side:
                opening, side = self.units.pop(-1 if self.last_first else 0)
                realized = side * (fill.price - opening.price)
                fees = opening.fees / opening.quantity + fill.fees / fill.quantity
                last = self.pieces[-1] if self.pieces else None
                if last and (last.opening, last.closing) == (opening.fill_id, fill.fill_id):
                    last.quantity += 1
                    last.realized += realized
                    last.fees += fees
                else:
                    self.pieces.append(NaivePiece(opening.fill_id, fill.fill_id, 1, realized, fees))
            else:
                self.units.append((fill, fill.side))

    @property
    def net(self) -> int:
        return sum(side for _, side in self.units)

    @property
    def realized(self) -> Fraction:
        return sum((piece.realized for piece in self.pieces), Fraction(0))

    def unrealized(self, price: Fraction) -> Fraction:
        return sum((side * (price - fill.price) for fill, side in self.units), Fraction(0))
