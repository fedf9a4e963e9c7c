"""The portfolio manager's client: P&L over time, kept and exported, and position sizes.

Run it with `python3 client/pm_client.py`, or from inside `client/`.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from pydeephaven import DHError
from pydeephaven.table import Table
from rich.text import Text

if __name__ == "__main__":
    # Started as a script: Python put this folder first, where our modules hide the package.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from client import desk
from client.base_client import DeephavenClient
from client.desk import View
from client.errors import ClientError, TableNotFound
from client.live_table import Row

HISTORY = "pm_pnl_history"
SNAPSHOTS_SHOWN = 10
WRITERS: dict[str, Any] = {
    ".csv": pyarrow.csv.write_csv,
    ".parquet": pyarrow.parquet.write_table,
}


def views(snapshot_seconds: float) -> list[View]:
    """Return the portfolio manager's views, with a snapshot of the P&L every so many seconds."""
    return [
        View(
            "pm_position_sizing",
            "Positions as shares of the book's gross value",
            _position_sizing,
            {
                "Symbol": "",
                "Position": ",d",
                "MarketValue": ",.0f",
                "WeightPct": ".2f",
                "UnrealizedPnL": "+,.0f",
            },
            needs=("risk_live",),
        ),
        View(
            HISTORY,
            "Profit and loss over time",
            lambda client: _history(client, snapshot_seconds),
            {
                "SnapshotTime": "%H:%M:%S %Z",
                "TotalMV": ",.0f",
                "TotalPnL": "+,.0f",
                "TotalDelta": ",.0f",
                "NumPositions": ",d",
            },
            newest_rows=SNAPSHOTS_SHOWN,
            needs=("portfolio_summary",),
        ),
        *_desk_views(),
    ]


def _desk_views() -> list[View]:
    """What a trading desk's server has of its books: earnings, strategies and their weights."""
    return [
        View(
            "pm_accounts",
            "Profit and loss by account",
            lambda client: client.open_table("account_summary").sort(["AccountId", "Run"]),
            {
                **{"AccountId": "", "Run": "", "State": ""},
                **dict.fromkeys(("NetPnl", "RealizedPnl", "UnrealizedPnl"), "+,.2f"),
                **{"Fees": ",.2f", "GrossExposure": ",.0f", "OpenPositions": ",d"},
            },
            may_be_empty=True,
            needs=("account_summary",),
        ),
        View(
            "pm_strategies",
            "Strategies, the best first",
            lambda client: client.open_table("strategy_perf_latest").sort_descending("NetPnl"),
            {
                **{"StrategyId": "", "AccountId": "", "Run": "", "Trades": ",d"},
                **{"HitRate": ".2f", "NetPnl": "+,.2f", "Fees": ",.2f", "TStat": "+.2f"},
            },
            may_be_empty=True,
            needs=("strategy_perf_latest",),
        ),
        View(
            "pm_weights",
            "Weights of strategies",
            lambda client: client.open_table("strategy_weights_latest").sort("StrategyId"),
            {"StrategyId": "", "AccountId": "", "Weight": ".3f", "Ts": "%H:%M:%S %Z"},
            may_be_empty=True,
            needs=("strategy_weights_latest",),
        ),
        View(
            "pm_realized",
            "Realized by strategy and symbol",
            lambda client: client.open_table("realized_pnl_latest").sort_descending("Ts"),
            {
                **{"StrategyId": "", "Symbol": "", "AccountId": "", "Run": ""},
                **{"RealizedPnl": "+,.2f", "Fees": ",.2f", "Income": ",.2f"},
            },
            may_be_empty=True,
            needs=("realized_pnl_latest",),
        ),
    ]


def _position_sizing(client: DeephavenClient) -> Table:
    risk = client.open_table("risk_live")
    gross = risk.view("GrossMV = abs(MarketValue)").sum_by()
    return (
        risk.natural_join(gross, on=[])
        .update_view("WeightPct = GrossMV == 0 ? 0.0 : 100 * abs(MarketValue) / GrossMV")
        .view(["Symbol", "Position", "MarketValue", "WeightPct", "UnrealizedPnL", "Stale"])
        .sort_descending("WeightPct")
    )


def _history(client: DeephavenClient, seconds: float) -> Table:
    """Return the server's history of P&L, going on with the one that is there and well."""
    try:
        found = client.open_table(HISTORY)
        # Of one that failed in the server's engine, nothing can be made.
        found.tail(1).close()
        return found
    except (TableNotFound, DHError):
        trigger = client.session.time_table(f"PT{seconds}S").view("SnapshotTime = Timestamp")
        return client.open_table("portfolio_summary").snapshot_when(trigger, history=True)


class Record:
    """The snapshots to export: those of the server, and those seen before it was restarted."""

    def __init__(self, target: Path | None) -> None:
        self._target = target
        self._rows: dict[Any, Row] = {}

    def on_update(self, view: View, rows: list[Row]) -> None:
        """Take in the snapshots that are new."""
        if view.name == HISTORY:
            self._rows.update({row["SnapshotTime"]: row for row in rows})

    def text(self) -> Text | None:
        """Return what will be exported where."""
        if self._target is None:
            return None
        return Text(f"The P&L over time is exported to {self._target} at the end.", style="dim")

    def export(self, client: DeephavenClient) -> None:
        """Write all snapshots to the target, whole or not at all."""
        if self._target is None:
            return
        try:
            history = client.open_table(HISTORY).to_arrow().to_pylist()
            self._rows.update({row["SnapshotTime"]: row for row in history})
        except ClientError as error:
            print(f"only what was seen is exported: {error}", file=sys.stderr)  # noqa: T201
        if not self._rows:
            return
        rows = [self._rows[time] for time in sorted(self._rows)]
        aside = self._target.with_name(f".{self._target.name}.part")
        WRITERS[self._target.suffix.lower()](pa.Table.from_pylist(rows), aside)
        aside.replace(self._target)


def export_target(text: str) -> Path:
    """Read the name of a CSV or Parquet file in a folder that is there."""
    path = Path(text)
    if path.suffix.lower() not in WRITERS:
        raise argparse.ArgumentTypeError(f"a file ending in .csv or .parquet is wanted, not {text}")
    if not path.resolve().parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {path.parent}")
    return path


def main() -> int:
    """Run the client and return its exit status."""
    parser = desk.parser("The portfolio manager's view of the book.")
    parser.add_argument(
        "--snapshot-seconds",
        type=partial(desk.amount, at_least=0.1),
        default=5.0,
        metavar="SECONDS",
        help="time between two snapshots of the P&L, where the server keeps none yet "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--export",
        type=export_target,
        metavar="FILE",
        help="write the snapshots to a .csv or .parquet file at the end",
    )
    options = parser.parse_args()
    record = Record(options.export)
    return desk.run(
        options,
        views(options.snapshot_seconds),
        on_update=record.on_update,
        header=record.text,
        at_end=record.export,
    )


if __name__ == "__main__":
    sys.exit(main())
