"""The report of a day as text and as a page of HTML that needs nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from trading.numbers import money_text
from trading.reports.style import STYLE
from trading.settlement.records import DayMark, DayPnl, DayReport, SettlementObligation

__all__ = ["page_of", "text_of"]

Table = tuple[str, tuple[str, ...], list[tuple[str, ...]]]


def text_of(
    report: DayReport,
    lines: Sequence[DayPnl],
    marks: Sequence[DayMark],
    obligations: Sequence[SettlementObligation],
) -> str:
    """Return the report as plain text."""
    found = [_title(report), ""]
    for heading, names, rows in _tables(report, lines, marks, obligations):
        widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
        found.append(heading)
        for row in (names, *rows):
            cells = (
                cell.ljust(width) if at == 0 else cell.rjust(width)
                for at, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            found.append("  " + "  ".join(cells).rstrip())
        found.append("")
    found += _notes(report)
    return "\n".join(found).rstrip() + "\n"


def page_of(
    report: DayReport,
    lines: Sequence[DayPnl],
    marks: Sequence[DayMark],
    obligations: Sequence[SettlementObligation],
) -> str:
    """Return the report as a page of HTML."""
    title = escape(_title(report))
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f"<title>{title}</title><style>{STYLE}</style></head><body><main>",
        f"<h1>{title}</h1>",
    ]
    for heading, names, rows in _tables(report, lines, marks, obligations):
        head = "".join(f"<th>{escape(name)}</th>" for name in names)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
        )
        parts.append(
            f"<h2>{escape(heading)}</h2><table><thead><tr>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table>"
        )
    parts += [f"<p>{escape(note)}</p>" for note in _notes(report)]
    parts.append("</main></body></html>\n")
    return "\n".join(parts)


def _title(report: DayReport) -> str:
    return (
        f"End of day {report.business_day} of account {report.account}, run {report.run}, "
        f"revision {report.report_revision}"
    )


def _tables(
    report: DayReport,
    lines: Sequence[DayPnl],
    marks: Sequence[DayMark],
    obligations: Sequence[SettlementObligation],
) -> list[Table]:
    account = [
        ("cash", money_text(report.cash_amount)),
        ("of which not settled yet", money_text(report.due_amount)),
        ("market value", money_text(report.market_amount)),
        ("equity", money_text(report.equity_amount)),
        ("realized", money_text(report.realized_amount)),
        ("unrealized", money_text(report.unrealized_amount)),
        ("fees", money_text(report.fee_amount)),
        ("income", money_text(report.income_amount)),
        ("profit or loss of the day", money_text(report.day_amount)),
    ]
    found: list[Table] = [("Account", ("", report.currency), list(account))]
    if lines:
        names = ("strategy", "currency", "realized", "unrealized", "fees", "income", "day")
        rows = [
            (
                *(each.strategy or "-", each.currency, money_text(each.realized_amount)),
                *(money_text(each.unrealized_amount), money_text(each.fee_amount)),
                *(money_text(each.income_amount), money_text(each.day_amount)),
            )
            for each in lines
        ]
        found.append(("Strategies", names, list(rows)))
    held = [each for each in marks if each.mark_price is not None]
    if held:
        shown = [
            (each.symbol, f"{each.net_quantity:f}", f"{each.mark_price:f}", each.mark_source)
            for each in held
        ]
        found.append(("Marks", ("symbol", "position", "price", "source"), list(shown)))
    if obligations:
        owed = [
            (
                *(each.symbol, str(each.business_day), str(each.settlement_day)),
                *(f"{each.net_quantity:f}", money_text(each.due_amount), each.currency),
                each._store_state or "",
            )
            for each in obligations
        ]
        columns = ("symbol", "traded", "settles", "quantity", "due", "currency", "state")
        found.append(("Settlement", columns, list(owed)))
    return found


def _notes(report: DayReport) -> list[str]:
    notes = [
        f"{report.fills_count} fills until the end of the day in {report.time_zone}, as known at "
        f"{report.known_until:%Y-%m-%d %H:%M:%S} UTC."
    ]
    if report.difference_text:
        notes.append(f"DIFFERENCES: {report.difference_text}")
    return notes
