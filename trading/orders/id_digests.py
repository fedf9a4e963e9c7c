"""A number for each of very many ids, in some 20 bytes an id: what a run remembers for ever.

An id is known by 64 bits of its digest. That any two of a million ids share them has a chance of
one in thirty million.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left
from hashlib import blake2b

__all__ = ["IdDigests"]

_SHIFT = 64 - 10


def _digest(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big")


class IdDigests:
    """Signed numbers of 64 bits by id; ids are added and forgotten by their numbers, never listed.

    The digests are sorted in up to 1,024 parts by their first bits: to add one to a million moves
    a thousand, which is a copy of some kilobytes.
    """

    def __init__(self) -> None:
        # By the first bits: digests in order, and their numbers.
        self._parts: dict[int, tuple[array[int], array[int]]] = {}

    def __len__(self) -> int:
        return sum(len(digests) for digests, _ in self._parts.values())

    def get(self, name: str) -> int | None:
        """Return the number of an id, None for one that was not added."""
        digest = _digest(name)
        part = self._parts.get(digest >> _SHIFT)
        if part is None:
            return None
        digests, numbers = part
        at = bisect_left(digests, digest)
        return numbers[at] if at < len(digests) and digests[at] == digest else None

    def add(self, name: str, number: int) -> int | None:
        """Give a new id its number; where the id is known, return its number and change nothing."""
        digest = _digest(name)
        part = self._parts.get(digest >> _SHIFT)
        if part is None:
            part = self._parts[digest >> _SHIFT] = array("Q"), array("q")
        digests, numbers = part
        at = bisect_left(digests, digest)
        if at < len(digests) and digests[at] == digest:
            return numbers[at]
        digests.insert(at, digest)
        numbers.insert(at, number)
        return None

    def forget_up_to(self, number: int) -> None:
        """Forget the ids whose number is this one or a lower one."""
        for first, (digests, numbers) in self._parts.items():
            kept = [at for at, each in enumerate(numbers) if each > number]
            if len(kept) < len(numbers):
                self._parts[first] = (
                    array("Q", [digests[at] for at in kept]),
                    array("q", [numbers[at] for at in kept]),
                )

    def dump(self) -> tuple[bytes, bytes]:
        """Return digests and numbers as bytes, 8 for each, in the order of the digests."""
        digests, numbers = array("Q"), array("q")
        for first in sorted(self._parts):
            digests.extend(self._parts[first][0])
            numbers.extend(self._parts[first][1])
        _as_little_endian(digests, numbers)
        return digests.tobytes(), numbers.tobytes()

    def load(self, dumped: tuple[bytes, bytes]) -> None:
        """Go on from what `dump` gave."""
        digests, numbers = array("Q"), array("q")
        digests.frombytes(dumped[0])
        numbers.frombytes(dumped[1])
        _as_little_endian(digests, numbers)
        self._parts.clear()
        start = 0
        while start < len(digests):
            first = digests[start] >> _SHIFT
            end = bisect_left(digests, (first + 1) << _SHIFT, start)
            self._parts[first] = digests[start:end], numbers[start:end]
            start = end


def _as_little_endian(*columns: array[int]) -> None:
    if sys.byteorder == "big":
        for each in columns:
            each.byteswap()
