"""Short ways to make requests, and reports as tuples that are easy to compare."""

from __future__ import annotations

from typing import Any

from trading.journal import reports as told
from trading.journal.outputs import SendCancel, SendOrder, SendReplace
from trading.specification import specify
from trading.times import SECOND

START = 1_700_000_040 * SECOND
AAPL = specify("AAPL")


def order(
    order_id: str,
    side: int,
    quantity: int,
    limit: int | None = None,
    *,
    account: str = "A",
    kind: str = "",
    tif: str = "GTC",
    stop: int | None = None,
    **more: Any,
) -> SendOrder:
    fields = {"reduce_only": False, "post_only": False, "trail": None, "trail_bps": None, **more}
    return SendOrder(
        more.get("time", START),
        order_id,
        account,
        more.get("symbol", "AAPL"),
        side,
        quantity,
        kind or ("MARKET" if limit is None else "LIMIT"),
        limit,
        stop,
        tif,
        more.get("expire_at"),
        fields["reduce_only"],
        fields["post_only"],
        fields["trail"],
        fields["trail_bps"],
    )


def cancel(order_id: str, account: str = "A", time: int = START) -> SendCancel:
    return SendCancel(time, order_id, account)


def replace(
    order_id: str,
    quantity: int,
    limit: int | None = None,
    stop: int | None = None,
    account: str = "A",
    time: int = START,
) -> SendReplace:
    return SendReplace(time, order_id, account, quantity, limit, stop)


_WORDS = {
    told.OrderAccepted: "ACCEPTED",
    told.OrderRejected: "REJECTED",
    told.OrderCanceled: "CANCELED",
    told.OrderExpired: "EXPIRED",
    told.OrderTriggered: "TRIGGERED",
    told.OrderReplaceRejected: "REPLACE_REJECTED",
    told.OrderCancelRejected: "CANCEL_REJECTED",
}


def short(report: Any) -> tuple[Any, ...]:
    """A report as account, word, order id and figures."""
    if isinstance(report, told.OrderFilled):
        return report.account, "FILLED", report.order_id, report.quantity, report.price
    if isinstance(report, told.OrderReplaced):
        figures = report.quantity, report.limit, report.stop
        return report.account, "REPLACED", report.order_id, *figures
    return report.account, _WORDS[type(report)], report.order_id
