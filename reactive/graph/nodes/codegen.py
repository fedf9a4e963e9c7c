"""Generated code that carries a change through nodes, compiled once for all nodes of a shape.

For a position with `mv = price * quantity`, `update(node, "price", value)` runs

    def update(node, value, origin):
        o = node.object
        try:
            if value == o.price: return
        except Exception: pass
        o.price = value
        v = node.values
        try: new = f0(value, o.quantity)
        except Exception as error: new = Failure(error)
        old = v[0]
        if new != old:
            v[0] = new; v[1] = origin
            for observer in node.observers[0]: observer.changed(node, old, new)

where a small formula stands in the place of the call of f0. For many nodes the same lines stand in
a loop, whose last line gathers what changed for the caller:

            nodes0.append(node); olds0.append(old); news0.append(new)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeAlias

from reactive.graph.equality import same
from reactive.graph.failure import Failure
from reactive.graph.nodes.computation import Computation
from reactive.graph.nodes.tracked_class import TrackedClass

INLINED_MAX = 16
"""Formulas of a function that may stand in the place of their call; compiling more takes long."""
Ref: TypeAlias = str | int
"""What an input is read from: a field, by name, or a computed value, by its place in the shape."""
Changed: TypeAlias = tuple[int, list[Any], list[Any], list[Any]]
"""A place, the nodes whose value at it has changed, their old values, and their new ones."""


class Layout(Protocol):
    """What the code is generated from: the computations of a shape, and what reads what."""

    @property
    def tracked(self) -> TrackedClass:
        """The class of the objects."""

    @property
    def computations(self) -> Sequence[Computation]:
        """The computations in the order in which they run."""

    def refs(self, computation: Computation) -> list[Ref]:
        """Return what the inputs of a computation are read from."""

    def affected_by(self, changed: Iterable[Ref]) -> list[int]:
        """Return the places to recompute, in order, when these have changed."""


def update_function(shape: Layout, field: str) -> Callable[[Any, Any, Any], None]:
    """Return `update(node, value, origin)`: write a field and recompute what depends on it."""
    code = _Code(shape, (field,), field)
    tell = "for observer in node.observers[{place}]: observer.changed(node, old, new)"
    return code.function("node, value, origin", [*code.write(field, "return"), *code.compute(tell)])


def many_function(shape: Layout, field: str) -> Callable[[Any, Any, Any], list[Changed]]:
    """Return `update(nodes, values, origin)`: write a field of nodes and collect what changes."""
    code = _Code(shape, (field,), field)
    loop = code.loop("node, value in zip(nodes, values)", code.write(field, "continue"))
    return code.function("nodes, values, origin", loop)


def recompute_function(
    shape: Layout, changed: Iterable[Ref]
) -> Callable[[Any, Any], list[Changed]]:
    """Return `update(nodes, origin)`: recompute what depends on refs and collect what changes."""
    code = _Code(shape, changed)
    return code.function("nodes, origin", code.loop("node in nodes", ["o = node.object"]))


class _Code:
    """Writes the lines of one function for what depends on some refs.

    Where a function writes a field, the field need not be read again.
    """

    def __init__(self, shape: Layout, changed: Iterable[Ref], written: str = "") -> None:
        self._shape = shape
        self._written = written if shape.tracked.accepts_all_values else ""
        self._places = shape.affected_by(changed)
        self._namespace: dict[str, Any] = {}

    def function(self, parameters: str, lines: list[str]) -> Callable[..., Any]:
        """Return the function of these lines; its source is its docstring."""
        source = "\n".join([f"def update({parameters}):", *_indented(lines)])
        namespace = self._namespace
        namespace |= {"Failure": Failure, "same": same, "write": self._shape.tracked.write}
        exec(compile(source, f"<{self._shape!r}>", "exec"), namespace)
        function: Callable[..., Any] = namespace["update"]
        function.__doc__ = source
        return function

    def loop(self, header: str, begin: list[str]) -> list[str]:
        """Return lines that compute in a loop, and return what has changed at each place."""
        lists = [f"nodes{at}, olds{at}, news{at}" for at in self._places]
        gather = "; ".join(
            f"{name}{{place}}.append({item})"
            for name, item in (("nodes", "node"), ("olds", "old"), ("news", "new"))
        )
        changed = [f"({at}, {names})" for at, names in zip(self._places, lists, strict=True)]
        return [
            *(f"{names} = [], [], []" for names in lists),
            f"for {header}:",
            *_indented([*begin, *self.compute(gather)]),
            f"return [{', '.join(changed)}]",
        ]

    def write(self, field: str, leave: str) -> list[str]:
        """Return lines that write a field, or leave if the value is equal."""
        plain = self._shape.tracked.plain
        return [
            "o = node.object",
            "try:",
            f"    if value == o.{field}: {leave}",
            # What cannot be compared counts as changed.
            "except Exception: pass",
            f"o.{field} = value" if plain else f"write(o, {field!r}, value)",
        ]

    def compute(self, report: str) -> list[str]:
        """Return lines that compute each value anew, and report it if it is another one."""
        lines = ["v = node.values"]
        for place in self._places:
            scalar = self._shape.computations[place].gives_scalar
            lines += [
                *self._evaluate(place),
                f"old = v[{2 * place}]",
                "if new != old:" if scalar else "if not same(new, old):",
                f"    v[{2 * place}] = new; v[{2 * place + 1}] = origin",
                f"    {report.format(place=place)}",
            ]
        return lines

    def _source(self, ref: Ref) -> str:
        if ref == self._written:
            return "value"
        return f"o.{ref}" if isinstance(ref, str) else f"v[{2 * ref}]"

    def _evaluate(self, place: int) -> list[str]:
        """Return lines that compute `new`; an input that failed is passed on as it is."""
        computation = self._shape.computations[place]
        refs = self._shape.refs(computation)
        inputs = [self._source(ref) for ref in refs]
        self._namespace[f"f{place}"] = computation.function
        call = f"try: new = {computation.call(f'f{place}', inputs)}"
        lines = [call, "except Exception as error: new = Failure(error)"]
        few = len(self._places) <= INLINED_MAX
        inlined = computation.inline(f"f{place}_") if few else None
        if inlined is not None:
            self._namespace |= inlined.namespace
            read = [f"v{at} = {source}" for at, source in enumerate(inputs)]
            lines = [
                "try:",
                *_indented([*read, *inlined.lines, f"new = {inlined.result}"]),
                # Whatever went wrong, the function finds better words for it.
                "except Exception:",
                f"    {call}",
                "    except Exception as error:",
                "        error.__context__ = None; new = Failure(error)",
            ]
        failed = [
            f"if {source}.__class__ is Failure: new = {source}"
            for source, ref in zip(inputs, refs, strict=True)
            if isinstance(ref, int)
        ]
        return [*"\nel".join(failed).split("\n"), "else:", *_indented(lines)] if failed else lines


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]
