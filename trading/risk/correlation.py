"""Measured correlation in whole numbers, so that no float decides an order."""

from __future__ import annotations

import msgspec

__all__ = ["Correlations"]

_SCALE = 10**9


class Correlations(msgspec.Struct, array_like=True, gc=False):
    """Returns of the last bars per symbol, and whether two symbols move together.

    `window` is the number of returns that are kept, `minimum` how many of the same bars two
    symbols need. A return is `(now - before) / before` in billionths, rounded down.
    """

    window: int = 60
    minimum: int = 20
    last: dict[str, int] = {}
    returns: dict[str, list[tuple[int, int]]] = {}

    def observe(self, symbol: str, end: int, close: int) -> None:
        """Take in the close of a final bar; a price of zero or less begins anew."""
        before = self.last.get(symbol)
        self.last[symbol] = close
        if before is None or before <= 0 or close <= 0:
            return
        kept = self.returns.setdefault(symbol, [])
        kept.append((end, (close - before) * _SCALE // before))
        if len(kept) > self.window:
            del kept[0]

    def sums(self, one: str, other: str) -> tuple[int, int, int, int]:
        """Return count, and n² times covariance and both variances, of the bars in common."""
        left = dict(self.returns.get(one, ()))
        pairs = [(left[end], b) for end, b in self.returns.get(other, ()) if end in left]
        n = len(pairs)
        sa, sb = sum(a for a, _ in pairs), sum(b for _, b in pairs)
        return (
            n,
            n * sum(a * b for a, b in pairs) - sa * sb,
            n * sum(a * a for a, _ in pairs) - sa * sa,
            n * sum(b * b for _, b in pairs) - sb * sb,
        )

    def reaches(self, one: str, other: str, bound: tuple[int, int]) -> bool | None:
        """Whether the correlation is at or above a bound; None where too little was seen.

        The bound is a fraction of two whole numbers, not negative. A symbol that never moved has
        no correlation, which counts as unknown.
        """
        count, cov, var_one, var_other = self.sums(one, other)
        if count < self.minimum or var_one <= 0 or var_other <= 0:
            return None
        above, below = bound
        # cov / sqrt(v1 v2) >= above / below, squared, with the sign kept.
        return cov >= 0 and cov * cov * below * below >= above * above * var_one * var_other
