"""Files of records that commands read: CSV, Parquet and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from trading.errors import MetricsError
from trading.numbers import Number, to_decimal

__all__ = ["prices_by_symbol", "read_records"]


def read_records(path: Path) -> pd.DataFrame:
    """Return the rows of a file: .csv with a header, .parquet, or .json with a list of objects.

    Numbers of CSV and JSON stay texts where they must be exact; the times stay as they are written.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        if path.suffix == ".parquet":
            return pd.DataFrame(pq.read_table(path).to_pandas())
        if path.suffix == ".csv":
            frame = pd.read_csv(path, dtype=str, skipinitialspace=True)
            if not len(frame.columns):
                raise MetricsError(f"{path} has no columns; the first line names them")
            return frame
        if path.suffix == ".json":
            rows = json.loads(path.read_text(encoding="utf-8"), parse_float=str)
            if isinstance(rows, list) and all(isinstance(row, dict) for row in rows):
                return pd.DataFrame(rows)
            if isinstance(rows, dict) and all(isinstance(each, list) for each in rows.values()):
                return pd.DataFrame(rows)
            raise MetricsError(f"{path}: expected a list of objects, or an object of columns")
    except (ValueError, pa.ArrowInvalid) as error:
        if isinstance(error, MetricsError):
            raise
        raise MetricsError(f"{path} cannot be read: {error}") from None
    raise MetricsError(f"{path}: the name must end in .csv, .parquet or .json")


def prices_by_symbol(texts: Iterable[str]) -> dict[str, Number]:
    """Return prices of texts SYMBOL=PRICE."""
    prices: dict[str, Number] = {}
    for text in texts:
        symbol, equals, price = text.rpartition("=")
        if not equals or not symbol:
            raise MetricsError(f"{text!r}: SYMBOL=PRICE is expected")
        prices[symbol] = to_decimal(price, f"price of {symbol}")
    return prices
