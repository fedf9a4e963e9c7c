"""One rule for symbols: in the market server, the store's catalog, the clients and ticks."""

from __future__ import annotations

import argparse
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import trading.symbols
from client import quant_client
from server.errors import FeedFileError
from server.market import symbols
from server.market.replay import Replay
from store.columns import REGISTRY
from store.models import Trade
from trading.errors import TickError
from trading.ticks.batch import read_batch

OF_ALL_MARKETS = [
    *("AAPL", "BRK.B", "BRK-B", "BRK/B", "BF.B", "M&M.NS", "005930.KS", "7203.T", "0700.HK"),
    *("^GSPC", "$SPX", "ES=F", "@ES#", "/ESZ4", "CL1!", "EURUSD=X", "EUR/USD", "XAU/USD"),
    *("BTC-USD", "BTC/USDT:USDT", "BTC/USDT:USDT-240628-60000-C", "1000000MOGUSDT"),
    *("BTCUSDT_240628", "AAPL240119C00190000", "NSE|EQ|INFY", "O:SPY251219C00650000", "BAC+A"),
]
OF_NONE = [
    "aapl",
    "AAPL ",
    "A`B",
    'A"B',
    "A'B",
    "A\nB",
    "AAPL\n",
    "A\x00",
    "Ä",
    "A" * 41,
    "A;B",
]


def test_the_rule_is_the_same_everywhere() -> None:
    column = REGISTRY.get("symbol")
    assert column.pattern == symbols.PATTERN == quant_client.SYMBOL_PATTERN
    assert column.max_length == symbols.MAX_LENGTH == quant_client.SYMBOL_LENGTH


def in_catalog(symbol: str) -> bool:
    trade = Trade(symbol=symbol, quantity=1, price=1.0, side="BUY")
    return not REGISTRY.validate_instance(trade)


def in_ticks(symbol: str) -> bool:
    table = pa.table({"timestamp": [0], "symbol": [symbol], "price": [1.0], "size": [1]})
    options = {"allow_negative": False, "latest": None, "lateness": 0, "round_to": None}
    try:
        return len(read_batch(table, **options)) == 1
    except TickError:
        return False


def in_watchlist(symbol: str) -> bool:
    try:
        return quant_client.symbols(symbol) == [symbol]
    except argparse.ArgumentTypeError:
        return False


@pytest.mark.parametrize("symbol", OF_ALL_MARKETS)
def test_symbols_of_all_markets_pass(symbol: str, tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    path.write_text(f"date,symbol,close\n2026-02-20,{symbol},1.5\n")
    assert Replay([path]).symbols == (symbol,)
    assert in_catalog(symbol)
    assert in_ticks(symbol)
    assert in_watchlist(symbol)


@pytest.mark.parametrize("symbol", OF_NONE)
def test_what_no_market_has_is_refused(symbol: str) -> None:
    assert not symbols.is_symbol(symbol)
    assert not in_catalog(symbol)
    assert not in_ticks(symbol)


def test_nothing_is_no_symbol() -> None:
    """The catalog takes an empty text for a field that is not filled in yet."""
    assert not symbols.is_symbol("")
    assert not trading.symbols.is_symbol("")


@given(st.text(min_size=1, max_size=45))
def test_catalog_market_and_ticks_agree_on_any_text(text: str) -> None:
    assert in_catalog(text) == symbols.is_symbol(text) == trading.symbols.is_symbol(text)


def test_a_bad_symbol_of_a_file_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    path.write_text("date,symbol,close\n2026-02-20,IBM,1\n2026-02-21,I`M,1\n")
    with pytest.raises(FeedFileError, match=r"prices\.csv:3: symbol 'I`M' is not 1 to 40 capitals"):
        Replay([path])
    unnamed = tmp_path / "my prices.csv"
    unnamed.write_text("date,close\n2026-02-20,1\n")
    with pytest.raises(FeedFileError, match="rename it, or add a column 'symbol'"):
        Replay([unnamed])
