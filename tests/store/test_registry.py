"""What a registry answers: names, prefixes, searching, entities; from several threads too."""

from __future__ import annotations

import inspect
import threading
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

import pytest

from store import RegistryError, Storable
from store.columns import REGISTRY
from store.models import Order, Signal, Trade
from store.registry import ColumnRegistry
from tests.store.registries import MEANING, registry_of

REG = registry_of(
    symbol={
        "python_type": str,
        "synonyms": ["ticker", "security id"],
        "description": "Ticker symbol of an instrument",
        "role": "dimension",
        "semantic_type": "identifier",
        "tags": ["key"],
    },
    price={"python_type": float, "synonyms": ["px"], "category": "trading"},
    strike_price=float,
    name={"python_type": str, "allowed_prefixes": ["trader", "sales_person"]},
    short_name={"python_type": str, "allowed_prefixes": ["desk"]},
)


def test_resolving() -> None:
    assert REG.resolve("price") == (REG.get("price"), None)
    assert REG.resolve("trader_name") == (REG.get("name"), "trader")
    assert REG.resolve("sales_person_name") == (REG.get("name"), "sales_person")
    assert REG.resolve("desk_short_name") == (REG.get("short_name"), "desk")
    assert REG.get("trader_name") is REG.get("name")


def test_asking() -> None:
    assert [REG.has(name) for name in ("price", "trader_name", "x_name", "")] == [1, 1, 0, 0]
    assert [REG.is_prefixed(name) for name in ("name", "trader_name", "x")] == [0, 1, 0]
    assert REG.prefixed_columns("name") == ["trader_name", "sales_person_name"]
    assert REG.prefixed_columns("price") == []
    assert list(REG.all_columns()) == ["symbol", "price", "strike_price", "name", "short_name"]
    REG.all_columns().clear()
    assert REG.has("price")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("symbl", "column 'symbl' is not defined; did you mean 'symbol'?"),
        ("ticker", "did you mean 'symbol', also called 'ticker'?"),
        ("Security ID", "did you mean 'symbol', also called 'Security ID'?"),
        ("tickers", "did you mean 'symbol', also called 'ticker'?"),
        (
            "traderr_name",
            "'traderr' is not an allowed prefix of 'name'; allowed: 'trader'",
        ),
        ("tradr_name", "allowed: 'trader', 'sales_person'; did you mean 'trader_name'?"),
        ("strike_prise", "column 'strike_prise' is not defined; did you mean 'strike_price'?"),
        ("security_name", "'security' is not an allowed prefix of 'name'; allowed: 'trader', "),
        ("x_short_name", "'x' is not an allowed prefix of 'short_name'; allowed: 'desk'"),
        ("x_price", "'x' is not an allowed prefix of 'price'; allowed: it has none"),
        ("quantum", "column 'quantum' is not defined in the catalog"),
    ],
)
def test_what_is_not_defined_is_explained(name: str, message: str) -> None:
    for ask in (REG.get, REG.resolve, REG.prefixed_columns, REG.entities_with):
        with pytest.raises(RegistryError) as caught:
            ask(name)
        assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ticker", ["symbol"]),
        ("TICKER", ["symbol"]),
        ("px", ["price"]),
        ("price", ["price", "strike_price"]),
        ("Strike price", ["strike_price"]),
        ("instrument", ["symbol"]),
        ("of ticker", ["symbol"]),
        ("name", ["name", "short_name"]),
        ("zzz", []),
    ],
)
def test_finding(text: str, found: list[str]) -> None:
    assert [column.name for column in REG.find(text)] == found


def test_finding_by_kind() -> None:
    assert [column.name for column in REG.find(role="dimension")] == ["symbol"]
    assert [column.name for column in REG.find(category="trading")] == ["price"]
    assert [column.name for column in REG.find(semantic_type="identifier")] == ["symbol"]
    assert [column.name for column in REG.find(tag="key")] == ["symbol"]
    assert REG.find("price", role="dimension") == []


def test_define_shows_what_it_takes() -> None:
    parameters = list(inspect.signature(ColumnRegistry().define).parameters)
    assert parameters[:3] == ["name", "python_type", "nullable"]
    with pytest.raises(TypeError, match="colour"):
        ColumnRegistry().define("x", str, **MEANING, colour="red")


def test_entities_with_a_column() -> None:
    registry = registry_of(
        symbol=str, name={"python_type": str, "allowed_prefixes": ["trader", "client"]}
    )

    @dataclass
    class Trade(Storable):
        _registry = registry
        symbol: str = ""
        trader_name: str = ""

    @dataclass
    class Client(Storable):
        _registry = registry
        name: str = ""
        client_name: str = ""

    assert registry.entities() == [Trade, Client]
    assert registry.entities_with("symbol") == [Trade]
    assert registry.entities_with("name") == [Trade, Client]
    assert registry.entities_with("client_name") == [Client]
    assert [column.name for column in registry.columns_for(Client)] == ["name", "name"]
    fields = registry.fields_for(Client)
    assert [(field.name, field.prefix, field.title) for field in fields] == [
        ("name", None, "Name"),
        ("client_name", "client", "Client name"),
    ]


def test_the_platform_has_its_entities() -> None:
    platform = [Trade, Order, Signal]
    assert [cls for cls in REGISTRY.entities_with("symbol") if cls in platform] == platform


def test_threads_define_each_name_once() -> None:
    registry = ColumnRegistry()
    barrier = threading.Barrier(8)
    refused: list[str] = []

    def define(offset: int) -> None:
        barrier.wait()
        for n in range(100):
            name = f"c{(n + offset * 13) % 100}"
            try:
                registry.define(name, str, **MEANING, allowed_prefixes=["a", "b"])
            except RegistryError:
                refused.append(name)
            assert registry.resolve(f"b_{name}")[0].name == name
            type(f"T{offset}", (Storable,), {"__annotations__": {name: str}, "_registry": registry})

    threads = [threading.Thread(target=define, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(registry.all_columns()) == 100
    assert len(refused) == 700


def test_types_for_the_checks_of_expressions() -> None:
    class Side(Enum):
        BUY = "BUY"

    registry = registry_of(
        price=float,
        bid={"python_type": float, "nullable": True},
        side=str,
        tags=list[str],
        at=datetime,
    )

    @dataclass
    class Quote(Storable):
        _registry = registry
        price: float
        bid: float | None
        side: Side
        tags: list[str]
        at: datetime = None  # type: ignore[assignment]

    assert registry.types_for(Quote) == {
        "price": float,
        "bid": float | None,
        "side": str,
        "tags": list,
        "at": datetime | None,
    }


@pytest.mark.parametrize("name", [None, 5, [], ("symbol",)])
def test_what_is_no_name_is_not_defined(name: Any) -> None:
    with pytest.raises(RegistryError, match="is not defined"):
        REGISTRY.get(name)
