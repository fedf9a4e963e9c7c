"""Monitoring: real scrapes, rules that Prometheus accepts, the webhook, and the logs."""

from __future__ import annotations

import json
import logging
import re
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.processes import ROOT, Process, free_port, wait_until
from tests.trading.api.running import RunningDesk, order
from trading.client import TradingClient
from trading.errors import ApiRefused, DeskError
from trading.monitoring.logs import JsonLines
from trading.monitoring.webhook import Webhook

RULES = ROOT / "trading" / "monitoring" / "rules" / "trading.rules.yml"
DASHBOARD = ROOT / "trading" / "monitoring" / "grafana" / "desk.json"
# The names of the figures that a desk promises.
PROMISED = {
    "te_unrealized_pnl_total",
    "te_realized_pnl_total",
    "te_net_exposure",
    "te_open_positions_count",
    "tp_signals_accepted_total",
    "tp_signals_rejected_total",
    "engine_matches_emitted_total",
    "te_rollup_staleness_seconds",
    "prices_bar_delay_seconds",
    "engine_group_size",
    "engine_commit_seconds",
    "engine_lag_seconds",
    "engine_reconciliations_total",
    "engine_refusals_total",
    "engine_lease_held",
}


def program(name: str) -> str:
    """A program of Prometheus, which `scripts/setup.sh dev` brings."""
    # Not resolved: the environment may be a link.
    own = Path(sys.prefix) / "prometheus" / name
    found = str(own) if own.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"no {name}: scripts/setup.sh dev brings it where apt-get is there")
    return found


def scraped(desk: RunningDesk) -> dict[str, list[Any]]:
    """All samples of the desk's three endpoints, by name."""
    config = desk.config
    found: dict[str, list[Any]] = {}
    for port in (desk.port, config.ports["engine_metrics"], config.ports["market_metrics"]):
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/metrics",
            headers={"Authorization": f"Bearer {config.metrics_token}"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read().decode()
        for family in text_string_to_metric_families(text):
            found.setdefault(family.name, []).extend(family.samples)
            for sample in family.samples:
                found.setdefault(sample.name, []).append(sample)
    return found


def test_the_figures_are_those_of_the_books(desk: RunningDesk, alice: TradingClient) -> None:
    filled = alice.submit(order())
    wait_until(lambda: alice.order(filled.order_id).status == "FILLED", 60, "the fill")
    with pytest.raises(ApiRefused):
        alice.submit(order(quantity="5000"))
    wait_until(lambda: scraped(desk).get("prices_bar_delay_seconds"), 60, "a final bar")
    found = scraped(desk)
    # A counter without a sample yet is told by its name.
    names = set(found) | {f"{name}_total" for name in found}
    assert names >= PROMISED, PROMISED - names
    [exposure] = [
        each.value
        for each in found["te_net_exposure"]
        if each.labels == {"account": "ALPHA", "strategy": "manual"}
    ][:1]
    held = sum(float(each.net_quantity) for each in alice.positions())
    assert exposure / held == pytest.approx(230, rel=0.2)
    refused = {each.labels["code"]: each.value for each in found["engine_refusals_total"]}
    assert refused["NOTIONAL_MAX"] >= 1
    running = {each.labels["account"]: each.value for each in found["engine_running"]}
    assert running == {"ALPHA": 1.0, "BETA": 1.0}
    assert found["api_sessions"][0].value >= 1
    alice.flatten("ALPHA")


def test_the_figures_need_the_token(desk: RunningDesk) -> None:
    config = desk.config
    for port in (desk.port, config.ports["engine_metrics"], config.ports["market_metrics"]):
        for headers in ({}, {"Authorization": "Bearer nonsense"}):
            request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers=headers)
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(request, timeout=30)
            with caught.value as answer:
                assert answer.code == 401


def test_promtool_accepts_the_rules() -> None:
    told = subprocess.run(
        [program("promtool"), "check", "rules", str(RULES)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert told.returncode == 0, told.stdout + told.stderr


def test_the_dashboard_shows_figures_that_exist(desk: RunningDesk) -> None:
    recorded = set(re.findall(r"record: (\S+)", RULES.read_text()))
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len(panels) >= 12
    found = set(scraped(desk))
    for panel in panels:
        for target in panel["targets"]:
            assert target["expr"] in recorded | found, panel["title"]


def test_prometheus_scrapes_the_desk_and_fires_an_alert(
    desk: RunningDesk, alice: TradingClient, tmp_path: Path
) -> None:
    config = desk.config
    token = tmp_path / "token"
    token.write_text(config.metrics_token)
    ports = (desk.port, config.ports["engine_metrics"], config.ports["market_metrics"])
    targets = ", ".join(f'"127.0.0.1:{port}"' for port in ports)
    file = tmp_path / "prometheus.yml"
    file.write_text(
        "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
        f"rule_files: [{json.dumps(str(RULES))}]\n"
        "scrape_configs:\n"
        "  - job_name: desk\n"
        f"    authorization: {{credentials_file: {json.dumps(str(token))}}}\n"
        f"    static_configs: [{{targets: [{targets}]}}]\n"
    )
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    server = Process(
        program("prometheus"),
        f"--config.file={file}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    )

    def ask(path: str) -> Any:
        try:
            with urllib.request.urlopen(url + path, timeout=10) as answer:
                return json.loads(answer.read())["data"]
        except OSError:
            return {}

    def firing() -> list[str]:
        alerts = ask("/api/v1/alerts").get("alerts", [])
        return [each["labels"]["alertname"] for each in alerts if each["state"] == "firing"]

    try:
        alice.set_state("ALPHA", "HALTED", "a test of the alarm")

        def ups() -> list[str]:
            result = ask("/api/v1/query?query=up").get("result", [])
            return [each["value"][1] for each in result]

        wait_until(lambda: ups() == ["1", "1", "1"], 90, "three good scrapes")
        wait_until(lambda: "AccountHalted" in firing(), 90, "the alert")
    finally:
        with desk.client("rita") as rita:
            rita.set_state("ALPHA", "ACTIVE", "the test is over")
        server.end(seconds=60)


# --- webhook and logs -----------------------------------------------------------------------------


class Receiver:
    """A webhook that fails as often as it is told."""

    def __init__(self, failures: int) -> None:
        self.taken: list[dict[str, Any]] = []
        receiver = self
        left = [failures]

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if left[0] > 0:
                    left[0] -= 1
                    self.send_error(500)
                    return
                receiver.taken.append(json.loads(body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/alerts"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver(failures=2)
    yield made
    made.close()


def test_alerts_reach_a_webhook_that_fails_at_first(receiver: Receiver) -> None:
    hook = Webhook(receiver.url, pause_s=0.02)
    for number in range(3):
        hook.send({"id": str(number), "message": "<b>'; --"})
    wait_until(lambda: len(receiver.taken) == 3, 30, "the alerts")
    assert [each["id"] for each in receiver.taken] == ["0", "1", "2"]
    hook.close()
    assert (hook.sent, hook.lost) == (3, 0)


def test_alerts_that_nobody_takes_are_counted() -> None:
    hook = Webhook(f"http://127.0.0.1:{free_port()}/", pause_s=0.01)
    hook.send({"id": "1"})
    wait_until(lambda: hook.lost == 1, 60, "the end of the tries")
    hook.close()
    with pytest.raises(DeskError):
        Webhook("file:///etc/passwd")


def test_logs_are_json_with_what_they_are_about() -> None:
    record = logging.LogRecord(
        "trading.engine", logging.WARNING, __file__, 1, "denied %s", ("\ud800 text",), None
    )
    record.order_id, record.run = "DEMO.live.1-1", "live"
    line = json.loads(JsonLines("engine").format(record))
    assert line["level"] == "WARNING"
    assert (line["run"], line["order_id"]) == ("live", "DEMO.live.1-1")
    assert line["message"] == "denied ? text"
    assert "\n" not in JsonLines("engine").format(record)
