"""Every kind of node is written by every target; who adds one is told which target lacks it."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

import reactive
from reactive import (
    Between,
    BinOp,
    Case,
    Cast,
    Coalesce,
    Const,
    DatePart,
    Expr,
    Field,
    Func,
    If,
    In,
    IsNull,
    NullIf,
    StrOp,
    Substring,
    UnaryOp,
    compile_positional,
    compile_python,
    expr,
    from_json,
)
from reactive.expr import nodes, pure, python, sql
from reactive.expr.json import arguments_of
from reactive.expr.pure import writer as pure_writer
from reactive.expr.python import inline
from reactive.expr.python import nodes as python_nodes
from reactive.expr.sql import nodes as sql_nodes

X, S = Field("x", float), Field("s", str)
ROW = {"x": 2.5, "s": "EURUSD", "ts": datetime.fromisoformat("2026-02-22T12:30:15+00:00")}

EXAMPLES: list[tuple[Expr, Any]] = [
    (Const("a"), "a"),
    (Field("x"), 2.5),
    (BinOp("+", X, 1), 3.5),
    (UnaryOp("-", X), -2.5),
    (Func("max", [X, 1]), 2.5),
    (If(X > 1, "up", "down"), "up"),
    (Case([(X > 9, "high")], "low"), "low"),
    (Coalesce([X, 0]), 2.5),
    (IsNull(X), False),
    (NullIf(X, 2.5), None),
    (In(X, [1, 2.5]), True),
    (Between(X, 1, 2), False),
    (Cast(X, int), 2),
    (StrOp("lower", S), "eurusd"),
    (Substring(S, 3, 3), "USD"),
    (DatePart("hour", Field("ts", datetime)), 12),
]
"""An example of each kind of node, and its value on `ROW`."""
BY_CLASS = {type(example): (example, value) for example, value in EXAMPLES}


def in_python(example: Expr, value: Any) -> None:
    assert repr(compile_python(example)(ROW)) == repr(value)
    names = sorted(example.fields())
    assert repr(compile_positional(example, names)(*(ROW[n] for n in names))) == repr(value)
    assert inline.inline(example, names, "p_") is not None


def in_sql(example: Expr, _value: Any) -> None:
    assert example.to_sql()
    text, parameters = example.to_sql_params("t.data")
    assert text.replace("%%", "").count("%s") == len(parameters)


def in_pure(example: Expr, _value: Any) -> None:
    assert example.to_pure("$row")


def in_pure_null_safe(example: Expr, _value: Any) -> None:
    assert example.to_pure("$row", null_safe=True)


def in_json(example: Expr, _value: Any) -> None:
    again = from_json(json.loads(json.dumps(example.to_json())))
    assert type(again) is type(example)
    assert again.equals(example)


def as_text(example: Expr, _value: Any) -> None:
    assert repr(example)
    assert "object at" not in repr(example)


def with_types(example: Expr, _value: Any) -> None:
    typed = example.typed({"x": float, "s": str, "ts": datetime})
    assert type(typed) is type(example)
    assert typed.fields() == example.fields()


def in_pickle(example: Expr, _value: Any) -> None:
    data = pickle.dumps(example)
    assert b"reactive.expr\x94" in data, "the public path, so that the file of a class can change"
    assert pickle.loads(data).equals(example)
    assert copy.deepcopy(example).equals(example)


TARGETS: dict[str, Callable[[Expr, Any], None]] = {
    "python": in_python,
    "sql": in_sql,
    "pure": in_pure,
    "null-safe pure": in_pure_null_safe,
    "json": in_json,
    "repr": as_text,
    "types": with_types,
    "pickle": in_pickle,
}


def node_classes(base: type[Expr] = Expr) -> set[type[Expr]]:
    """All classes of nodes that the package defines."""
    found = set()
    for cls in base.__subclasses__():
        if cls.__module__.startswith("reactive."):
            found |= {cls, *node_classes(cls)}
    return found


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("cls", nodes.NODES, ids=lambda cls: cls.__name__)
def test_every_target_has_every_node(cls: type[Expr], target: str) -> None:
    assert cls in BY_CLASS, f"add an example of {cls.__name__} to EXAMPLES"
    TARGETS[target](*BY_CLASS[cls])


def test_nodes_lists_all_classes_of_nodes() -> None:
    assert len(nodes.NODES) == len(set(nodes.NODES))
    assert set(nodes.NODES) == node_classes(), "NODES in reactive/expr/nodes.py lists all nodes"
    assert all(cls.__name__ in expr.__all__ for cls in nodes.NODES), "reactive/expr/__init__.py"
    assert all(cls.__name__ in reactive.__all__ for cls in nodes.NODES), "reactive/__init__.py"


@pytest.mark.parametrize(
    ("target", "emitters", "elsewhere"),
    [
        # The writers themselves write constants, and fields of SQL.
        ("python", python_nodes.EMITTERS, {Const}),
        ("sql", sql_nodes.EMITTERS, {Const, Field}),
        ("pure", pure_writer.EMITTERS, set()),
    ],
)
def test_no_target_lacks_a_node(target: str, emitters: Any, elsewhere: set[type[Expr]]) -> None:
    lacking = {cls.__name__ for cls in set(nodes.NODES) - set(emitters) - elsewhere}
    assert not lacking, f"{target} has no function that writes {lacking}"
    assert not set(emitters) - set(nodes.NODES), f"{target} writes what is no node"


@pytest.mark.parametrize("cls", sorted(set(nodes.NODES) - {Const}, key=lambda c: c.__name__))
def test_json_keys_are_those_of_the_format(cls: type[Expr]) -> None:
    """The keys follow from the class; a part that is renamed would change the stored format."""
    keys = {
        "Between": "operand low high",
        "BinOp": "op left right",
        "Case": "branches default?",
        "Cast": "operand to",
        "Coalesce": "args",
        "DatePart": "part operand",
        "Field": "name field_type?",
        "Func": "name args",
        "If": "condition then otherwise",
        "In": "operand values",
        "IsNull": "operand",
        "NullIf": "operand value",
        "StrOp": "op operand arg?",
        "Substring": "operand start count?",
        "UnaryOp": "op operand",
    }
    written = [f"{a.key}{'?' if a.optional else ''}" for a in arguments_of(cls)]
    assert " ".join(written) == keys[cls.__name__]


def test_a_part_without_a_form_in_json_is_named() -> None:
    class Odd(IsNull):
        parts = ("operand", "extra")
        extra: complex

        def __init__(self, operand: Any, extra: complex) -> None:
            super().__init__(operand)

    with pytest.raises(TypeError, match=r"Odd\.extra is a complex, which has no form in JSON"):
        arguments_of(Odd)


def test_the_targets_are_reached_by_their_faces() -> None:
    example = Field("x") + 1
    assert sql.to_sql(example, "data", None, False, None) == example.to_sql()
    assert pure.to_pure(example) == example.to_pure()
    assert python.compile_python(example)({"x": 1}) == 2.0
