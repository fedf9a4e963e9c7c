"""Pickles that the version before the sub-packages wrote are read by this one."""

from __future__ import annotations

import base64
import json
import pickle
import subprocess
import sys
from typing import Any

import pytest

from store.old_paths import MOVED
from tests.store.stored import FILE, PROTOCOLS, values

STORED: dict[str, list[str]] = json.loads(FILE.read_text())
VALUES = values()


def content(value: Any) -> Any:
    """What can be compared of a value: errors and lists with more to them by their parts."""
    if isinstance(value, Exception):
        return type(value), str(value), vars(value)
    if isinstance(value, list):
        return type(value), list(value), vars(value)
    return type(value), value


def test_all_that_is_known_was_stored() -> None:
    assert list(STORED) == list(VALUES)


@pytest.mark.parametrize("name", VALUES)
def test_values_that_were_pickled(name: str) -> None:
    assert len(STORED[name]) == len(PROTOCOLS)
    for text in STORED[name]:
        assert content(pickle.loads(base64.b64decode(text))) == content(VALUES[name])


@pytest.mark.parametrize("path", MOVED)
def test_old_paths_in_a_fresh_interpreter(path: str) -> None:
    """A worker that has imported nothing of ours yet is given a pickle."""
    name = {
        "store.annotations": "AnnotatedField",
        "store.as_read": "AsRead",
        "store.checkpoints": "ParkedEvent",
        "store.checks": "Problem",
        "store.class_schema": "GovernedField",
        "store.column": "ColumnDef",
        "store.column_types": "Scalar",
        "store.event_bus": "BusCounts",
        "store.log": "Page",
        "store.querying": "QueryResult",
        "store.reading": "History",
        "store.rows": "Receipt",
        "store.subscription_status": "SubscriptionStatus",
        "store.transitions": "TransitionCounts",
        "store.unreadable": "Unreadable",
    }[path]
    code = f"import pickle; print(pickle.loads(b'c{path}\\n{name}\\n.').__name__)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.stdout.strip(), run.stderr) == (name, "")
