"""Governed classes for other tools: JSON Schema, Legend Pure, Deephaven, pandas, Arrow, a page.

    from store.exports.json_schema import json_schema
    from store.models import Trade

    json_schema(Trade)["properties"]["price"]["x-unit"]     # "USD"

Each export is a module of its own, since `frames` loads pandas and pyarrow.
"""
