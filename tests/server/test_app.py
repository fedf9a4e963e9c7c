"""`server/app.py` as a person or a service manager meets it: starts, stops, and refusals."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest

from client.base_client import DeephavenClient
from client.errors import AccessDenied, ServerUnreachable
from server.access.tls import checked_identity
from server.errors import StartupError
from tests.processes import (
    ROOT,
    Process,
    client_script,
    free_port,
    server_process,
    wait_until,
)
from tests.server.jdk_homes import make_home
from tests.server.recordings import REAL_PRICES

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Made for tests, for localhost and 127.0.0.1.
CERTIFICATE = ROOT / "tests" / "store" / "tls" / "certificate.pem"
PRIVATE_KEY = CERTIFICATE.with_name("key.pem")

pytestmark = pytest.mark.usefixtures("state_home")

TABLES = {
    "prices_raw",
    "prices_live",
    "risk_raw",
    "risk_live",
    "portfolio_summary",
    "top_movers",
    "volume_leaders",
}


def listens(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex((host, port)) == 0


def other_addresses() -> list[str]:
    """Return this machine's addresses that are not of the loopback interface."""
    shown = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=False).stdout
    return [a for a in shown.split() if "." in a and not a.startswith("127.")]


def test_a_service_serves_its_tables_locally_and_stops_on_sigterm(state_home: Path) -> None:
    with server_process() as (process, port):
        keys = state_home / "deephaven-trading-platform"
        assert (keys / f"psk-{port}").exists()
        with DeephavenClient(port=port) as client:
            assert set(client.list_tables()) >= TABLES
            live = client.follow("prices_live")
            live.wait_for(lambda rows: len(rows) == 8, 60)
        with pytest.raises(AccessDenied, match="refuses the key"):
            DeephavenClient(port=port, psk="not-the-key")
        assert listens("127.0.0.1", port)
        assert not any(listens(address, port) for address in other_addresses())
        assert f"http://localhost:{port}/?psk=" in process.output
        assert f"http://localhost:{port}/iframe/widget/?name=dashboard&psk=" in process.output
        assert process.end(signal.SIGTERM, 10) == 0
        assert not (keys / f"psk-{port}").exists()
    assert "Traceback" not in process.output


def test_connections_are_encrypted_where_a_certificate_is_given(browser: Browser | None) -> None:
    tls = ("--tls-cert", str(CERTIFICATE), "--tls-key", str(PRIVATE_KEY))
    with server_process(*tls) as (process, port):
        assert f"https://localhost:{port}/?psk=" in process.output
        with DeephavenClient(port=port, root_certs=CERTIFICATE, deadline_s=60) as client:
            client.follow("prices_live").wait_for(lambda rows: len(rows) == 8, 60)
        with pytest.raises(ServerUnreachable, match="not trusted here, or it has none"):
            DeephavenClient(port=port, use_tls=True, deadline_s=60)
        with pytest.raises(ServerUnreachable, match="wants use_tls=True"):
            DeephavenClient(port=port, deadline_s=60)
        script = client_script(
            "quant_client.py", "--port", str(port), "--once", "--root-certs", str(CERTIFICATE)
        )
        assert script.wait(180) == 0, script.output
        # The checks stand behind this transport too.
        trusted = grpc.ssl_channel_credentials(CERTIFICATE.read_bytes())
        with grpc.secure_channel(f"localhost:{port}", trusted) as channel:
            call = channel.unary_stream(
                "/io.deephaven.proto.backplane.grpc.SessionService/NewSession"
            )
            with pytest.raises(grpc.RpcError) as refused:
                list(call(b"", timeout=60))
        assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
        if browser is not None:
            context = browser.new_context(ignore_https_errors=True)
            page = context.new_page()
            page.set_default_timeout(120_000)
            url = re.search(r"https://\S+dashboard\S+", process.output)
            assert url
            # One table: the whole dashboard has tests of its own, and takes much longer to draw.
            page.goto(url.group().replace("name=dashboard", "name=prices_live"))
            page.locator(".iris-grid").first.wait_for()
            context.close()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (("certificate", None), "--tls-cert was given without --tls-key; give both, or none"),
        ((None, "key"), "--tls-key was given without --tls-cert; give both, or none"),
        (("nowhere", "key"), "the file of --tls-cert cannot be read: "),
        (("key", "certificate"), "cannot be used for TLS"),
        (("certificate", "other"), "cannot be used for TLS ("),
    ],
)
def test_files_that_are_no_identity_are_refused(
    tmp_path: Path, files: tuple[str | None, str | None], message: str
) -> None:
    subprocess.run(
        ["openssl", "genrsa", "-out", str(tmp_path / "other"), "2048"],
        check=True,
        capture_output=True,
    )
    paths = {
        "certificate": CERTIFICATE,
        "key": PRIVATE_KEY,
        "other": tmp_path / "other",
        "nowhere": tmp_path / "nowhere",
        None: None,
    }
    with pytest.raises(StartupError) as refused:
        checked_identity(paths[files[0]], paths[files[1]])
    assert message in str(refused.value)


def test_a_server_open_to_other_hosts_says_what_it_means() -> None:
    options = ("--host", "0.0.0.0", "--allow-host", "Desk.Example", "--psk", "a-key-of-ours")
    with server_process(*options) as (process, port):
        assert "psk=a-key-of-ours" in process.output
        assert "Open to other hosts on 0.0.0.0: whoever has the key can run code as you" in (
            process.output
        )
        assert "whoever can listen to the network reads the key and every row" in process.output
        assert "--tls-cert and --tls-key, or a proxy with TLS in front" in process.output
        for named, status in (
            ("desk.example", 200),
            (f"127.0.0.1:{port}", 200),
            ("evil.example", 403),
        ):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("GET", "/ide/", headers={"Host": named})
            assert connection.getresponse().status == status
            connection.close()
        # Ctrl-C stops it without a traceback.
        assert process.end(signal.SIGINT, 10) == 0
    assert "Traceback" not in process.output


@pytest.mark.parametrize("folder", [ROOT, ROOT / "server"], ids=["root", "server"])
def test_the_prompt_has_the_tables_as_variables(folder: Path) -> None:
    script = "server/app.py" if folder == ROOT else "app.py"
    process = Process(
        *(sys.executable, "-i", script, "--port", str(free_port()), "--heap-mb", "512"),
        cwd=folder,
        stdin=subprocess.PIPE,
    )
    assert process.child.stdin is not None
    process.wait_for_output("Ready after")
    names = sorted(TABLES)
    process.child.stdin.write(
        f"print('tables:', [type(t).__name__ for t in ({', '.join(names)})])\n"
        "from market_data import SYMBOLS; from risk_engine import calculate_greeks\n"
        "import server.tables; print('still a package', len(SYMBOLS))\n"
    )
    process.child.stdin.flush()
    process.wait_for_output("still a package 8", 30)
    assert f"tables: {['Table'] * len(names)}" in process.output
    assert process.end(signal.SIGTERM, 10) == 0
    process.child.stdin.close()


def test_real_prices_are_replayed_and_their_end_makes_the_market_stale(tmp_path: Path) -> None:
    week = tmp_path / "IBM.csv"
    week.write_text(
        "Date,Open,Close,Volume\n"
        "2026-02-16,260,261,100\n2026-02-17,261,259.5,200\n2026-02-18,259,262,300\n"
    )
    with (
        server_process("--replay", str(week), str(REAL_PRICES), "--speed", "inf") as (_, port),
        DeephavenClient(port=port) as client,
    ):
        last = client.follow("prices_live").wait_for(
            lambda rows: any(r["Symbol"] == "IBM" and r["Price"] == 262.0 for r in rows), 30
        )
        assert {r["Symbol"] for r in last} == {"AAPL", "FB", "GOOG", "IBM", "MSFT"}
        [ibm] = [r for r in last if r["Symbol"] == "IBM"]
        assert (ibm["Change"], ibm["Volume"]) == (2.5, 300)
        client.follow("prices_live").wait_for(lambda rows: rows and rows[0]["Stale"], 60)
        [status] = client.follow("feed_status").wait_for(bool, 60)
        assert (status["State"], status["Source"]) == ("ENDED", "replay")
        quant = client_script("quant_client.py", "--port", str(port), "--once")
        assert quant.wait(60) == 0
        assert "Market data is STALE: the replay is ENDED" in quant.output


def refusal(*options: str, env: dict[str, str] | None = None, prompt: bool = False) -> str:
    """Start a server that must not start; return its one line."""
    interpreter = (sys.executable, "-i") if prompt else (sys.executable,)
    process = Process(*interpreter, "server/app.py", *options, env=env)
    assert process.wait(60) == 1
    assert len(process.lines) == 1, process.output
    assert process.output.startswith("error: ")
    return process.output


@pytest.mark.parametrize("prompt", [False, True])
def test_a_busy_port_is_one_line(prompt: bool) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = refusal("--port", str(port), prompt=prompt)
    assert f"cannot listen on 127.0.0.1:{port}" in line
    assert "--port" in line


def test_a_wrong_jdk_is_one_line(tmp_path: Path) -> None:
    home = make_home(tmp_path / "jdk-11", "11.0.2")
    line = refusal("--port", str(free_port()), env={"JAVA_HOME": str(home)})
    assert "is version 11; the server needs a JDK of version 17 or later" in line


@pytest.mark.parametrize(
    ("heap", "message"),
    [("100", "is too small for the server"), ("99999999", "does not fit this machine")],
)
def test_a_heap_that_cannot_be_is_one_line(heap: str, message: str) -> None:
    assert message in refusal("--port", str(free_port()), "--heap-mb", heap)


def test_raw_tables_that_the_heap_cannot_hold_are_one_line() -> None:
    line = refusal("--port", str(free_port()), "--heap-mb", "512", "--raw-rows", "100000000")
    assert "more than half of the heap of 512 MB; give --raw-rows 1,864,135 or less" in line


def test_an_address_that_is_not_this_machines_is_one_line() -> None:
    assert "with --host" in refusal("--host", "192.0.2.1", "--port", str(free_port()))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_the_start_ends_it_quietly(number: int) -> None:
    process = Process(sys.executable, "server/app.py", "--port", str(free_port()))
    # Its libraries are being loaded once the log of the coming server is there, or before.
    wait_until(lambda: _maps(process, "libjvm"), 30, "the JVM")
    assert process.end(number, 30) == 0
    assert process.output == ""


def _maps(process: Process, library: str) -> bool:
    return library in Path(f"/proc/{process.child.pid}/maps").read_text()


def test_a_bad_recording_is_one_line_with_its_place(tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("date,symbol,close\n2026-02-20,IBM,255\n2026-02-19,IBM,254\n")
    line = refusal("--port", str(free_port()), "--replay", str(bad))
    assert f"error: {bad}:3: timestamp 2026-02-19 is before" in line


@pytest.mark.parametrize(
    "options",
    [
        ["--port", "0"],
        ["--rate", "0"],
        ["--seed", "-5"],
        ["--volatility", "-1"],
        ["--speed", "0"],
        ["--heap-mb", "many"],
        ["--no-such-option"],
    ],
)
def test_a_wrong_command_line_ends_with_status_2_and_the_reason(options: list[str]) -> None:
    process = Process(sys.executable, "server/app.py", *options)
    assert process.wait(30) == 2
    assert "error:" in process.output
    assert options[0] in process.output


def test_make_run_stays_up_without_a_terminal() -> None:
    port = free_port()
    environment = {**os.environ, "ARGS": f"--port {port} --heap-mb 512"}
    process = Process("make", "run", env=environment)
    try:
        process.wait_for_output("Ready after", 300)
        assert process.child.poll() is None
        with DeephavenClient(port=port) as client:
            client.follow("prices_live").wait_for(bool, 60)
    finally:
        # The signal that a terminal's Ctrl-C sends goes to make's children too.
        children = Path(f"/proc/{process.child.pid}/task/{process.child.pid}/children")
        for child in children.read_text().split():
            os.kill(int(child), signal.SIGTERM)
        assert process.wait(20) == 0
