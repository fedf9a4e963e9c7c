"""Reports of runs: a page with pictures, JSON and Parquet.

from trading.reports import Report

report = Report.of(result.equity, fills=result.fills, prices=bars, title="SMA cross")
report.write("reports/sma")                  # report.html, report.json, *.parquet
"""

from trading.reports.report import Report

__all__ = ["Report"]
