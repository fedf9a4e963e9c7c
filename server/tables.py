"""The published tables and how each follows from the ticks."""

from __future__ import annotations

from dataclasses import dataclass

from deephaven import agg, ring_table, time_table
from deephaven.table import Table

from server.engine import Engine
from server.publisher import Publisher

PRICE_SCHEMA = {
    "Symbol": "string",
    "Price": "double",
    "Bid": "double",
    "Ask": "double",
    "Volume": "long",
    "Change": "double",
    "ChangePct": "double",
    "Timestamp": "instant",
}
RISK_SCHEMA = {
    "Symbol": "string",
    "Position": "long",
    "MarketValue": "double",
    "UnrealizedPnL": "double",
    "Delta": "double",
    "Gamma": "double",
    "Theta": "double",
    "Vega": "double",
    "Timestamp": "instant",
}
STATUS_SCHEMA = {
    "Source": "string",
    "State": "string",
    "Ticks": "long",
    "Errors": "long",
    "LastError": "string",
    "Timestamp": "instant",
}
# The market is stale when its status was not confirmed for this long, whatever the reason.
STALE_AFTER = "PT5s"
# Rows in top_movers and volume_leaders.
LEADERS = 5


@dataclass(frozen=True, slots=True)
class MarketTables:
    """The tables that users see, by their published names, and the writers that feed them."""

    prices_raw: Table
    prices_live: Table
    risk_raw: Table
    risk_live: Table
    portfolio_summary: Table
    top_movers: Table
    volume_leaders: Table
    feed_status: Table
    price_writer: Publisher
    risk_writer: Publisher
    status_writer: Publisher

    @property
    def published(self) -> dict[str, Table]:
        """Every table by its name."""
        names = [n for n in self.__slots__ if not n.endswith("_writer")]
        return {name: getattr(self, name) for name in names}

    def failed(self) -> list[str]:
        """Names of the tables that have failed in the engine, which never come back."""
        return [name for name, table in self.published.items() if table.j_table.isFailed()]


def make_market_tables(
    engine: Engine,
    raw_rows: int,
    before: MarketTables | None = None,
    *,
    has_whole_volumes: bool = True,
) -> MarketTables:
    """Make all tables; the raw ones keep the newest `raw_rows` rows.

    Volume is a long, or a double where the market trades fractions.

    In the place of tables that failed, the new ones begin empty and take over their writers.
    """
    writers = (
        (before.price_writer, before.risk_writer, before.status_writer) if before else (None,) * 3
    )
    price_schema = {**PRICE_SCHEMA, "Volume": "long" if has_whole_volumes else "double"}
    prices, price_writer = engine.blink_table("prices", price_schema, writers[0])
    risk, risk_writer = engine.blink_table("risk", RISK_SCHEMA, writers[1])
    status, status_writer = engine.blink_table("feed_status", STATUS_SCHEMA, writers[2])

    feed_status = _feed_status(status)
    # One row that changes only when the answer does, so that tables joined to it don't tick.
    stale = feed_status.agg_by([agg.max_("StaleFlag")]).view("Stale = StaleFlag == 1")

    prices_live = prices.last_by("Symbol").natural_join(stale, on=[])
    risk_live = risk.last_by("Symbol").natural_join(stale, on=[])
    return MarketTables(
        prices_raw=ring_table(prices, raw_rows),
        prices_live=prices_live,
        risk_raw=ring_table(risk, raw_rows),
        risk_live=risk_live,
        portfolio_summary=_portfolio_summary(risk.last_by("Symbol")).natural_join(stale, on=[]),
        top_movers=prices_live.update_view("Moved = abs(ChangePct)")
        .sort_descending("Moved")
        .head(LEADERS)
        .drop_columns("Moved"),
        volume_leaders=prices_live.sort_descending("Volume").head(LEADERS),
        feed_status=feed_status.drop_columns("StaleFlag"),
        price_writer=price_writer,
        risk_writer=risk_writer,
        status_writer=status_writer,
    )


def _feed_status(status: Table) -> Table:
    """Return one row: the newest status, and whether the market is stale by the engine's clock."""
    # The engine's own clock: it goes on when every Python thread has stopped.
    clock = time_table("PT1s", blink_table=True).view("Now = Timestamp").last_by()
    return (
        status.last_by()
        .natural_join(clock, on=[])
        .update(
            [
                "Stale = State != `LIVE` || isNull(Now) == false && "
                f"Now - Timestamp > parseDuration(`{STALE_AFTER}`).toNanos()",
                "StaleFlag = Stale ? 1 : 0",
            ]
        )
        .drop_columns("Now")
    )


def _portfolio_summary(risk_live: Table) -> Table:
    return risk_live.agg_by(
        [
            agg.sum_(["TotalMV = MarketValue", "TotalPnL = UnrealizedPnL", "TotalDelta = Delta"]),
            agg.avg(["AvgGamma = Gamma", "AvgTheta = Theta", "AvgVega = Vega"]),
            agg.count_("NumPositions"),
            agg.max_("Timestamp"),
        ]
    )
