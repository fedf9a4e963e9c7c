"""What a hostile client tries at the API, and that nothing comes of it."""

from __future__ import annotations

import json
import socket as sockets
import threading
import time
import urllib.parse
from http.client import HTTPConnection
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from store.admin.users import disable_user
from store.schema import provision_user
from tests.processes import wait_until
from tests.trading.api.running import RunningDesk, far_below, order
from trading.client import TradingClient
from trading.errors import ApiAway, ApiRefused

UGLY = [
    "'; DROP TABLE object_store.event; --",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{7*7}} ${7*7} %s %(x)s \\",
    "../../etc/passwd",
    "\u202eevil\u2066",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 🦊",
]


def raw(
    desk: RunningDesk, method: str, path: str, body: bytes | None = None, **headers: str
) -> Any:
    """One request on a connection of its own: status, headers and body."""
    link = HTTPConnection("127.0.0.1", desk.port, timeout=60)
    try:
        given_headers = {name.replace("_", "-"): value for name, value in headers.items()}
        link.request(method, path, body, given_headers)
        answer = link.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        link.close()


def described(desk: RunningDesk) -> dict[str, Any]:
    _, _, text = raw(desk, "GET", "/openapi.json")
    found: dict[str, Any] = json.loads(text)
    return found


def operations(desk: RunningDesk) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method.upper(), path, operation)
        for path, methods in described(desk)["paths"].items()
        for method, operation in methods.items()
    ]


OPEN = {"/health", "/health/live", "/health/ready", "/user/login"}


def test_every_route_needs_a_session(desk: RunningDesk) -> None:
    for method, path, _ in operations(desk):
        if path in OPEN:
            continue
        place = path.replace("{", "").replace("}", "")
        for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Cookie": "desk_session=x"}):
            body = b"{}" if method in ("POST", "PATCH") else None
            more = {"Content-Type": "application/json"} if body else {}
            status, told, text = raw(desk, method, place, body, **headers, **more)
            # A wrong body may be told before the session is looked at; nothing else is.
            assert status in (401, 422), (method, path, status, text)
            assert told["Content-Type"] == "application/problem+json"
    status, _, _ = raw(desk, "GET", "/metrics")
    assert status == 401


def test_every_route_refuses_parameters_that_it_does_not_take(
    desk: RunningDesk, alice: TradingClient
) -> None:
    own = {"Authorization": f"Bearer {alice._token}"}
    for method, path, operation in operations(desk):
        declared = [e["name"] for e in operation.get("parameters", ()) if e["in"] == "query"]
        place = path.replace("{", "").replace("}", "")
        queries = {"no_such_name=1": "UNKNOWN_PARAMETER"}
        if declared:
            queries[f"{declared[0]}=a&{declared[0]}=b"] = "MALFORMED"
        for query, code in queries.items():
            status, _, text = raw(desk, method, f"{place}?{query}", None, **own)
            told = json.loads(text)
            assert (status, told["code"]) == (422, code), (method, path, text)
            assert told["allowed"] == sorted(declared), (method, path)
            assert told["errors"][0]["where"] == f"query.{query.partition('=')[0]}"


def test_the_token_of_a_session_that_ended_is_worth_nothing(desk: RunningDesk) -> None:
    client = desk.client("alice")
    token = client._token
    client.close()
    status, _, _ = raw(desk, "GET", "/orders", Authorization=f"Bearer {token}")
    assert status == 401


def test_foreign_origins_and_hosts_are_refused(desk: RunningDesk, alice: TradingClient) -> None:
    own = {"Authorization": f"Bearer {alice._token}"}
    for origin in ("https://evil.example", "null", f"http://localhost.evil:{desk.port}", "http://"):
        status, _, text = raw(desk, "GET", "/orders", None, Origin=origin, **own)
        assert (status, json.loads(text)["code"]) == (403, "FOREIGN_ORIGIN"), origin
    for host in ("evil.example", f"evil.example:{desk.port}", "127.0.0.1.evil.example", "[::1", ""):
        status, _, text = raw(desk, "GET", "/orders", None, Host=host, **own)
        assert status in (400, 403), host
    origin = f"http://127.0.0.1:{desk.port}"
    status, _, _ = raw(desk, "GET", "/orders", None, Origin=origin, **own)
    assert status == 200


def test_bodies_have_a_bound_whether_or_not_they_say_their_length(
    desk: RunningDesk, alice: TradingClient
) -> None:
    own = {"Authorization": f"Bearer {alice._token}", "Content-Type": "application/json"}
    large = json.dumps({"account": "ALPHA", "tag": "x" * 70_000}).encode()
    status, _, text = raw(desk, "POST", "/orders", large, **own)
    assert (status, json.loads(text)["code"]) == (413, "TOO_LARGE")
    link = HTTPConnection("127.0.0.1", desk.port, timeout=60)
    pieces = (large[at : at + 8_192] for at in range(0, len(large), 8_192))
    link.request("POST", "/orders", pieces, own, encode_chunked=True)
    assert link.getresponse().status == 413
    link.close()


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 422),
        (b"[]", "application/json", 422),
        (b"null", "application/json", 422),
        (b"\xff\xfe", "application/json", 422),
        (b'{"account": "ALPHA", "symbol": "\\ud800"}', "application/json", 422),
        (b"[" * 30_000, "application/json", 400),
        (b'{"quantity": 1e999999}', "application/json", 422),
        (b"account=ALPHA", "application/x-www-form-urlencoded", 415),
        (b"{}", "text/plain", 415),
        (b"<a/>", "application/xml", 415),
    ],
)
def test_bodies_that_are_none_are_refused(
    desk: RunningDesk, alice: TradingClient, body: bytes, kind: str, status: int
) -> None:
    own = {"Authorization": f"Bearer {alice._token}", "Content-Type": kind}
    told, _, text = raw(desk, "POST", "/orders", body, **own)
    assert told == status, text
    if body == b"{":
        assert "no JSON" in json.loads(text)["detail"]
    assert json.loads(text)["status"] == status


def test_texts_are_data_and_nothing_else(desk: RunningDesk, alice: TradingClient) -> None:
    price = far_below(alice)
    for text in UGLY:
        made = alice.submit(order(limit_price=price, tag=text, strategy=text[:90]))
        shown = alice.order(made.order_id)
        assert (shown.order_tag, shown.strategy) == (text, text[:90])
        assert alice.orders(strategy=text)[0].order_id == made.order_id
        alice.cancel(made.order_id)
        for call in (
            lambda text=text: alice.order(text),
            lambda text=text: alice.orders(symbol=text),
        ):
            with pytest.raises(ApiRefused) as caught:
                call()
            assert caught.value.status == 404
    status, headers, _ = raw(desk, "GET", "/orders", None, Authorization=f"Bearer {alice._token}")
    assert status == 200
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Content-Type-Options"] == "nosniff"
    policy = headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe-inline" not in policy


def test_clients_that_say_half_a_request_hold_nobody_up(
    desk: RunningDesk, alice: TradingClient
) -> None:
    held = []
    try:
        for _ in range(60):
            each = sockets.create_connection(("127.0.0.1", desk.port), 30)
            each.sendall(b"POST /orders HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Le")
            held.append(each)
        begun = time.monotonic()
        assert alice.accounts()
        assert time.monotonic() - begun < 30
    finally:
        for each in held:
            each.close()


def test_hundreds_of_sockets_are_bounded(desk: RunningDesk, alice: TradingClient) -> None:
    from websockets.sync.client import connect

    url = desk.url.replace("http", "ws") + "/ws"
    headers = {"Authorization": f"Bearer {alice._token}"}
    held, refusals = [], 0
    try:
        for _ in range(60):
            ws = connect(url, additional_headers=headers, compression=None, open_timeout=60)
            held.append(ws)
        for ws in held:
            try:
                ws.recv(60)
            except Exception as closed:  # noqa: BLE001 - its code is looked at
                received = getattr(closed, "rcvd", None)
                assert received is not None
                assert received.code == 4013
                refusals += 1
        assert refusals == 40
        assert alice.accounts()
    finally:
        for ws in held:
            ws.close()


def test_guessing_passwords_is_slow(desk: RunningDesk) -> None:
    with desk.other_server(failures_of_user=3, failures_of_address=6, failures_s=60) as server:
        codes = []
        for _ in range(5):
            with pytest.raises(ApiRefused) as caught:
                TradingClient(server.url, "alice", "guess")
            codes.append(caught.value.code)
        assert codes == ["LOGIN_REFUSED"] * 3 + ["LOGIN_THROTTLED"] * 2
        # Also with the right one: who guesses does not learn that it was right.
        with pytest.raises(ApiRefused) as caught:
            desk.client("alice", server.url)
        assert caught.value.code == "LOGIN_THROTTLED"
        with desk.client("bob", server.url) as bob:
            assert bob.session.user == "bob"
        for _ in range(3):
            with pytest.raises(ApiRefused):
                TradingClient(server.url, "rita", "guess")
        with pytest.raises(ApiRefused) as caught:
            desk.client("vera", server.url)
        assert caught.value.code == "LOGIN_THROTTLED"


def test_a_user_who_is_disabled_is_out(desk: RunningDesk) -> None:
    admin = desk.admin()
    with desk.other_server(check_s=0.3) as server:
        client = desk.client("vera", server.url)
        assert client.accounts()
        try:
            disable_user(admin, "vera")

            def is_out() -> bool:
                try:
                    client.orders()
                except ApiRefused as error:
                    return error.status == 401
                except ApiAway:
                    return False
                return False

            wait_until(is_out, 60, "the end of the session")
            with pytest.raises(ApiRefused) as caught:
                desk.client("vera", server.url)
            assert caught.value.status == 401
        finally:
            provision_user(admin, "vera", desk.password("vera"))
            admin.close()
            client.close()


def test_sessions_end_when_nobody_uses_them(desk: RunningDesk) -> None:
    with desk.other_server(idle_s=0.5, check_s=0.2) as server:
        client = desk.client("alice", server.url)
        wait_until(lambda: server.parts.sessions.count() == 0, 30, "the end of the session")
        with pytest.raises(ApiRefused) as caught:
            client.accounts()
        assert caught.value.status == 401
        client.close()


def test_requests_at_once_are_bounded(desk: RunningDesk) -> None:
    with desk.other_server(requests_max=1) as server, desk.client("alice", server.url) as alice:
        told: list[str] = []

        def ask() -> None:
            try:
                alice.page("/decisions", limit=500)
                told.append("OK")
            except ApiRefused as error:
                told.append(error.code)

        threads = [threading.Thread(target=ask) for _ in range(12)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert set(told) <= {"OK", "TOO_MANY_REQUESTS"}
        assert told.count("OK") >= 1


# --- anything that the description allows, and much that it does not ------------------------------

TEXTS = st.one_of(
    st.sampled_from([*UGLY, "AAPL", "MSFT", "ALPHA", "1m", "0", "-1", "1e400", "null", "true"]),
    st.text(max_size=40),
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=8,
)


def values_of(schema: dict[str, Any], schemas: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a schema allows, mixed with others."""
    if "$ref" in schema:
        return values_of(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if "anyOf" in schema:
        return st.one_of(*(values_of(each, schemas) for each in schema["anyOf"]))
    if "enum" in schema:
        return st.one_of(st.sampled_from(schema["enum"]), TEXTS)
    kind = schema.get("type")
    if kind == "object":
        fields = {
            name: values_of(each, schemas) for name, each in schema.get("properties", {}).items()
        }
        needed = {name: fields[name] for name in schema.get("required", ()) if name in fields}
        others = {name: each for name, each in fields.items() if name not in needed}
        return st.fixed_dictionaries(needed, optional=others)
    if kind == "array":
        return st.lists(values_of(schema.get("items", {}), schemas), max_size=4)
    if kind == "string":
        if "pattern" in schema:
            return st.one_of(st.from_regex(schema["pattern"], fullmatch=True), TEXTS)
        if schema.get("format") == "date-time":
            moments = st.datetimes().map(lambda moment: f"{moment.isoformat()}Z")
            return st.one_of(moments, TEXTS)
        return TEXTS
    if kind == "integer":
        return st.one_of(st.integers(-10, 1_000), st.integers())
    if kind == "boolean":
        return st.booleans()
    return JSON


@pytest.mark.parametrize("kind", ["reads", "commands"])
def test_nothing_that_is_sent_is_an_error_of_the_server(
    desk: RunningDesk, alice: TradingClient, kind: str
) -> None:
    schemas = described(desk)["components"]["schemas"]
    chosen = [
        (method, path, operation)
        for method, path, operation in operations(desk)
        if (method == "GET") == (kind == "reads") and path not in ("/user/logout", "/user/login")
    ]
    link = HTTPConnection("127.0.0.1", desk.port, timeout=120)

    @settings(
        max_examples=60,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(data=st.data())
    def try_it(data: st.DataObject) -> None:
        method, path, operation = data.draw(st.sampled_from(chosen))
        query = {}
        headers = {"Authorization": f"Bearer {alice._token}"}
        for parameter in operation.get("parameters", ()):
            value = data.draw(values_of(parameter["schema"], schemas))
            text = str(value).encode("utf-8", "replace").decode()
            if parameter["in"] == "path":
                quoted = urllib.parse.quote(text, safe="") or "x"
                path = path.replace("{" + parameter["name"] + "}", quoted)
            elif parameter["in"] == "query" and data.draw(st.booleans()):
                query[parameter["name"]] = text
            elif parameter["in"] == "header" and text.isascii() and text.isprintable():
                headers[parameter["name"]] = text
        body = None
        if "requestBody" in operation:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            value = data.draw(st.one_of(values_of(schema, schemas), JSON))
            body = json.dumps(value)
            headers["Content-Type"] = "application/json"
        place = f"{path}?{urllib.parse.urlencode(query)}" if query else path
        try:
            link.request(method, place, body, headers)
            answer = link.getresponse()
        except ConnectionError:
            # It had rested for longer than the server keeps a connection.
            link.close()
            link.request(method, place, body, headers)
            answer = link.getresponse()
        text = answer.read()
        assert answer.status < 500, (method, place, body, answer.status, text)

    try:
        try_it()
    finally:
        link.close()
        alice.cancel_all("ALPHA")
    assert desk.states()["api"]["restarts"] == 0
