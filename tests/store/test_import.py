"""What `import store` loads, and what it does not."""

from __future__ import annotations

import subprocess
import sys

import pytest

import store
from tests.processes import ROOT

HEAVY = {"deephaven", "jpy", "dbos", "pgserver", "psycopg2", "reaktiv"} | {
    "pandas",
    "numpy",
    "pyarrow",
    "hypothesis",
    "jsonschema",
}


@pytest.mark.parametrize("module", ["store", "store.models", "store.exports.json_schema"])
def test_importing_the_store_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    loaded = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert "store" in loaded
    assert HEAVY.isdisjoint(loaded)


def test_everything_that_is_exported_is_there() -> None:
    assert sorted(store.__all__) == sorted(set(store.__all__))
    for name in store.__all__:
        assert getattr(store, name) is not None
