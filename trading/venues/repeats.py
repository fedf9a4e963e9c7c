"""Requests that were made before: a repeat does nothing, other terms under its id are refused."""

from __future__ import annotations

from hashlib import blake2b

from trading.journal.codec import pack
from trading.journal.outputs import SendCancel, SendOrder, SendReplace
from trading.venues.protocol import RequestRefused

__all__ = ["Repeats", "request_digest", "same_terms"]


def same_terms(one: SendOrder, other: SendOrder) -> bool:
    """Whether two orders of one id ask for the same; when they were made does not matter."""
    return all(
        getattr(one, name) == getattr(other, name)
        for name in SendOrder.__struct_fields__
        if name != "time"
    )


def request_digest(request: SendCancel | SendReplace) -> bytes:
    """Return what a cancel or replace is recognised by: its whole content, its time included."""
    return blake2b(pack(request), digest_size=16).digest()


class Repeats:
    """Remembers the requests of one account."""

    def __init__(self) -> None:
        self.orders: dict[str, SendOrder] = {}
        self._requests: set[bytes] = set()

    def order(self, order: SendOrder) -> str:
        """Note an order; REPEAT or CONFLICT where its id is known, empty where it is new."""
        known = self.orders.get(order.order_id)
        if known is None:
            self.orders[order.order_id] = order
            return ""
        return "REPEAT" if same_terms(known, order) else "CONFLICT"

    def request(self, request: SendCancel | SendReplace) -> bool:
        """Note a cancel or replace; True where it was made before."""
        digest = request_digest(request)
        if digest in self._requests:
            return True
        self._requests.add(digest)
        return False

    @staticmethod
    def refusal(order_id: str) -> RequestRefused:
        """Return what is said to another order under a known id."""
        return RequestRefused(
            order_id,
            "DUPLICATE_ID",
            f"order {order_id!r} is known here with other terms; it is unchanged, and this one was "
            "not taken",
        )
