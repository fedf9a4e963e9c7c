"""The end of a day as a durable workflow: open, mark, book, report; each done once.

    with DBOSEngine(server.dbos_url(), name="settlement") as engine:
        report = EndOfDay(client, engine, "reports").close("ACC", "live", date(2026, 2, 20))

A process that is killed between two of these is followed by the next one, which goes on where it
was. A day is computed again when something else is known of it, such as a late fill or a bust: its
records get new versions. Where nothing else is known, nothing is written.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from store.base import Storable
from store.client import StoreClient
from store.database.execute import execute
from trading.errors import SettlementError
from trading.metrics.curve import TIME_ZONE
from trading.numbers import Number, to_decimal
from trading.positions.lots import Method
from trading.serving import serve, served
from trading.settlement.books import Books, books_of, open_symbols
from trading.settlement.dates import day_of, zone_of
from trading.settlement.facts import Facts, gather
from trading.settlement.page import page_of, text_of
from trading.settlement.records import DayMark, DayPnl, DayReport, SettlementObligation
from workflow import (
    Cron,
    WorkflowEngine,
    WorkflowHandle,
    WorkflowNotFound,
    WorkflowStatus,
    current_engine,
)

__all__ = ["EndOfDay"]

S = TypeVar("S", bound=Storable)
_NOW = "SELECT clock_timestamp()"
_ZERO = Decimal(0)
_TRIES = 5
_WAIT_S = 600.0


@dataclass(frozen=True)
class _Plan:
    """One computation of a day, as its workflow keeps it; times and prices are texts."""

    account: str
    run: str
    day: str
    known: str
    report_revision: int
    basis: str
    marks: tuple[tuple[str, str], ...]

    @property
    def workflow_id(self) -> str:
        return f"eod:{self.account}:{self.run}:{self.day}:{self.report_revision}:{self.basis[:12]}"

    def where(self) -> dict[str, Any]:
        """The fields that every record of the day has."""
        return {
            "account": self.account,
            "run": self.run,
            "business_day": date.fromisoformat(self.day),
        }


class Overtaken(SettlementError):
    """A day is being computed anew, as something else is known of it by now."""


class EndOfDay:
    """Closes days of accounts, as one user of the store: that of the account's engine.

    Reports go to `directory`, one file for each revision. Days are those of `zone`, lots are
    matched by `method`, as in the run. `engine` runs the workflows, and goes on with those that
    another process has left: make one of these in each process whose engine has this name.
    """

    def __init__(
        self,
        client: StoreClient,
        engine: WorkflowEngine,
        directory: str | Path,
        *,
        zone: str = TIME_ZONE,
        method: Method = "FIFO",
    ) -> None:
        self._client = client
        self._engine = engine
        self._directory = Path(directory)
        self._zone: ZoneInfo = zone_of(zone)
        self._method: Method = method
        self._read: tuple[tuple[Any, ...], Facts] | None = None
        self._close_name = serve(engine, "trading.settlement.close", client, self._run)

    # --- asking -----------------------------------------------------------------------------------

    def close(
        self, account: str, run: str, day: date, marks: Mapping[str, Number] | None = None
    ) -> DayReport:
        """Close a day, or close it again where something else is known of it; returns the report.

        `marks` are closing prices; where one is missing, the last price in the run's journal
        before the day's end counts. SettlementError where no price of a position is known.
        """
        texts = {symbol: str(to_decimal(price, symbol)) for symbol, price in (marks or {}).items()}
        for _ in range(_TRIES):
            plan = self._plan(account, run, day.isoformat(), texts)
            if isinstance(plan, str):
                return self._report(plan)
            try:
                entity_id: str = self._start(plan).get_result(timeout=_WAIT_S)
            except Overtaken:
                continue
            report = self._report(entity_id)
            if report.basis_hash == plan.basis:
                return report
        raise SettlementError(
            f"the end of {day} of {account} was computed {_TRIES} times, and each time something "
            "else was known meanwhile; try again when fills have stopped coming in"
        )

    def _start(self, plan: _Plan) -> WorkflowHandle:
        """Start a computation, or find the one that runs; one that has failed is tried anew."""
        attempt = 1
        while True:
            workflow_id = f"{plan.workflow_id}:{attempt}"
            try:
                status = self._engine.get_workflow_status(workflow_id)
            except WorkflowNotFound:
                break
            if status not in (WorkflowStatus.ERROR, WorkflowStatus.CANCELLED):
                break
            attempt += 1
        return self._engine.start_once(workflow_id, self._close_name, plan)

    def schedule(self, account: str, run: str, cron: str) -> None:
        """Close the day of each time of a cron expression, in this one's time zone."""
        name = f"end of day {account} {run}"

        def close(scheduled_at: datetime) -> str:
            return self._scheduled(account, run, scheduled_at)

        serve(self._engine, name, self._client, close)
        function = served(name, self._client)
        self._engine.schedule(name, Cron(cron, str(self._zone)), function)

    def _scheduled(self, account: str, run: str, scheduled_at: datetime) -> str:
        engine = current_engine()
        day = day_of(scheduled_at, self._zone).isoformat()
        plan = engine.step(self._plan, account, run, day, {})
        if isinstance(plan, str):
            return plan
        result: str = engine.start_once(
            f"{plan.workflow_id}:1", self._close_name, plan
        ).get_result()
        return result

    def _report(self, entity_id: str) -> DayReport:
        found = self._client.read(DayReport, entity_id)
        if found is None:
            raise SettlementError(f"the report {entity_id} is not there any more")
        return found

    def _plan(self, account: str, run: str, day: str, marks: Mapping[str, str]) -> _Plan | str:
        """Look at what is known now: the next computation, or the report that is right already."""
        known: datetime = execute(self._client.conn, _NOW)[0][0]
        given = tuple(sorted(marks.items()))
        draft = _Plan(account, run, day, known.isoformat(), 0, "", given)
        basis = self._basis(draft, self._facts(draft))
        report = self._find(draft)
        if report is not None and report.basis_hash == basis and _is_over(report):
            return report._store_entity_id or ""
        revision = 1
        if report is not None:
            revision = (
                report.report_revision + 1 if _is_over(report) else max(report.report_revision, 1)
            )
        return _Plan(account, run, day, known.isoformat(), revision, basis, given)

    def _basis(self, plan: _Plan, facts: Facts) -> str:
        before = self._before(plan)
        earlier = None if before is None else (str(before.business_day), before.report_revision)
        return facts.basis(str(self._zone), self._method, earlier)

    # --- the workflow -----------------------------------------------------------------------------

    def _run(self, plan: _Plan) -> str:
        """Do the steps of a day one after the other; returns the id of its report."""
        engine = current_engine()
        entity_id: str = engine.step(self._open, plan)
        engine.step(self._mark, plan, entity_id)
        engine.step(self._book, plan, entity_id)
        engine.step(self._tell, plan, entity_id)
        return entity_id

    def _open(self, plan: _Plan) -> str:
        report = self._find(plan)
        if report is None:
            # Under an id made of the day: two that begin at once make one report.
            report = DayReport(plan.account, plan.run, date.fromisoformat(plan.day))
            entity_id = self._client.write(
                report, event_id=f"eod {plan.account} {plan.run} {plan.day}"
            )
            report = self._report(entity_id)
        if report.basis_hash == plan.basis and report.report_revision == plan.report_revision:
            return report._store_entity_id or ""
        report.report_revision, report.basis_hash = plan.report_revision, plan.basis
        report.known_until = datetime.fromisoformat(plan.known)
        report.time_zone = str(self._zone)
        self._client.transition(report, "OPEN")
        return report._store_entity_id or ""

    def _mark(self, plan: _Plan, entity_id: str) -> None:
        report = self._mine(plan, entity_id, "OPEN")
        if report is None:
            return
        facts = self._facts(plan)
        held = open_symbols(facts, self._method)
        marks = [
            DayMark(
                **plan.where(),
                report_revision=plan.report_revision,
                symbol=symbol,
                net_quantity=size,
                mark_price=facts.marks[symbol][0] if symbol in facts.marks else None,
                mark_source=facts.marks[symbol][1] if symbol in facts.marks else "MISSING",
            )
            for symbol, size in held.items()
        ]
        missing = [each.symbol for each in marks if each.mark_price is None]
        if missing:
            raise SettlementError(
                f"no price of {', '.join(missing)} is known at the end of {plan.day}; give the "
                "marks"
            )
        with self._client.transaction():
            self._replace(plan, DayMark, marks, ("symbol",))
            self._client.transition(report, "MARKED")

    def _book(self, plan: _Plan, entity_id: str) -> None:
        report = self._mine(plan, entity_id, "MARKED")
        if report is None:
            return
        facts = self._facts(plan)
        books = books_of(facts, self._zone, self._method)
        before = self._before(plan)
        earlier = {}
        if before is not None:
            where = {**plan.where(), "business_day": before.business_day}
            earlier = {(each.strategy, each.currency): each.total for each in self._lines(where)}
        lines = [
            DayPnl(
                **plan.where(),
                report_revision=plan.report_revision,
                strategy=line.strategy,
                currency=line.currency,
                realized_amount=line.realized,
                unrealized_amount=line.unrealized,
                fee_amount=line.fees,
                income_amount=line.income,
                market_amount=line.market,
                day_amount=line.total - earlier.get((line.strategy, line.currency), _ZERO),
            )
            for line in books.lines
        ]
        with self._client.transaction():
            self._replace(plan, DayPnl, lines, ("strategy", "currency"))
            self._oblige(plan, books)
            _fill(report, facts, books, before)
            report.due_amount = sum(
                (
                    each.due_amount
                    for each in self._owed(plan)
                    if each._store_state == "PENDING" and each.currency == facts.base
                ),
                _ZERO,
            )
            self._client.transition(report, "BOOKED")

    def _tell(self, plan: _Plan, entity_id: str) -> None:
        report = self._mine(plan, entity_id, "BOOKED")
        if report is None:
            return
        name = f"{plan.account}_{plan.run}_{plan.day}_r{plan.report_revision}"
        report.report_file = f"{re.sub(r'[^A-Za-z0-9_.-]', '-', name)}.html"
        marks = self._client.query(DayMark, plan.where(), limit=None, order_by="symbol")
        content = (report, self._lines(plan.where()), list(marks), self._owed(plan))
        report.report_text = text_of(*content)
        self._keep(report.report_file, page_of(*content))
        self._keep(report.report_file.replace(".html", ".txt"), report.report_text)
        self._client.transition(report, "REPORTED")

    # --- records ----------------------------------------------------------------------------------

    def _facts(self, plan: _Plan) -> Facts:
        wanted = (plan.account, plan.run, plan.day, plan.known, plan.marks)
        kept = self._read
        if kept is not None and kept[0] == wanted:
            return kept[1]
        known, day = datetime.fromisoformat(plan.known), date.fromisoformat(plan.day)
        facts = gather(
            self._client, plan.account, plan.run, day, self._zone, known, dict(plan.marks)
        )
        if not facts.base:
            raise SettlementError(
                f"{self._client.user} sees no journal of account {plan.account}, run {plan.run}; "
                "use the login of the account's engine"
            )
        # What was known at a time stays what it was: the steps after this one need not read again.
        self._read = wanted, facts
        return facts

    def _find(self, plan: _Plan) -> DayReport | None:
        found = self._client.query(DayReport, plan.where(), limit=2)
        return found[0] if len(found) else None

    def _mine(self, plan: _Plan, entity_id: str, state: str) -> DayReport | None:
        """The report where its next step is due; None where that was done before.

        Overtaken where a later computation has taken the day over.
        """
        report = self._report(entity_id)
        if report.basis_hash != plan.basis or report.report_revision != plan.report_revision:
            raise Overtaken(
                f"the end of {plan.day} of {plan.account} is being computed anew, as something "
                "else is known of it by now; this computation ends"
            )
        return report if report._store_state == state else None

    def _before(self, plan: _Plan) -> DayReport | None:
        """The newest report of an earlier day."""
        where = {"account": plan.account, "run": plan.run}
        day = date.fromisoformat(plan.day)
        found = [
            each
            for each in self._client.query(DayReport, where, limit=None)
            if each.business_day is not None and each.business_day < day and _is_over(each)
        ]
        return max(found, key=lambda each: each.business_day or day, default=None)

    def _lines(self, where: Mapping[str, Any]) -> list[DayPnl]:
        found = self._client.query(DayPnl, dict(where), limit=None)
        return sorted(found, key=lambda each: (each.strategy, each.currency))

    def _replace(
        self, plan: _Plan, cls: type[S], records: Sequence[S], key: tuple[str, ...]
    ) -> None:
        """Write the day's records of a class, as versions of those of an earlier revision.

        One that is not among them any more is deleted.
        """
        known = {
            tuple(getattr(each, name) for name in key): each
            for each in self._client.query(cls, plan.where(), limit=None)
        }
        for record in records:
            before = known.pop(tuple(getattr(record, name) for name in key), None)
            if before is None:
                self._client.write(record)
            elif _copied(record, before):
                self._client.update(before)
        for gone in known.values():
            self._client.delete(gone)

    def _owed(self, plan: _Plan) -> list[SettlementObligation]:
        """What trades up to the day make due: what is not settled yet, or settles on the day."""
        day = date.fromisoformat(plan.day)
        where = {"account": plan.account, "run": plan.run}
        found = [
            each
            for each in self._client.query(SettlementObligation, where, limit=None)
            if each.business_day is not None
            and each.settlement_day is not None
            and each.business_day <= day <= each.settlement_day
        ]
        return sorted(found, key=lambda each: (each.settlement_day, each.symbol))

    def _oblige(self, plan: _Plan, books: Books) -> None:
        """Note what the day's trades make due, and settle what is due by the day."""
        records = [
            SettlementObligation(
                **plan.where(),
                settlement_day=each.settlement_day,
                symbol=each.symbol,
                currency=each.currency,
                net_quantity=each.quantity,
                due_amount=each.due,
                report_revision=plan.report_revision,
            )
            for each in books.obligations
        ]
        self._replace(plan, SettlementObligation, records, ("symbol",))
        day = date.fromisoformat(plan.day)
        where = {"account": plan.account, "run": plan.run}
        for each in self._client.query(SettlementObligation, where, limit=None):
            is_due = each.settlement_day is not None and each.settlement_day <= day
            if is_due and each._store_state == "PENDING":
                self._client.transition(each, "SETTLED")

    def _keep(self, name: str, text: str) -> None:
        """Write a file whole, or not at all."""
        self._directory.mkdir(parents=True, exist_ok=True)
        target = self._directory / name
        draft = target.with_name(f".{name}.{os.getpid()}")
        draft.write_text(text, encoding="utf-8")
        draft.replace(target)


def _is_over(report: DayReport) -> bool:
    return report._store_state == "REPORTED"


def _fill(report: DayReport, facts: Facts, books: Books, before: DayReport | None) -> None:
    """Put a day's figures into its report."""
    total = books.total
    report.currency, report.fills_count = facts.base, len(facts.fills)
    report.cash_amount, report.market_amount = books.cash, books.market
    report.equity_amount = books.equity
    report.realized_amount, report.unrealized_amount = total.realized, total.unrealized
    report.fee_amount, report.income_amount = total.fees, total.income
    earlier = _ZERO
    if before is not None:
        earlier = (
            before.realized_amount
            + (before.unrealized_amount or _ZERO)
            - before.fee_amount
            + before.income_amount
        )
    report.day_amount = total.total - earlier
    report.difference_text = "; ".join(books.differences)


def _copied(record: Storable, onto: Storable) -> bool:
    """Copy a record's fields onto another; whether anything but the revision changed."""
    changed = False
    for each in fields(record):  # type: ignore[arg-type]
        value = getattr(record, each.name)
        if getattr(onto, each.name) != value:
            changed = changed or each.name != "report_revision"
            setattr(onto, each.name, value)
    return changed
