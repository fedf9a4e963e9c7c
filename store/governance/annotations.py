"""The fields of a class and their annotated types, read while the class is being defined.

`dataclass` runs after `__init_subclass__`, so the fields are worked out here by the same rules:
those of the dataclass bases, then the class's own annotations without ClassVar and InitVar.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import MISSING, InitVar, dataclass
from types import FrameType, GenericAlias, UnionType
from typing import Any, ClassVar, ForwardRef, TypeVar, Union, get_args, get_origin

from store.governance.column_types import ColumnType, DictOf, ListOf, Nullable, Record, parse_type

_CLASS_VAR = re.compile(r"(?:\w+\.)*ClassVar\b")
# The attribute that keeps a class's resolved annotations: its own, not those of its bases.
_KEPT = "_store_annotations"


@dataclass(frozen=True)
class Unresolved:
    """An annotation whose text names something that is not there (yet)."""

    text: str
    reason: str


@dataclass(frozen=True)
class AnnotatedField:
    """A field as its class declares it; `default` and `factory` are `MISSING` where not given."""

    name: str
    annotation: Any
    default: Any
    factory: Callable[[], Any] | Any

    @property
    def has_default(self) -> bool:
        """Whether the class gives a default or a factory of one."""
        return self.default is not MISSING or self.factory is not MISSING


def annotated_fields(cls: type) -> list[AnnotatedField]:
    """The fields that `cls` has, or will have once `dataclass` has run on it."""
    arguments = _type_arguments(cls)
    found: dict[str, AnnotatedField] = {}
    for base in reversed(cls.__mro__):
        if base is not cls and "__dataclass_fields__" not in vars(base):
            continue
        for name, annotation in own_annotations(base).items():
            if not _is_pseudo(annotation):
                filled = _substitute(annotation, arguments.get(base, {}))
                found[name] = AnnotatedField(name, filled, *_defaults(base, name))
    return list(found.values())


def own_field_names(cls: type) -> list[str]:
    """The fields that the body of `cls` itself declares."""
    return [name for name, each in own_annotations(cls).items() if not _is_pseudo(each)]


def init_vars_without_default(cls: type) -> list[str]:
    """Arguments of `__init__` that no field keeps: nothing could make the object again."""
    return [
        name
        for base in cls.__mro__
        for name, annotation in own_annotations(base).items()
        if annotation is InitVar or isinstance(annotation, InitVar)
        if _defaults(base, name) == (MISSING, MISSING)
    ]


def record_types(cls: type) -> dict[str, ColumnType]:
    """The types of the fields of a plain dataclass; TypeError names the field that has none."""
    types = {}
    for field in annotated_fields(cls):
        if isinstance(field.annotation, Unresolved):
            raise TypeError(f"{cls.__name__}.{field.name}: {field.annotation.reason}")
        try:
            types[field.name] = parse_type(field.annotation, pending=cls)
        except TypeError as error:
            raise TypeError(f"{cls.__name__}.{field.name}: {error}") from None
    return types


def check_records(kind: ColumnType, seen: frozenset[type] = frozenset()) -> None:
    """Check that the plain dataclasses inside a type can be written and read; TypeError if not.

    Governed classes were checked when they were defined.
    """
    match kind:
        case ListOf(item=inner) | DictOf(value=inner) | Nullable(inner=inner):
            check_records(inner, seen)
        case Record(python=record) if record not in seen and not hasattr(record, "_registry"):
            for part in record_types(record).values():
                check_records(part, seen | {record})


def own_annotations(cls: type) -> dict[str, Any]:
    """The annotations in the body of `cls`, with those that are text resolved.

    They are kept on the class: later, the names of an enclosing function are gone.
    """
    raw = vars(cls).get("__annotations__", {})
    if not any(_has_text(annotation) for annotation in raw.values()):
        return dict(raw)
    # `slots=True` makes a second class with a copy of the first one's attributes.
    owner, kept = vars(cls).get(_KEPT, (0, {}))
    if owner == id(cls):
        return dict(kept)
    scope = _scope(cls)
    resolved = {name: _resolve(annotation, scope) for name, annotation in raw.items()}
    if not any(isinstance(annotation, Unresolved) for annotation in resolved.values()):
        setattr(cls, _KEPT, (id(cls), resolved))
    return resolved


def defining_frames(cls: type) -> Iterator[FrameType]:
    """The frame that runs the class statement, then those of the functions around it."""
    module = getattr(sys.modules.get(cls.__module__), "__dict__", None)
    around = cls.__qualname__.split(".")
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals is not module:
        frame = frame.f_back
    if frame is not None:
        yield frame
        frame = frame.f_back
    while frame is not None:
        if frame.f_globals is module and frame.f_code.co_name in around:
            yield frame
        frame = frame.f_back


def _defaults(cls: type, name: str) -> tuple[Any, Any]:
    body = vars(cls)
    # After `dataclass` the Field knows; before it, the class body holds the default itself.
    declared = body.get("__dataclass_fields__", {}).get(name, body.get(name, MISSING))
    if isinstance(declared, dataclasses.Field):
        return declared.default, declared.default_factory
    return declared, MISSING


def _is_pseudo(annotation: Any) -> bool:
    return (
        annotation in (ClassVar, InitVar, dataclasses.KW_ONLY)
        or isinstance(annotation, InitVar)
        or get_origin(annotation) is ClassVar
    )


def _scope(cls: type) -> dict[str, Any]:
    # The class body comes last, unlike in Python: in `date: date = None` the type is meant.
    scope: dict[str, Any] = dict(vars(cls))
    scope.update(vars(sys.modules[cls.__module__]) if cls.__module__ in sys.modules else {})
    for frame in reversed(list(defining_frames(cls))):
        scope.update(frame.f_locals)
    scope[cls.__name__] = cls
    return scope


def _has_text(annotation: Any) -> bool:
    return isinstance(annotation, (str, ForwardRef)) or any(map(_has_text, get_args(annotation)))


def _resolve(annotation: Any, scope: dict[str, Any]) -> Any:
    text = annotation.__forward_arg__ if isinstance(annotation, ForwardRef) else annotation
    if isinstance(text, str):
        if _CLASS_VAR.match(text):
            return ClassVar
        try:
            annotation = eval(text, {}, scope)
        except Exception as error:  # noqa: BLE001 - an annotation is any expression
            reason = (
                f"the annotation {text!r} cannot be resolved ({error}); define or import what it "
                "names above the class, where it exists at run time"
            )
            return Unresolved(text, reason)
    return _rebuild(annotation, lambda part: _resolve(part, scope))


def _substitute(annotation: Any, filled: dict[Any, Any]) -> Any:
    if isinstance(annotation, TypeVar):
        return filled.get(annotation, annotation)
    return _rebuild(annotation, lambda part: _substitute(part, filled)) if filled else annotation


def _rebuild(annotation: Any, change: Callable[[Any], Any]) -> Any:
    """The same generic type with its arguments changed; `Unresolved` if one of them is."""
    arguments, origin = get_args(annotation), get_origin(annotation)
    if not arguments or origin not in (list, dict, Union, UnionType):
        return annotation
    changed = tuple(change(argument) for argument in arguments)
    for argument in changed:
        if isinstance(argument, Unresolved):
            return argument
    if origin in (Union, UnionType):
        return Union[changed]  # noqa: UP007 - made at run time
    return GenericAlias(origin, changed)


def _type_arguments(cls: type) -> dict[type, dict[Any, Any]]:
    """What each generic base's type variables stand for in `cls`."""
    found: dict[type, dict[Any, Any]] = {}

    def visit(current: type, filled: dict[Any, Any]) -> None:
        for base in vars(current).get("__orig_bases__", current.__bases__):
            origin = get_origin(base) or base
            parameters = getattr(origin, "__parameters__", ())
            arguments = [_substitute(argument, filled) for argument in get_args(base)]
            if isinstance(origin, type):
                inside = dict(zip(parameters, arguments, strict=False))
                found.setdefault(origin, inside)
                visit(origin, inside)

    visit(cls, {})
    return found
