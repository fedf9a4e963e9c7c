"""A view-only server, attacked by clients that have the key: they look, and that is all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import grpc
import pyarrow as pa
import pytest
from deephaven_core.proto import table_pb2, ticket_pb2
from pydeephaven import DHError, Session
from pydeephaven.table import Table

from client.base_client import DeephavenClient
from client.errors import ViewOnly
from tests.pictures import picture_of
from tests.processes import Process, client_script, server_process, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser

SECRET = "the secret of the environment"
PSK = "io.deephaven.authentication.psk.PskAuthenticationHandler"
DEEPHAVEN = "/io.deephaven.proto.backplane.grpc."
CONSOLE = "/io.deephaven.proto.backplane.script.grpc.ConsoleService/"
FLIGHT = "/arrow.flight.protocol.FlightService/"


@pytest.fixture(scope="module")
def served(state_home: Path) -> Iterator[tuple[Process, int]]:
    """The server's process and port; it must have survived every test."""
    with server_process("--view-only", env={"SECRET": SECRET}) as (process, port):
        yield process, port
        assert process.child.poll() is None
        assert "a client replaced" not in process.output


@pytest.fixture
def client(served: tuple[Process, int]) -> Iterator[DeephavenClient]:
    with DeephavenClient(port=served[1], deadline_s=60) as opened:
        yield opened


def prices(client: DeephavenClient) -> Table:
    return client.open_table("prices_live")


def lives(served: tuple[Process, int], client: DeephavenClient) -> None:
    """The server answers, with its own rows."""
    assert served[0].child.poll() is None
    wait_until(lambda: prices(client).to_arrow().num_rows == 8, 60, "the prices")


def test_clients_look(served: tuple[Process, int], client: DeephavenClient) -> None:
    assert {"prices_raw", "prices_live", "portfolio_summary"} <= set(client.list_tables())
    live = client.follow("prices_live")
    live.wait_for(lambda rows: len(rows) == 8, 60)
    # By its bare name too, as pydeephaven opens tables.
    assert client.session.open_table("prices_live").to_arrow().num_rows == 8
    with pytest.raises(ViewOnly):
        client.run_script("print(1)")
    with pytest.raises(ViewOnly):
        client.bind_table("prices_live", prices(client))


@pytest.mark.parametrize(
    ("formula", "first"),
    [
        ("X = 2 * Price - Price", None),
        ("X = (Bid + Ask) / 2 > 0 ? 1.5e0 : -1", 1.5),
        ("X = Symbol == `AAPL` && !isNull(Price) ? `yes` : `no`", "yes"),
        ("X = 10_000 * min(1.0, max(0.0, abs(-Price)))", 10_000.0),
        ("X = Symbol", "AAPL"),
    ],
)
def test_what_a_client_may_compute(client: DeephavenClient, formula: str, first: object) -> None:
    [row] = prices(client).where("Symbol = `AAPL`").update_view(formula).to_arrow().to_pylist()
    assert row["X"] == (row["Price"] if first is None else first)


def test_the_ways_to_look_at_a_table(client: DeephavenClient) -> None:
    from pydeephaven import agg

    table = prices(client)
    assert table.where("Symbol icase in `aapl`, `MSFT`").to_arrow().num_rows == 2
    assert table.sort_descending("Price").head(3).to_arrow().num_rows == 3
    assert table.select_distinct("Symbol").to_arrow().num_rows == 8
    assert table.agg_by([agg.sum_("Total = Price")], by="Symbol").to_arrow().num_rows == 8
    joined = table.natural_join(client.open_table("risk_live"), on="Symbol", joins="Delta")
    assert "Delta" in joined.to_arrow().column_names
    assert client.session.empty_table(10).update("X = 1").to_arrow().num_rows == 10


@pytest.mark.parametrize(
    "expression",
    [
        "server",
        "server.key",
        "server.__dict__",
        "logging.os.environ",
        "sys.modules",
        "sys",
        "prices_live",
        "__builtins__",
        "java.lang.System.getenv()",
        "System.getenv(`SECRET`)",
        "System.exit(1)",
        "Runtime.getRuntime().exec(`true`)",
        "new java.io.File(`/etc/passwd`)",
        "new long[1_000_000_000]",
        "Symbol.getClass()",
        "Symbol.repeat(1_000_000_000)",
        "repeat(1.0, 1_000_000_000)",
        "array(Price)",
        "Symbol + Symbol",
        "Price + `x`",
        "(Object) Symbol",
        "Price -> 1",
        "String::valueOf",
        "io.deephaven.engine.context.ExecutionContext.getContext()",
        "org.jpy.PyModule.importModule(`os`)",
        "Symbol\\u002egetClass()",
        "`\\u0060 + System.exit(1) + \\u0060`",
        "this",
        "Symbol_",
        "1; System.exit(1)",
        "(" * 200 + "1" + ")" * 200,
        "1" + " + 1" * 500,
    ],
)
def test_a_formula_reaches_nothing_but_columns(
    served: tuple[Process, int], client: DeephavenClient, expression: str
) -> None:
    table = prices(client)
    for use in (
        lambda: table.update_view(f"X = {expression}").to_arrow(),
        lambda: table.update(f"X = {expression}").to_arrow(),
        lambda: table.where(f"({expression}) != null").to_arrow(),
        lambda: table.select_distinct(f"X = {expression}").to_arrow(),
        lambda: table.head_by(1, by=[f"X = {expression}"]).to_arrow(),
        lambda: table.agg_by([], by=[f"X = {expression}"]).to_arrow(),
    ):
        with pytest.raises((DHError, ValueError)) as refused:
            use()
        assert SECRET not in str(refused.value)
    lives(served, client)


def test_one_clients_formula_cannot_end_the_server(
    served: tuple[Process, int], client: DeephavenClient
) -> None:
    session = client.session
    table = prices(client)
    raw = client.open_table("prices_raw")
    for what in (
        lambda: session.empty_table(10**10).update(["X = 1"]),
        lambda: session.empty_table(10**10),
        lambda: session.input_table(schema=pa.schema([("A", pa.int64())])),
        lambda: session.time_table(1),
        lambda: session.time_table("PT1S", start_time="2020-01-01T00:00:00Z"),
        lambda: session.merge_tables([raw] * 100),
        lambda: raw.join(raw, on=[], joins=[f"B{n} = Bid" for n in range(3)]),
        lambda: table.group_by().ungroup(),
    ):
        with pytest.raises(DHError):
            what()
    lives(served, client)


@pytest.fixture
def channel(served: tuple[Process, int], state_home: Path) -> Iterator[tuple[Any, Any]]:
    """A bare connection with a session of the key: any method with any bytes."""
    port = served[1]
    key = (state_home / "deephaven-trading-platform" / f"psk-{port}").read_text()
    metadata = (("authorization", f"{PSK} {key}"),)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as opened:
        yield opened, metadata


@pytest.mark.parametrize(
    "method",
    [
        *(
            CONSOLE + name
            for name in (
                "ExecuteCommand",
                "BindTableToVariable",
                "SubscribeToLogs",
                "AutoCompleteStream",
                "CancelCommand",
                "OpenAutoCompleteStream",
                "NextAutoCompleteStream",
            )
        ),
        *(
            DEEPHAVEN + name
            for name in (
                "SessionService/PublishFromTicket",
                "InputTableService/AddTableToInputTable",
                "InputTableService/DeleteTableFromInputTable",
                "StorageService/ListItems",
                "StorageService/FetchFile",
                "StorageService/SaveFile",
                "StorageService/DeleteItem",
                "PartitionedTableService/PartitionBy",
                "HierarchicalTableService/Rollup",
            )
        ),
        *(
            FLIGHT + name
            for name in ("DoPut", "DoAction", "GetFlightInfo", "GetSchema", "ListFlights")
        ),
        "/io.deephaven.flightjs.protocol.BrowserFlightService/OpenDoPut",
    ],
)
def test_methods_that_change_or_run_something_are_refused(
    channel: tuple[Any, Any], method: str
) -> None:
    opened, metadata = channel
    with pytest.raises(grpc.RpcError) as refused:
        list(opened.unary_stream(method)(b"", metadata=metadata, timeout=60))
    assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED


def test_tickets_of_other_kinds_are_refused(channel: tuple[Any, Any]) -> None:
    opened, metadata = channel
    for ticket, code in (
        (b"s/server", grpc.StatusCode.NOT_FOUND),
        (b"s/logging", grpc.StatusCode.NOT_FOUND),
        (b"q\x0a\x00", grpc.StatusCode.PERMISSION_DENIED),
        (b"h\x00", grpc.StatusCode.PERMISSION_DENIED),
    ):
        request = table_pb2.FetchTableRequest(
            source_id=table_pb2.TableReference(ticket=ticket_pb2.Ticket(ticket=ticket)),
            result_id=ticket_pb2.Ticket(ticket=b"e\1\0\0\0"),
        )
        call = opened.unary_stream(f"{DEEPHAVEN}TableService/FetchTable")
        with pytest.raises(grpc.RpcError) as refused:
            list(call(request.SerializeToString(), metadata=metadata, timeout=60))
        assert refused.value.code() == code, ticket


def test_no_client_replaces_a_variable(
    served: tuple[Process, int], client: DeephavenClient
) -> None:
    session: Session = client.session
    fake = session.empty_table(3)
    for name in ("prices_live", "dashboard", "server", "wish_to_stop", "of_my_own", "__builtins__"):
        with pytest.raises(DHError):
            session.bind_table(name, fake)
    assert client.session.open_table("prices_live").to_arrow().num_rows == 8
    lives(served, client)


def test_the_role_clients_work(served: tuple[Process, int]) -> None:
    for script in ("quant_client.py", "risk_client.py", "pm_client.py"):
        process = client_script(script, "--port", str(served[1]), "--once")
        assert process.wait(180) == 0, process.output
        assert "these views are not published" in process.output


def test_the_dashboard_lives(served: tuple[Process, int], browser: Browser | None) -> None:
    if browser is None:
        pytest.skip("no Chromium: install Debian's package chromium to look at the page")
    url = re.search(r"http://\S+dashboard\S+", served[0].output)
    assert url
    page = browser.new_page(viewport={"width": 1600, "height": 1000})
    page.set_default_timeout(120_000)
    try:
        page.goto(url.group())
        profit = page.get_by_text(re.compile(r"^-?\$[\d,]+$"))
        profit.first.wait_for()
        first = profit.all_inner_texts()
        wait_until(lambda: profit.all_inner_texts() != first, 60, "other totals")
        page.locator(".js-plotly-plot").nth(2).wait_for()
        grid = page.locator(".iris-grid").first
        before = picture_of(grid)
        wait_until(lambda: picture_of(grid) != before, 60, "another picture")
    finally:
        page.close()
