"""Names that nobody knows are refused: query parameters, fields of bodies, fields of messages.

A name that is misspelled would otherwise be left out in silence: the answer would be of all
accounts, or the subscription to all symbols.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from inspect import isclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from fastapi import Request
from pydantic import BaseModel
from starlette.requests import HTTPConnection

from trading.api.problems import Problem

__all__ = [
    "body_fields",
    "meant",
    "refuse_unknown_parameters",
    "unknown_fields",
    "unknown_parameters",
]

_SHOWN_MAX = 5
_NAME_MAX = 60
_LISTS = (list, tuple, set, frozenset)
_WITH_BODIES = ("POST", "PUT", "PATCH", "DELETE")
_NOTHING = (b"", b"{}", b"null")


async def refuse_unknown_parameters(connection: HTTPConnection) -> None:
    """Problem where a query has a name that its route does not take, or where a body is too much.

    It is a dependency of the whole application; the route of a socket refuses by itself.
    """
    if not isinstance(connection, Request):
        return
    if connection.query_params:
        problem = unknown_parameters(connection)
        if problem is not None:
            raise problem
    takes_body = getattr(connection.scope.get("route"), "body_field", None) is not None
    if takes_body or connection.method not in _WITH_BODIES:
        return
    if (await connection.body()).strip() not in _NOTHING:
        raise Problem(422, "MALFORMED", f"{_asked(connection)} takes no body; leave it out")


# --- queries --------------------------------------------------------------------------------------


def unknown_parameters(connection: HTTPConnection) -> Problem | None:
    """Return what is wrong with the names of a query; None where nothing is."""
    known = dict(_parameters(getattr(connection.scope.get("route"), "dependant", None)))
    given = [name for name, _ in connection.query_params.multi_items()]
    faults = {}
    for name in dict.fromkeys(given):
        if name not in known:
            faults[name] = f"there is no such parameter{meant(name, known)}"
        elif given.count(name) > 1 and not known[name]:
            faults[name] = f"it is given {given.count(name)} times, once is allowed"
    if not faults:
        return None
    code = "MALFORMED" if faults.keys() <= known.keys() else "UNKNOWN_PARAMETER"
    takes = f"takes {', '.join(sorted(known))}" if known else "takes no parameters"
    return Problem(
        422,
        code,
        f"{_listed(faults)}; {_asked(connection)} {takes}",
        allowed=sorted(known),
        errors=[
            {"where": f"query.{name[:_NAME_MAX]}", "what": what}
            for name, what in list(faults.items())[:_SHOWN_MAX]
        ],
    )


def _asked(connection: HTTPConnection) -> str:
    path = str(getattr(connection.scope.get("route"), "path", connection.url.path))
    return f"{connection.scope.get('method', 'the socket')} {path}"


def _parameters(dependant: Any) -> Iterator[tuple[str, bool]]:
    """The query parameters of a route, and whether each may be given more than once."""
    if dependant is None:
        return
    for each in dependant.query_params:
        kind = each.field_info.annotation
        if isclass(kind) and issubclass(kind, BaseModel):
            # One model has all parameters of the route.
            for name, field in kind.model_fields.items():
                yield field.alias or name, _is_list(field.annotation)
        else:
            yield each.alias, _is_list(kind)
    for each in dependant.dependencies:
        yield from _parameters(each)


def _is_list(kind: Any) -> bool:
    if get_origin(kind) in (Union, UnionType):
        return any(_is_list(each) for each in get_args(kind))
    return get_origin(kind) in _LISTS or kind in _LISTS


# --- fields ---------------------------------------------------------------------------------------


def unknown_fields(given: Iterable[str], known: Collection[str], what: str) -> str:
    """Return what is wrong with the fields of an object, "" where nothing is."""
    faults = {
        name: f"there is no such field{meant(name, known)}" for name in given if name not in known
    }
    return f"{_listed(faults)}; {what} takes {', '.join(sorted(known))}" if faults else ""


def body_fields(route: Any, place: Sequence[Any]) -> list[str]:
    """Return the fields that a route's body takes at a place, such as `("orders", 0)`."""
    field = getattr(route, "body_field", None)
    kind = None if field is None else field.field_info.annotation
    for part in place:
        model = _model_of(kind)
        if isinstance(part, int) or model is None:
            continue
        known = model.model_fields.get(part)
        kind = None if known is None else known.annotation
    model = _model_of(kind)
    return [] if model is None else sorted(model.model_fields)


def _model_of(kind: Any) -> type[BaseModel] | None:
    """The model in an annotation, also one inside of a list or beside None."""
    if isclass(kind) and issubclass(kind, BaseModel):
        return kind
    parts = get_args(kind)[:1] if get_origin(kind) is Annotated else get_args(kind)
    return next((found for each in parts if (found := _model_of(each)) is not None), None)


def meant(name: str, known: Collection[str] | Mapping[str, Any]) -> str:
    """Return a question for the name that was probably meant, "" where none is near."""
    near = difflib.get_close_matches(name[:_NAME_MAX], list(known), 1)
    return f", is {near[0]!r} meant?" if near else ""


def _listed(faults: Mapping[str, str]) -> str:
    shown = [f"{name[:_NAME_MAX]!r}: {what}" for name, what in faults.items()]
    return "; ".join(shown[:_SHOWN_MAX])
