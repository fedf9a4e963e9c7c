"""Recorded prices that tests replay."""

from __future__ import annotations

from pathlib import Path

import bokeh_sampledata

# Thirteen years of daily prices of five companies.
REAL_PRICES = Path(bokeh_sampledata.__file__).parent / "_data" / "stocks.csv.gz"
