"""The end of a day: marks, P&L for each strategy and account, what settles when, and a report.

with DBOSEngine(server.dbos_url(), name="settlement") as engine:
    report = EndOfDay(client, engine, "reports").close("ACC", "live", date(2026, 2, 20))
print(report.report_text)
"""

from trading.settlement.dates import settlement_day
from trading.settlement.end_of_day import EndOfDay
from trading.settlement.records import DayMark, DayPnl, DayReport, SettlementObligation

__all__ = [
    "DayMark",
    "DayPnl",
    "DayReport",
    "EndOfDay",
    "SettlementObligation",
    "settlement_day",
]
