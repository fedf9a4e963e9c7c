"""The server where machines differ: folders of any name, another language, IPv6, a time zone."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from client.address import is_this_machine, link_host
from client.base_client import DeephavenClient
from server.address import bare_host, host_and_port
from server.options import parse_options
from server.time_zone import checked_zone, machine_zone, zone_arguments
from tests.processes import ROOT, START_SECONDS, Process, free_port

# What a shell, a link, a property of Java or a pattern would take for something else.
ODD_NAME = "a 'b\" $HOME `id` #1 %20 & {x} ü"


def test_a_server_in_a_folder_of_any_name_in_turkish_on_ipv6(
    state_home: Path, tmp_path: Path
) -> None:
    root = tmp_path / ODD_NAME
    for package in ("server", "publishing"):
        shutil.copytree(ROOT / package, root / package)
    port = free_port()
    process = Process(
        "sh",
        str(root / "server" / "start_server.sh"),
        *("--port", str(port), "--host", "[::1]", "--time-zone", "Asia/Tokyo", "--view-only"),
        cwd=tmp_path,
        env={
            "PYTHON": sys.executable,
            "JAVA_TOOL_OPTIONS": "-Duser.language=tr -Duser.country=TR -Duser.language.format=tr "
            "-XX:TieredStopAtLevel=1",
            "LANG": "tr_TR.UTF-8",
            "XDG_STATE_HOME": str(state_home / ODD_NAME),
        },
    )
    try:
        process.wait_for_output("Key ", 2 * START_SECONDS)
        log = state_home / ODD_NAME / "deephaven-trading-platform" / f"server-{port}.log"
        assert "Exception" not in log.read_text(encoding="utf-8")
        key = (state_home / ODD_NAME / "deephaven-trading-platform" / f"psk-{port}").read_text()
        assert (
            f"Dashboard  http://[::1]:{port}/iframe/widget/?name=dashboard&psk=" in process.output
        )
        assert "Times      Asia/Tokyo" in process.output
        for host in ("::1", "[::1]"):
            with DeephavenClient(host, port, psk=key) as client:
                assert client.follow("prices_live").wait_for(lambda rows: len(rows) == 8, 60)
                # Over Arrow Flight, which has an address of its own.
                assert client.open_table("prices_live").to_arrow().num_rows == 8
                settings = client.session.config_service.get_configuration_constants()
                assert settings["timeZone"].string_value == "Asia/Tokyo"
                assert settings["showTimeZone"].string_value == "true"
                assert settings["deephaven.version"].string_value
        assert "Open to other hosts" not in process.output
        link = re.search(r"http://\[::1\]\S+", process.output)
        assert link
        with urllib.request.urlopen(link.group(), timeout=60) as page:
            assert page.status == 200
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
        assert process.end(seconds=60) == 0
    finally:
        if process.child.poll() is None:
            process.end(signal.SIGKILL)


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("localhost", "localhost:1"),
        ("127.0.0.1", "127.0.0.1:1"),
        ("::1", "[::1]:1"),
        ("[::1]", "[::1]:1"),
        ("fe80::1%eth0", "[fe80::1%25eth0]:1"),
    ],
)
def test_host_and_port(host: str, shown: str) -> None:
    assert host_and_port(host, 1) == shown
    assert host_and_port(bare_host(host), 1) == shown
    if "%" not in host:
        assert f"{link_host(host)}:1" == shown


@pytest.mark.parametrize(
    "host", ["::1", "[::1]", "0:0:0:0:0:0:0:1", "127.0.0.2", "::ffff:127.0.0.1", "LocalHost"]
)
def test_addresses_of_this_machine(host: str) -> None:
    assert is_this_machine(host)


@pytest.mark.parametrize("host", ["127.example.com", "::2", "10.0.0.1", "example.com"])
def test_addresses_of_others(host: str) -> None:
    """They are not handed the key of a server of this user."""
    assert not is_this_machine(host)


def test_the_option_of_the_zone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert parse_options([]).time_zone is None
    assert parse_options(["--time-zone", "Europe/Berlin"]).time_zone == "Europe/Berlin"
    for bad in ("Mars/Olympus", "", "../etc/passwd", "/etc/localtime"):
        with pytest.raises(SystemExit):
            parse_options(["--time-zone", bad])
    assert "no time zone; names such as Europe/Berlin" in capsys.readouterr().err
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    assert machine_zone() == "Asia/Kolkata"
    monkeypatch.setenv("TZ", ":/usr/share/zoneinfo/America/Chicago")
    assert machine_zone() == "America/Chicago"
    monkeypatch.setenv("TZ", "Etc/UTC")
    assert machine_zone() == "UTC"
    monkeypatch.delenv("TZ")
    now = datetime.now().astimezone()
    assert now.astimezone(ZoneInfo(checked_zone(machine_zone()))).utcoffset() == now.utcoffset()
    # The engine's own settings for clients stay, ours are added.
    told = zone_arguments("UTC")[-1].partition("=")[2].split(",")
    assert told[-2:] == ["timeZone", "showTimeZone"]
    assert {"deephaven.version", "web.storage.layout.directory"} < set(told)


@pytest.mark.parametrize(
    ("folder", "code"),
    [
        ("client", "from base_client import DeephavenClient; from client import LiveTable"),
        ("client", "from quant_client import views; from desk import View"),
        (
            "server",
            "from market_data import SYMBOLS, start_market_data; from risk_engine import "
            "calculate_greeks; from server import Replay; assert len(SYMBOLS) == 8",
        ),
    ],
)
def test_modules_are_found_from_inside_of_their_folder(folder: str, code: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT / folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_start_server_says_which_packages_are_missing(tmp_path: Path) -> None:
    root = tmp_path / "platform"
    shutil.copytree(ROOT / "server", root / "server")
    (tmp_path / "python3").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "python3").chmod(0o755)
    done = subprocess.run(
        ["sh", str(root / "server" / "start_server.sh")],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "pip install -r requirements-server.txt" in done.stderr
