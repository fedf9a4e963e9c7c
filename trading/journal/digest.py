"""One figure for everything a run has said, which goes on from a snapshot.

Outputs are hashed one after the other, never as a list, whose header would depend on how many came
together. Blocks of 1,024 outputs are chained: `d = sha256(d + block)`.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import msgspec

__all__ = ["BLOCK", "DigestState", "chain", "final"]

BLOCK = 1_024


class DigestState(msgspec.Struct, array_like=True, gc=False):
    """The chain so far, the bytes of the unfinished block, and how many outputs there were."""

    chain: bytes = bytes(32)
    tail: bytes = b""
    count: int = 0


def chain(before: bytes, block: bytes | bytearray) -> bytes:
    """Return the next link."""
    return sha256(before + block).digest()


def final(begun: Any, count: int) -> str:
    """Return the digest of so many outputs as 64 hexadecimal digits.

    `begun` is the SHA-256 object of the chain and the unfinished block; it stays as it is.
    """
    whole = begun.copy()
    whole.update(count.to_bytes(8, "big"))
    digest: str = whole.hexdigest()
    return digest
