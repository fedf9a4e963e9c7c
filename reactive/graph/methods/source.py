"""The source of a method, and what it reads of its object."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

from reactive.errors import NotAnExpressionError


def names_read(function: Callable[..., Any]) -> set[str] | None:
    """Return the attributes of `self` that a method reads, None where it uses `self` otherwise."""
    try:
        definition = definition_of(function)
    except NotAnExpressionError:
        return None
    self_name = definition.args.args[0].arg
    attributes = {
        id(node.value): node.attr
        for node in ast.walk(definition)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }
    uses = [n for n in ast.walk(definition) if isinstance(n, ast.Name) and n.id == self_name]
    if all(id(use) in attributes for use in uses):
        return {attributes[id(use)] for use in uses}
    return None


def definition_of(function: Callable[..., Any]) -> ast.FunctionDef:
    """Return the definition of a method of self alone, or raise NotAnExpressionError."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError) as error:
        raise NotAnExpressionError(f"{title_of(function)}: its source is not available") from error
    definition = tree.body[0]
    if not isinstance(definition, ast.FunctionDef) or len(definition.args.args) != 1:
        raise NotAnExpressionError(f"{title_of(function)}: it is not a function of self alone")
    return definition


def title_of(function: Callable[..., Any]) -> str:
    """Return how messages name a method."""
    return getattr(function, "__qualname__", repr(function))
