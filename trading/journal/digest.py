"""One figure for everything a run has said, which goes on from a snapshot.

Outputs are hashed one after the other, never as a list, whose header would depend on how many came
together. Blocks of 1,024 outputs are chained: `d = sha256(d + block)`.
"""

from __future__ import annotations

from hashlib import sha256

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


def final(state: DigestState) -> str:
    """Return the digest of all outputs so far as 64 hexadecimal digits."""
    return sha256(state.chain + state.tail + state.count.to_bytes(8, "big")).hexdigest()
