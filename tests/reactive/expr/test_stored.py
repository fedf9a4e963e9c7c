"""What the version before stored is read by this one: pickles of all protocols, and JSON."""

from __future__ import annotations

import base64
import importlib
import json
import pickle
import subprocess
import sys
from typing import Any

import pytest

from reactive import Expr, ReactiveGraph, Type, from_json
from reactive.old_paths import MOVED
from tests.reactive.stored import EXPRESSIONS, FILE, OTHERS, PROTOCOLS, Holding, pickles

STORED: dict[str, dict[str, Any]] = json.loads(FILE.read_text())


def loaded(entry: dict[str, Any]) -> list[Any]:
    assert len(entry["pickles"]) == len(PROTOCOLS)
    return [pickle.loads(base64.b64decode(text)) for text in entry["pickles"]]


def test_all_that_is_known_was_stored() -> None:
    assert list(STORED["expressions"]) == list(EXPRESSIONS)
    assert list(STORED["others"]) == list(OTHERS)


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions_that_were_pickled(name: str) -> None:
    expected = EXPRESSIONS[name]
    for found in loaded(STORED["expressions"][name]):
        assert type(found) is type(expected)
        assert found.equals(expected)
        assert repr(found) == repr(expected)


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions_that_were_stored_as_json(name: str) -> None:
    data = STORED["expressions"][name]["json"]
    assert from_json(data).equals(EXPRESSIONS[name])
    assert EXPRESSIONS[name].to_json() == data, "and they are stored in the same form"


def test_types_that_were_pickled() -> None:
    for found in loaded(STORED["others"]["types"]):
        assert all(one is other for one, other in zip(found, Type, strict=True))


def test_an_object_that_was_pickled_while_it_was_tracked() -> None:
    for found in loaded(STORED["others"]["tracked object"]):
        assert type(found) is Holding
        assert (found.price, found.quantity, found.value) == (2.5, 4, 10.0)
        found.price = 3.0
        assert found.value == 12.0, "it is not tracked"
        graph = ReactiveGraph()
        node = graph.track(found)
        found.quantity = 5
        assert graph.get(node, "value") == 15.0


@pytest.mark.parametrize("name", [name for name in OTHERS if "error" in name or "expl" in name])
def test_errors_and_explanations_that_were_pickled(name: str) -> None:
    expected = OTHERS[name]
    for found in loaded(STORED["others"][name]):
        assert type(found) is type(expected)
        assert str(found) == str(expected)
        assert vars(found) == vars(expected)


@pytest.mark.parametrize("path", MOVED)
def test_old_paths_in_a_fresh_interpreter(path: str) -> None:
    """A worker that has imported nothing of ours yet is given a pickle."""
    name = {
        "reactive.aggregate": "Aggregate",
        "reactive.choices": "Case",
        "reactive.exact": "ExactSum",
        "reactive.explain": "Explanation",
        "reactive.leaves": "Const",
        "reactive.operators": "Expr",
        "reactive.text": "Substring",
        "reactive.tracked": "_nothing",
        "reactive.types": "Type",
    }[path]
    code = f"import pickle; print(pickle.loads(b'c{path}\\n{name}\\n.').__name__)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.stdout.strip(), run.stderr) == (name, "")


def test_what_never_was_is_not_found() -> None:
    module = importlib.import_module("reactive.leaves")
    assert not hasattr(module, "Nothing")
    assert not hasattr(module, "__path__")
    with pytest.raises(ImportError):
        importlib.import_module("reactive.nothing")


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_pickles_name_only_public_paths(name: str) -> None:
    """So that the files inside can move without another list of old paths."""
    for text in pickles(EXPRESSIONS[name]):
        data = base64.b64decode(text)
        assert b"reactive.expr" in data
        assert b"reactive.expr." not in data


def test_a_pickled_tracked_object_names_no_module_of_ours_but_its_own() -> None:
    for text in pickles(OTHERS["tracked object"]):
        assert b"reactive.graph" not in base64.b64decode(text)


def test_pickled_explanations_name_the_public_path() -> None:
    for text in pickles(OTHERS["explanation"]):
        data = base64.b64decode(text)
        assert b"reactive.graph" in data
        assert b"reactive.graph." not in data


def test_expressions_are_all_kinds_of_nodes() -> None:
    from reactive.expr.nodes import NODES

    def kinds(node: Expr) -> set[type[Expr]]:
        return {type(node)}.union(*(kinds(child) for _, child in node.children()))

    stored = set[type[Expr]]().union(*(kinds(expr) for expr in EXPRESSIONS.values()))
    assert stored == set(NODES)
