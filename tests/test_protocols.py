"""The real classes fit the Protocols that other packages declare for them: mypy reads this file."""

from __future__ import annotations

import pytest

from bridge import TableWriter
from bridge.push import Graph
from bridge.recording.entity_writer import Client
from bridge.targets import RowWriter as BridgeRowWriter
from publishing import PublishLoop, RowQueue
from reactive import Field, ReactiveGraph
from reactive.bridge import Conflict, ReadsBack, StoreClient
from reactive.errors import ExpressionError
from reactive.expr.types import ColumnTypes, Type, field_types
from server.market.feed import MarketFeed, TickBatch
from server.market.replay import Replay
from server.market.simulator import Simulator
from server.market_data import BASE_PRICES, RowWriter
from store.client import StoreClient as RealStoreClient
from store.client import VersionConflict
from store.columns import REGISTRY
from store.events import Bus
from store.models import Trade
from store.outbox import NamingEngine, OnceStarter, Outbox, WorkflowStarter
from store.subscriptions import EventBus
from tests.server.recordings import REAL_PRICES
from tests.trading.runs import Flipper
from trading.brokers import Broker, PaperBroker
from trading.exchange import ExchangeBroker
from trading.kernel import AcceptAll, BarFold, HostedStrategy, Picker, TickBars
from trading.ticks.feeds import Feed, FromMarketFeed
from trading.ticks.feeds import MarketFeed as SourceOfTicks
from trading.ticks.feeds.market import TickBatch as SourceBatch
from trading.venues import PaperVenue, VenueBroker
from trading.venues.ccxt_broker import CcxtBroker
from workflow import MemoryEngine, WorkflowSource
from workflow.backend import Backend
from workflow.dbos import DBOSBackend
from workflow.dispatcher import TransitionClient
from workflow.durable import DurableEngine
from workflow.memory import MemoryBackend


def test_feeds() -> None:
    feeds: list[MarketFeed] = [Simulator(BASE_PRICES), Replay([REAL_PRICES])]
    assert [feed.name for feed in feeds] == ["simulator", "replay"]
    sources: list[SourceOfTicks] = [Simulator(BASE_PRICES), Replay([REAL_PRICES])]
    ticks: list[Feed] = [FromMarketFeed(source) for source in sources]
    assert [feed.name for feed in ticks] == ["simulator", "replay"]
    batch: type[SourceBatch] = TickBatch
    assert batch is TickBatch


def test_writers() -> None:
    loop = PublishLoop(lambda: None)
    queue: RowQueue = loop.queue({"X": "long"}, lambda _columns: None)
    writer: RowWriter = queue
    writer.write_row(1)
    loop.close()
    assert queue.stats.rows == 1


def test_the_registry_gives_expressions_their_types() -> None:
    types: ColumnTypes = REGISTRY
    assert field_types(types)("price") is Type.FLOAT
    assert field_types(Trade)("quantity") is field_types(types)("quantity")
    value = (Field("price") * Field("quantity")).typed(REGISTRY)
    assert value.eval({"price": 1.5, "quantity": 2}) == 3.0
    with pytest.raises(ExpressionError, match="symbol"):
        (Field("symbol") * 2).typed(REGISTRY)


def test_the_store_starts_workflows_and_workflows_use_the_store() -> None:
    engine = MemoryEngine()
    starter: WorkflowStarter = engine
    once: OnceStarter = engine
    naming: NamingEngine = engine
    assert isinstance(starter, OnceStarter)
    assert isinstance(once, NamingEngine)
    assert naming.reference(test_writers) == f"{__name__}:test_writers"
    assert naming.reference(lambda: None) is None
    source: type[WorkflowSource] = Outbox
    mover: type[TransitionClient] = RealStoreClient
    assert (source.__name__, mover.__name__) == ("Outbox", "StoreClient")


def test_engines_take_both_backends() -> None:
    backends: list[Backend] = [MemoryBackend(), DBOSBackend("postgresql://", "name", 1.0, None)]
    assert [DurableEngine(backend).is_running for backend in backends] == [False, False]


def test_the_store_takes_what_the_graph_writes_back() -> None:
    client = RealStoreClient.__new__(RealStoreClient)  # without a database behind it
    writes: StoreClient = client
    reads: ReadsBack = client
    conflict: Conflict = VersionConflict("entity", 1, 2)
    assert isinstance(writes, ReadsBack)
    assert reads is writes
    assert isinstance(conflict, Conflict)


def test_a_client_tells_a_bus() -> None:
    bus: Bus = EventBus()
    assert callable(bus.emit)


def test_the_bridge_takes_graphs_stores_and_writers() -> None:
    graph: Graph = ReactiveGraph()
    client: Client = RealStoreClient.__new__(RealStoreClient)  # without a database behind it
    # Without an engine behind it.
    writer: BridgeRowWriter = TableWriter.__new__(TableWriter)
    server_writer: type[BridgeRowWriter] = RowQueue
    assert all((graph, client, writer, server_writer))


def test_parts_of_the_kernel_can_be_replaced() -> None:
    fold: BarFold = TickBars()
    picker: Picker = AcceptAll()
    strategy: HostedStrategy = Flipper()
    broker: Broker = PaperBroker("tick")
    assert fold.due == picker.due
    assert (strategy.name, list(broker.open_orders())) == ("flipper", [])


def test_brokers_of_venues() -> None:
    kinds: list[type[VenueBroker]] = [ExchangeBroker, PaperVenue, CcxtBroker]
    assert all(hasattr(kind, "executions_since") for kind in kinds)
