"""The published tables and how each follows from the ticks."""

from __future__ import annotations

from dataclasses import dataclass

from deephaven import agg, time_table
from deephaven.table import Table

from publishing import Publisher, TableWriter

PRICE_SCHEMA = {
    "Symbol": "string",
    "Price": "double",
    "Bid": "double",
    "Ask": "double",
    "Volume": "long",
    "Change": "double",
    "ChangePct": "double",
    "Timestamp": "Instant",
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
    "Timestamp": "Instant",
}
STATUS_SCHEMA = {
    "Source": "string",
    "State": "string",
    "Ticks": "long",
    "Errors": "long",
    "LastError": "string",
    "Timestamp": "Instant",
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
    price_writer: TableWriter
    risk_writer: TableWriter
    status_writer: TableWriter

    @property
    def published(self) -> dict[str, Table]:
        """Every table by its name."""
        names = [n for n in self.__slots__ if not n.endswith("_writer")]
        return {name: getattr(self, name) for name in names}

    def failed(self) -> list[str]:
        """Names of the tables that have failed in the engine, which never come back."""
        return [name for name, table in self.published.items() if table.j_table.isFailed()]


@dataclass(frozen=True, slots=True)
class MarketWriters:
    """What writes the rows that all tables are made of."""

    prices: TableWriter
    risk: TableWriter
    status: TableWriter

    def remake(self) -> None:
        """Begin anew, empty, with all three: the tables that are made of them belong together."""
        for writer in (self.prices, self.risk, self.status):
            writer.remake()

    def end_replaced(self) -> None:
        """Fail the old tables, so that who follows one opens the new one."""
        for writer in (self.prices, self.risk, self.status):
            writer.end_replaced()


def declare_writers(
    publisher: Publisher, raw_rows: int, *, has_whole_volumes: bool = True
) -> MarketWriters:
    """Declare the tables of rows, of which the newest `raw_rows` are kept.

    Volume is a long, or a double where the market trades fractions.
    """
    volume = "long" if has_whole_volumes else "double"

    def declare(name: str, schema: dict[str, str]) -> TableWriter:
        return publisher.table(name, schema, rows=raw_rows, strict=True, renews=False)

    return MarketWriters(
        prices=declare("prices", {**PRICE_SCHEMA, "Volume": volume}),
        risk=declare("risk", RISK_SCHEMA),
        status=declare("feed_status", STATUS_SCHEMA),
    )


def make_market_tables(writers: MarketWriters) -> MarketTables:
    """Make all tables of what the writers write from now on."""
    prices, risk = writers.prices.blink, writers.risk.blink
    feed_status = with_staleness(writers.status.blink)
    # One row that changes only when the answer does, so that tables joined to it don't tick.
    stale = feed_status.agg_by([agg.max_("StaleFlag")]).view("Stale = StaleFlag == 1")

    prices_live = prices.last_by("Symbol").natural_join(stale, on=[])
    risk_live = risk.last_by("Symbol").natural_join(stale, on=[])
    return MarketTables(
        prices_raw=writers.prices.table,
        prices_live=prices_live,
        risk_raw=writers.risk.table,
        risk_live=risk_live,
        portfolio_summary=_portfolio_summary(risk.last_by("Symbol")).natural_join(stale, on=[]),
        top_movers=prices_live.update_view("Moved = abs(ChangePct)")
        .sort_descending("Moved")
        .head(LEADERS)
        .drop_columns("Moved"),
        volume_leaders=prices_live.sort_descending("Volume").head(LEADERS),
        feed_status=feed_status.drop_columns("StaleFlag"),
        price_writer=writers.prices,
        risk_writer=writers.risk,
        status_writer=writers.status,
    )


def with_staleness(status: Table) -> Table:
    """Return one row: the newest status, and whether the market is stale by the engine's clock.

    status: a blink table of STATUS_SCHEMA. `StaleFlag` is 1 where `Stale` is true.
    """
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
