"""The risk manager's client: large exposures, long against short, scores, alerts on limits.

Run it with `python3 client/risk_client.py`, or from inside `client/`.
"""

from __future__ import annotations

import sys
from collections import deque
from datetime import datetime
from pathlib import Path

from rich.text import Text

if __name__ == "__main__":
    # Started as a script: Python put this folder first, where our modules hide the package.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from client import desk
from client.desk import View
from client.live_table import Row

ALERTS_SHOWN = 5
_MONEY = {"Symbol": "", "Position": ",d", "MarketValue": ",.0f", "UnrealizedPnL": "+,.0f"}


def views(exposure_limit: float, loss_limit: float) -> list[View]:
    """Return the risk manager's views.

    A position's risk score is from 0 to 100: half of it is how much of the exposure limit its
    market value uses, half how much of the loss limit its unrealized loss uses.

    Args:
        exposure_limit: largest absolute market value of a position, in dollars.
        loss_limit: largest unrealized loss of a position, in dollars.
    """
    return [
        _alerts(exposure_limit, loss_limit),
        _large_exposures(exposure_limit),
        _long_against_short(),
        _scores(exposure_limit, loss_limit),
        *_desk_views(),
    ]


def _desk_views() -> list[View]:
    """What a trading desk's server has of risk: accounts, limits, positions and alerts."""
    return [
        View(
            "risk_accounts",
            "Accounts",
            lambda client: client.open_table("account_summary").sort(["AccountId", "Run"]),
            {
                **{"AccountId": "", "Run": "", "State": "", "OpenPositions": ",d"},
                **dict.fromkeys(("NetExposure", "GrossExposure", "LargestPosition"), ",.0f"),
                **{"UnrealizedPnl": "+,.2f", "NetPnl": "+,.2f"},
            },
            may_be_empty=True,
            needs=("account_summary",),
        ),
        View(
            "risk_limits",
            "Limits, the most used first",
            lambda client: client.open_table("limits").sort_descending("UsedPct"),
            {
                **{"AccountId": "", "Run": "", "Limit": "", "Text": ""},
                **{"Used": ",.0f", "UsedPct": ".1f", "ApprovedBy": ""},
            },
            may_be_empty=True,
            needs=("limits",),
        ),
        View(
            "risk_open_positions",
            "Open positions, the largest first",
            lambda client: (
                client.open_table("unrealized_pnl_latest")
                .update_view("Size = abs(MarketValue)")
                .sort_descending("Size")
            ),
            {
                **{"AccountId": "", "Run": "", "StrategyId": "", "Symbol": ""},
                **{"NetQty": desk.QUANTITY, "AvgPrice": desk.PRICE, "CurrentPrice": desk.PRICE},
                **{"MarketValue": ",.0f", "UnrealizedPnl": "+,.2f"},
            },
            may_be_empty=True,
            needs=("unrealized_pnl_latest",),
        ),
        View(
            "risk_desk_alerts",
            "Newest alerts of the engines",
            lambda client: client.open_table("alerts").sort("Ts"),
            {
                **{"Ts": "%H:%M:%S %Z", "AccountId": "", "Run": "", "Code": "", "Message": ""},
            },
            may_be_empty=True,
            newest_rows=10,
            needs=("alerts",),
        ),
    ]


def _alerts(exposure_limit: float, loss_limit: float) -> View:
    too_large = f"abs(MarketValue) > {exposure_limit}"
    too_much_lost = f"UnrealizedPnL < -{loss_limit}"
    reason = (
        f"Reason = {too_large} ? ({too_much_lost} ? "
        "`exposure and loss over limit` : `exposure over limit`) : `loss over limit`"
    )
    limits = [f"ExposureLimit = {exposure_limit}", f"LossLimit = {loss_limit}"]
    return View(
        "risk_alerts",
        "Positions over a limit",
        lambda client: (
            client.open_table("risk_live")
            .where(f"{too_large} || {too_much_lost}")
            .update_view([reason, *limits])
        ),
        {**_MONEY, "Reason": ""},
        may_be_empty=True,
        needs=("risk_live",),
    )


def _large_exposures(exposure_limit: float) -> View:
    return View(
        "risk_large_exposures",
        f"Exposures over half of the limit of {exposure_limit:,.0f}",
        lambda client: (
            client.open_table("risk_live")
            .where(f"abs(MarketValue) > {exposure_limit / 2}")
            .update_view(f"LimitUsedPct = 100 * abs(MarketValue) / {exposure_limit}")
            .sort_descending("LimitUsedPct")
        ),
        {**_MONEY, "Delta": ",.0f", "LimitUsedPct": ".1f"},
        may_be_empty=True,
        needs=("risk_live",),
    )


def _long_against_short() -> View:
    side = "Side = Position > 0 ? `LONG` : `SHORT`"
    sums = {"MarketValue": ",.0f", "UnrealizedPnL": "+,.0f", "Delta": ",.0f"}
    return View(
        "risk_long_short",
        "Long against short",
        lambda client: (
            client.open_table("risk_live")
            .where("Position != 0")
            .view([side, *sums, "Positions = 1"])
            .sum_by("Side")
            .sort("Side")
        ),
        {"Side": "", "Positions": ",d", **sums},
        needs=("risk_live",),
    )


def _scores(exposure_limit: float, loss_limit: float) -> View:
    return View(
        "risk_scores",
        "Risk scores",
        lambda client: (
            client.open_table("risk_live")
            .update_view(
                f"RiskScore = 50 * min(1.0, abs(MarketValue) / {exposure_limit})"
                f" + 50 * min(1.0, max(0.0, -UnrealizedPnL) / {loss_limit})"
            )
            .sort_descending("RiskScore")
        ),
        {**_MONEY, "Gamma": ",.2f", "Vega": ",.0f", "RiskScore": ".1f"},
        needs=("risk_live",),
    )


class AlertLog:
    """Remembers when a position went over a limit and when it came back."""

    def __init__(self) -> None:
        self._over: dict[str, str] = {}
        self._lines: deque[Text] = deque(maxlen=ALERTS_SHOWN)

    def on_update(self, view: View, rows: list[Row]) -> None:
        """Compare the alerts with those before."""
        if view.name != "risk_alerts":
            return
        over = {row["Symbol"]: row["Reason"] for row in rows}
        now = datetime.now().astimezone().strftime("%H:%M:%S %Z")
        for symbol, reason in over.items():
            if self._over.get(symbol) != reason:
                self._lines.append(Text(f"{now} ALERT {symbol}: {reason}", style="bold red"))
        for symbol in self._over.keys() - over.keys():
            self._lines.append(Text(f"{now} {symbol} is within its limits again", style="green"))
        self._over = over

    def text(self) -> Text | None:
        """Return the newest lines."""
        return Text("\n").join(list(self._lines)) if self._lines else None


def main() -> int:
    """Run the client and return its exit status."""
    parser = desk.parser("The risk manager's view of the book.")
    parser.add_argument(
        "--exposure-limit",
        type=desk.amount,
        default=340_000.0,
        metavar="DOLLARS",
        help="largest absolute market value of a position (default: %(default)s)",
    )
    parser.add_argument(
        "--loss-limit",
        type=desk.amount,
        default=5_000.0,
        metavar="DOLLARS",
        help="largest unrealized loss of a position (default: %(default)s)",
    )
    options = parser.parse_args()
    alerts = AlertLog()
    return desk.run(
        options,
        views(options.exposure_limit, options.loss_limit),
        on_update=alerts.on_update,
        header=alerts.text,
    )


if __name__ == "__main__":
    sys.exit(main())
