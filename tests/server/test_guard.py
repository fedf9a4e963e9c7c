"""What is in front of the engine: no call works without the key, and none from elsewhere.

Every method of every service is called as an attacker would, over each transport that there is.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import http.server
import os
import socket
import struct
import threading
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import h2.connection
import h2.events
import pytest
from deephaven_core.proto import console_pb2, session_pb2, ticket_pb2

from server.access import guard
from server.errors import StartupError
from server.jdk import find_jdk

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from server.trading_server import TradingServer

DEEPHAVEN = "io.deephaven.proto.backplane.grpc."
CONSOLE = "io.deephaven.proto.backplane.script.grpc.ConsoleService/"
NEW_SESSION = f"/{DEEPHAVEN}SessionService/NewSession"
# Answered without a session: it tells which kinds of login there are, which a login page needs.
PUBLIC = f"/{DEEPHAVEN}ConfigService/GetAuthenticationConstants"
# Where the key itself is sent; without it they refuse too.
HANDSHAKES = {
    "/arrow.flight.protocol.FlightService/Handshake",
    "/io.deephaven.flightjs.protocol.BrowserFlightService/OpenHandshake",
}


@pytest.fixture(scope="module")
def methods(trading_server: TradingServer) -> list[str]:
    """Every method that the running engine serves, as it lists them itself."""
    import jpy

    engine = jpy.get_type("guard.Guard").methods(_embedded())
    listed = sorted(f"/{name}" for name in engine)
    assert NEW_SESSION in listed
    assert PUBLIC in listed
    assert set(listed) >= HANDSHAKES
    return listed


def _embedded() -> Any:
    from deephaven_server import Server

    return Server.instance.j_server


def test_the_engine_serves_at_least_what_its_clients_know(methods: list[str]) -> None:
    import importlib
    import pkgutil

    import deephaven_core.proto as package

    known = {
        f"/{service.full_name}/{method.name}"
        for module in pkgutil.iter_modules(package.__path__)
        if module.name.endswith("_pb2")
        for service in importlib.import_module(
            f"deephaven_core.proto.{module.name}"
        ).DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    assert len(known) > 80
    assert known <= set(methods)
    assert f"/{CONSOLE}ExecuteCommand" in methods
    assert "/arrow.flight.protocol.FlightService/DoPut" in methods


# --- every method, over each transport ------------------------------------------------------------


def test_no_method_answers_without_the_key_over_grpc(
    trading_server: TradingServer, methods: list[str]
) -> None:
    outcomes: dict[str, Any] = {}
    with grpc.insecure_channel(f"127.0.0.1:{trading_server.options.port}") as channel:
        for method in methods:
            for token in ("", "Bearer not-a-token"):
                metadata = (("authorization", token),) if token else ()
                try:
                    list(channel.unary_stream(method)(b"", metadata=metadata, timeout=60))
                    outcomes[f"{method} {token}"] = "answered"
                except grpc.RpcError as error:
                    outcomes[f"{method} {token}"] = error.code()
    assert outcomes.pop(f"{PUBLIC} ") == "answered"
    assert set(outcomes.values()) == {grpc.StatusCode.UNAUTHENTICATED}, outcomes


def test_no_method_answers_without_the_key_over_grpc_web(
    trading_server: TradingServer, methods: list[str]
) -> None:
    port = trading_server.options.port
    answers = grpc_web(port, methods)
    assert grpc_status(answers.pop(PUBLIC)) == 0
    assert {grpc_status(answer) for answer in answers.values()} == {16}, answers
    # Over HTTP/1.1 the engine itself refuses every call.
    for method in (NEW_SESSION, PUBLIC, f"/{CONSOLE}ExecuteCommand"):
        status, body = post(port, method)
        assert (status, grpc_status(body)) == (200, 13)


@pytest.mark.parametrize("protocol", ["grpc-websockets", "grpc-websockets-multiplex"])
def test_no_method_answers_without_the_key_over_a_websocket(
    trading_server: TradingServer, methods: list[str], protocol: str
) -> None:
    for method in methods:
        answer = websocket_call(trading_server.options.port, protocol, method)
        assert b"grpc-status: 16" in answer or method == PUBLIC, (method, answer)


def test_with_the_key_the_same_call_is_answered(trading_server: TradingServer) -> None:
    """The refusals above are the key's doing."""
    method = f"/{DEEPHAVEN}ConfigService/GetConfigurationConstants"
    key = f"io.deephaven.authentication.psk.PskAuthenticationHandler {trading_server.key}"
    port = trading_server.options.port
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_stream(method)
        assert list(call(b"", metadata=(("authorization", key),), timeout=30))
        with pytest.raises(grpc.RpcError) as refused:
            list(channel.unary_stream(NEW_SESSION)(b"", metadata=(("authorization", key),)))
    assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
    assert grpc_status(grpc_web(port, [method], authorization=key)[method]) == 0
    for protocol in ("grpc-websockets", "grpc-websockets-multiplex"):
        answer = websocket_call(port, protocol, method, authorization=key)
        assert b"grpc-status: 0" in answer, answer


def test_nothing_but_the_pages_of_the_web_ide_is_served_over_plain_http(
    trading_server: TradingServer,
) -> None:
    port = trading_server.options.port
    for path in ("/ide/", "/jsapi/dh-core.js", "/js-plugins/manifest.json"):
        assert get(port, path)[0] == 200, path
    secret = trading_server.key.encode()
    for path in (
        "/notebooks/",
        "/layouts/",
        "/WEB-INF/web.xml",
        "/META-INF/MANIFEST.MF",
        "/ide/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..;/etc/passwd",
        "/js-plugins/../../../etc/passwd",
    ):
        status, body = get(port, path)
        assert status in (400, 403, 404), (path, status)
        assert secret not in body
        assert b"root:" not in body


# --- who asks, and for whom -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "localhost.evil.example:{port}",
        "127.0.0.1.evil.example:{port}",
        "192.0.2.7:{port}",
        "[2001:db8::1]:{port}",
        "",
    ],
)
def test_a_foreign_host_is_refused_on_every_path(trading_server: TradingServer, host: str) -> None:
    port = trading_server.options.port
    named = host.format(port=port)
    for path in ("/", "/ide/", "/iframe/widget/", "/jsapi/dh-core.js", "/nothing"):
        assert get(port, path, Host=named)[0] in (400, 403), path
    status, _ = post(port, PUBLIC, Host=named)
    assert status in (400, 403)
    for protocol in ("grpc-websockets", "grpc-websockets-multiplex"):
        assert refused_upgrade(port, protocol, host=named) in (400, 403)
    # What a page may add to its requests does not help.
    forwarded = {"X-Forwarded-Host": f"localhost:{port}", "Forwarded": f"host=localhost:{port}"}
    assert get(port, "/ide/", Host=named, **forwarded)[0] in (400, 403)


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST", "localhost.", "127.0.0.1", "[::1]"])
def test_own_names_are_answered(trading_server: TradingServer, name: str) -> None:
    port = trading_server.options.port
    assert get(port, "/ide/", Host=f"{name}:{port}")[0] == 200
    origin = f"http://{name}:{port}"
    answers = grpc_web(port, [PUBLIC], authority=f"{name}:{port}", origin=origin)
    assert grpc_status(answers[PUBLIC]) == 0


def test_a_foreign_authority_is_refused_over_http2(trading_server: TradingServer) -> None:
    port = trading_server.options.port
    options = (("grpc.default_authority", f"evil.example:{port}"),)
    with (
        grpc.insecure_channel(f"127.0.0.1:{port}", options=options) as channel,
        pytest.raises(grpc.RpcError) as refused,
    ):
        list(channel.unary_stream(PUBLIC)(b"", timeout=30))
    assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "http://evil.example:{port}",
        "https://localhost.evil.example:{port}",
        "http://localhost:1",
        "http://localhost",
        "http://127.0.0.1:1",
        "null",
        "file://",
        "http://localhost:{port}@evil.example",
        "http://[",
    ],
)
def test_a_page_of_another_origin_is_refused(trading_server: TradingServer, origin: str) -> None:
    port = trading_server.options.port
    page = origin.format(port=port)
    key = f"io.deephaven.authentication.psk.PskAuthenticationHandler {trading_server.key}"
    status, body = post(port, PUBLIC, authorization=key, Origin=page)
    assert status == 403
    assert b"may not use this server" in body
    for protocol in ("grpc-websockets", "grpc-websockets-multiplex"):
        assert refused_upgrade(port, protocol, origin=page) == 403
    answer = request(
        port,
        "OPTIONS",
        PUBLIC,
        Origin=page,
        **{"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-grpc-web"},
    )
    assert answer.status == 403
    assert answer.headers.get("Access-Control-Allow-Origin") is None


CALL = """async ([port, path, message, token]) => new Promise(done => {
  const socket = new WebSocket(`ws://localhost:${port}${path}`, ['grpc-websockets']);
  socket.binaryType = 'arraybuffer';
  let got = '';
  socket.onopen = () => {
    const headers = 'content-type: application/grpc-web+proto\\r\\nx-grpc-web: 1\\r\\n';
    socket.send(new TextEncoder().encode(headers + (token ? `authorization: ${token}\\r\\n` : '')));
    const frame = new Uint8Array(6 + message.length);
    new DataView(frame.buffer).setUint32(2, message.length);
    frame.set(message, 6);
    socket.send(frame);
    socket.send(new Uint8Array([1]));
  };
  socket.onmessage = event => { got += new TextDecoder('latin1').decode(event.data); };
  socket.onerror = () => { got += ' error'; };
  socket.onclose = () => done(got);
})"""
FETCH = """async ([port, path, mode]) => {
  const headers = {'content-type': mode === 'cors' ? 'application/grpc-web+proto' : 'text/plain'};
  try {
    const answer = await fetch(`http://localhost:${port}${path}`,
      {method: 'POST', mode, headers, body: new Uint8Array([0, 0, 0, 0, 0])});
    return answer.type + ' ' + answer.status + ' ' + await answer.text();
  } catch (error) { return 'error'; }
}"""


def test_a_page_of_another_origin_gets_nothing_in_a_browser(
    trading_server: TradingServer, browser: Browser | None, tmp_path: Path
) -> None:
    if browser is None:
        pytest.skip("no Chromium: install Debian's package chromium to look at the page")
    port = trading_server.options.port
    written = tmp_path / "written by a page"
    ticket = ticket_pb2.Ticket(ticket=b"e\4\0\0\0")
    steps = {
        NEW_SESSION: session_pb2.HandshakeRequest(),
        f"/{CONSOLE}StartConsole": console_pb2.StartConsoleRequest(
            result_id=ticket, session_type="python"
        ),
        f"/{CONSOLE}ExecuteCommand": console_pb2.ExecuteCommandRequest(
            console_id=ticket, code=f"open({str(written)!r}, 'w').write('x')"
        ),
        PUBLIC: session_pb2.HandshakeRequest(),
    }
    with foreign_page() as address:
        page = browser.new_page()
        try:
            page.goto(address)
            for path, message in steps.items():
                frame = list(message.SerializeToString())
                assert page.evaluate(CALL, [port, path, frame, ""]) == " error"
                assert page.evaluate(FETCH, [port, path, "cors"]) == "error"
                # Without CORS a browser sends, and shows nothing of the answer.
                assert page.evaluate(FETCH, [port, path, "no-cors"]) in ("opaque 0 ", "error")
        finally:
            page.close()
    assert not written.exists()


class foreign_page:  # noqa: N801 - a context manager
    """A page of another origin on this machine; its address."""

    def __enter__(self) -> str:
        class Page(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(b"<html>another origin</html>")

            def log_message(self, *_: object) -> None:
                return

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        return f"http://127.0.0.1:{self.server.server_address[1]}/"

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


# --- compiling, and what happens where it cannot be done ------------------------------------------


def test_classes_are_compiled_once_and_for_their_owner_alone(
    trading_server: TradingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a [cache]"))
    jdk = find_jdk()
    folder = guard.compile_guard(jdk)
    assert (folder / "guard" / "Guard.class").exists()
    assert folder.stat().st_mode & 0o077 == 0
    made = (folder / "guard" / "Guard.class").stat().st_mtime_ns
    assert guard.compile_guard(jdk) == folder
    assert (folder / "guard" / "Guard.class").stat().st_mtime_ns == made
    assert list(folder.parent.iterdir()) == [folder]
    folder.chmod(0o777)
    with pytest.raises(StartupError, match="may be another user's; remove that folder"):
        guard.compile_guard(jdk)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("syntax", r"cannot be compiled \(.*error: .*\); the server is not started without them"),
        ("none", "install the package again"),
    ],
)
def test_checks_that_cannot_be_compiled_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, message: str
) -> None:
    sources = tmp_path / "sources"
    sources.mkdir()
    if fault == "syntax":
        (sources / "Guard.java").write_text("package guard; public class Guard {")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(guard, "_SOURCES", sources)
    with pytest.raises(StartupError, match=message):
        guard.compile_guard(find_jdk())
    assert not list((tmp_path / "cache").rglob("*.class"))


def test_a_cache_that_cannot_be_written_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(StartupError, match="set XDG_CACHE_HOME to a directory that you can write"):
        guard.compile_guard(find_jdk())


def test_an_engine_that_is_built_otherwise_is_not_started(trading_server: TradingServer) -> None:
    class NoEngine:
        import jpy

        j_server = jpy.get_type("java.lang.Object")()

    with pytest.raises(StartupError, match="the server is not started, since its checks"):
        guard.install(NoEngine(), "127.0.0.1")
    with pytest.raises(StartupError, match="the server is not started, since its checks"):
        guard.restrict(NoEngine())


@pytest.mark.parametrize(
    ("host", "names"),
    [
        ("127.0.0.1", {"localhost", "127.0.0.1", "::1"}),
        ("::1", {"localhost", "127.0.0.1", "::1"}),
        ("0.0.0.0", {"localhost", "127.0.0.1", "::1", socket.gethostname().lower()}),
        ("Desk.Example.", {"localhost", "desk.example"}),
    ],
)
def test_the_names_of_a_server(host: str, names: set[str]) -> None:
    assert names <= set(guard.own_hosts(host))
    assert "evil.example" not in guard.own_hosts(host)


# --- the wire -------------------------------------------------------------------------------------


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


def request(port: int, verb: str, path: str, body: bytes = b"", **headers: str) -> Answer:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.putrequest(verb, path, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", headers.pop("Host", f"127.0.0.1:{port}"))
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())


def get(port: int, path: str, **headers: str) -> tuple[int, bytes]:
    answer = request(port, "GET", path, **headers)
    return answer.status, answer.body


def post(port: int, method: str, **headers: str) -> tuple[int, bytes]:
    """Call a method over gRPC-web with an empty message; its status is in header or body."""
    web = {"Content-Type": "application/grpc-web+proto", "X-Grpc-Web": "1"}
    answer = request(port, "POST", method, b"\0\0\0\0\0", **web, **headers)
    status = answer.headers.get("grpc-status")
    return answer.status, answer.body if status is None else f"grpc-status: {status}".encode()


def grpc_web(
    port: int, methods: list[str], *, authority: str = "", **headers: str
) -> dict[str, bytes]:
    """Call each method over HTTP/2 with an empty message; headers, body and trailers of each."""
    connection = h2.connection.H2Connection()
    connection.initiate_connection()
    names: dict[int, str] = {}
    answers = dict.fromkeys(methods, b"")
    waiting = list(reversed(methods))
    with socket.create_connection(("127.0.0.1", port), timeout=60) as wire:
        while waiting or names:
            # One after the other: how many at once are allowed is the server's affair.
            if not names:
                stream = connection.get_next_available_stream_id()
                names[stream] = waiting.pop()
                sent = [
                    (":method", "POST"),
                    (":scheme", "http"),
                    (":authority", authority or f"127.0.0.1:{port}"),
                    (":path", names[stream]),
                    ("content-type", "application/grpc-web+proto"),
                    ("x-grpc-web", "1"),
                    *headers.items(),
                ]
                connection.send_headers(stream, sent)
                connection.send_data(stream, b"\0\0\0\0\0", end_stream=True)
            wire.sendall(connection.data_to_send())
            received = wire.recv(65_536)
            assert received, "the server ended the connection"
            for event in connection.receive_data(received):
                stream = getattr(event, "stream_id", 0)
                if isinstance(event, (h2.events.ResponseReceived, h2.events.TrailersReceived)):
                    for name, value in event.headers:
                        answers[names[stream]] += name + b": " + value + b"\r\n"
                elif isinstance(event, h2.events.DataReceived):
                    answers[names[stream]] += event.data
                    connection.acknowledge_received_data(event.flow_controlled_length, stream)
                elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
                    names.pop(stream, None)
    return answers


def grpc_status(body: bytes) -> int:
    return int(body.lower().replace(b" ", b"").split(b"grpc-status:")[1].split(b"\r")[0])


def websocket(
    port: int, path: str, protocol: str, *, host: str | None = None, origin: str = ""
) -> tuple[socket.socket, int]:
    """Ask for an upgrade; the connection and the status."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    own = f"127.0.0.1:{port}"
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {own if host is None else host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Protocol: {protocol}",
    ]
    if origin:
        lines.append(f"Origin: {origin}")
    connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
    head = b""
    while b"\r\n\r\n" not in head and (read := connection.recv(1)):
        head += read
    return connection, int(head.split()[1])


def refused_upgrade(port: int, protocol: str, *, host: str | None = None, origin: str = "") -> int:
    connection, status = websocket(port, PUBLIC, protocol, host=host, origin=origin)
    connection.close()
    return status


def websocket_call(port: int, protocol: str, method: str, authorization: str = "") -> bytes:
    """Call a method with an empty message; what came back until its status, or some of a stream."""
    # On a shared connection the path of the upgrade says nothing: each call names its own.
    path = "/arrow.flight.protocol.FlightService/Handshake"
    multiplexed = protocol.endswith("multiplex")
    connection, status = websocket(port, path if multiplexed else method, protocol)
    assert status == 101, (method, status)
    headers = "content-type: application/grpc-web+proto\r\nx-grpc-web: 1\r\n"
    headers += f"authorization: {authorization}\r\n" if authorization else ""
    headers += f"grpc-websockets-path: {method[1:]}\r\n" if multiplexed else ""
    stream, ended = (b"\0\0\0\1", b"\x80\0\0\1") if multiplexed else (b"", b"")
    with connection:
        connection.settimeout(30)
        for payload in (
            stream + headers.encode(),
            stream + b"\0" + b"\0\0\0\0\0",
            ended + b"\1",
        ):
            connection.sendall(_masked_frame(payload))
        answer = b""
        while b"grpc-status" not in answer:
            received = connection.recv(65_536)
            if not received:
                break
            answer += received
    return answer


def _masked_frame(payload: bytes) -> bytes:
    mask = hashlib.sha256(payload).digest()[:4]
    length = (
        struct.pack("!B", 0x80 | len(payload))
        if len(payload) < 126
        else struct.pack("!BH", 0x80 | 126, len(payload))
    )
    masked = bytes(byte ^ mask[n % 4] for n, byte in enumerate(payload))
    return b"\x82" + length + mask + masked
