"""The platform's catalog, read as a stranger would, and its page in the docs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from store.columns import REGISTRY
from store.exports.catalog import catalog_page
from tests.processes import ROOT
from tests.store.registries import registry_of

TRADING = "symbol side direction order_type option_type timestamp price quantity pnl strength"
FINANCE = (
    "bid ask last volume rate avg_cost current_price underlying_price strike time_to_expiry "
    "volatility risk_free_rate pair isin face_value coupon_rate yield_to_maturity "
    "years_to_maturity notional daily_vol z_score confidence"
)
GENERAL = (
    "name label title color status notes tags weight amount value width height threshold unit ts "
    "active created model_name"
)
PAGE = ROOT / "docs" / "catalog.md"
COLUMNS = list(REGISTRY.all_columns().values())


@pytest.mark.parametrize(
    ("category", "names"), [("trading", TRADING), ("finance", FINANCE), ("general", GENERAL)]
)
def test_the_documented_columns_are_there(category: str, names: str) -> None:
    assert set(names.split()) == {column.name for column in REGISTRY.find(category=category)}


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
def test_a_column_says_something(column: object) -> None:
    from store.governance.column import ColumnDef

    assert isinstance(column, ColumnDef)
    assert len(column.description.split()) >= 4
    assert column.description[0].isupper()
    assert not column.description.endswith(".")
    assert column.semantic_type
    assert column.synonyms
    assert column.sample_values or str(column.type) in ("datetime", "date")
    if column.role == "measure":
        assert column.format
    for value in column.sample_values:
        assert column.display(value)


def test_no_synonym_is_another_columns_name() -> None:
    for column in COLUMNS:
        assert not {word for word in column.synonyms if REGISTRY.has(word)}


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("ticker", "symbol"),
        ("px", "price"),
        ("qty", "quantity"),
        ("p&l", "pnl"),
        ("profit and loss", "pnl"),
        ("offer", "ask"),
        ("ytm", "yield_to_maturity"),
        ("implied volatility", "volatility"),
        ("exercise price", "strike"),
        ("mark", "current_price"),
        ("cost basis", "avg_cost"),
        ("par value", "face_value"),
        ("time decay", "theta"),
        ("MarketValue", "market_value"),
        ("ChangePct", "change_pct"),
        ("EntityId", "entity_id"),
        ("changed by", "updated_by"),
        ("comment", "notes"),
        ("allocation", "weight"),
        ("currency pair", "pair"),
    ],
)
def test_people_find_what_they_mean(question: str, answer: str) -> None:
    assert REGISTRY.find(question)[0].name == answer


def test_prefixes() -> None:
    assert REGISTRY.prefixed_columns("name") == ["trader_name", "salesperson_name", "client_name"]
    assert not REGISTRY.has("random_name")


def test_the_page_in_the_docs_is_fresh(tmp_path: Path) -> None:
    fresh = tmp_path / "catalog.md"
    subprocess.run(
        [sys.executable, "-m", "store.exports.catalog", str(fresh)], cwd=ROOT, check=True
    )
    assert PAGE.read_text("utf-8") == fresh.read_text("utf-8"), (
        "docs/catalog.md is stale: run python -m store.exports.catalog docs/catalog.md"
    )
    for column in COLUMNS:
        assert f"| `{column.name}` |" in PAGE.read_text("utf-8")


def test_the_page_shows_what_it_may() -> None:
    page = catalog_page(
        registry_of(
            a={"python_type": str, "enum": ["x|y"], "deprecated": "use b"},
            b={"python_type": int, "sensitivity": "restricted", "sample_values": [41]},
            c={"python_type": str, "allowed_prefixes": ["my"], "tags": ["key"], "nullable": True},
        )
    )
    assert "**Deprecated: use b.**" in page
    assert "x\\|y" in page
    assert "41" not in page
    assert "*Restricted.*" in page
    assert "Also as `my_c`. #key" in page
    assert "str or None" in page


def test_the_command_says_how_it_is_used() -> None:
    failed = subprocess.run(
        [sys.executable, "-m", "store.exports.catalog"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (failed.returncode, failed.stderr) == (
        2,
        "usage: python -m store.exports.catalog FILE\n",
    )
