"""The code that carries a change through a node, generated once for all nodes of a shape.

For a position with `mv = price * quantity`, `update(node, "price", value)` runs

    def one(node, value, origin):
        o = node.object
        try:
            if value == o.price: return
        except Exception: pass
        o.price = value
        v = node.values
        try: new = f0(o.price, o.quantity)                 # mv
        except Exception as error: new = Failure(error)
        old = v[0]
        if new != old:
            v[0] = new; v[1] = origin
            for link in node.links[0]: link.changed(node, old, new)

`many` does the same for many nodes and `again` recomputes nodes whose fields were written before.
Both collect what changed by the links that want to hear of it, and leave it to the caller to pass
it on: `changes` maps the links of a value to the nodes whose value changed, the old values and the
new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from reactive.computation import Computation, Failure

if TYPE_CHECKING:
    from reactive.shape import Shape

Ref = str | int
"""What an input is read from: a field, by name, or a computed value, by its place in the shape."""
Changes = dict[Any, tuple[list[Any], list[Any], list[Any]]]


def same(left: Any, right: Any) -> bool:
    """Tell whether values are equal, or NaN both; what cannot be compared is not."""
    try:
        return bool(left is right or left == right or (left != left and right != right))
    except Exception:  # noqa: BLE001 - arrays, for one, have no truth value
        return False


def one(shape: Shape, field: str) -> Callable[[Any, Any, Any], None]:
    """Return `one(node, value, origin)`: write a field and carry the change on."""
    text = _Text(shape)
    text.add(0, "def update(node, value, origin):")
    text.write_field(1, field, "return")
    text.compute(1, shape.affected_by({field}), _tell_links)
    return text.compiled()


def many(shape: Shape, field: str) -> Callable[[Iterable[Any], Iterable[Any], Any, Changes], None]:
    """Return `many(nodes, values, origin, changes)`: write a field of many nodes."""
    text = _Text(shape)
    text.add(0, "def update(nodes, values, origin, changes):")
    affected = text.start_collecting({field})
    text.add(1, "for node, value in zip(nodes, values):")
    text.write_field(2, field, "continue")
    text.compute(2, affected, _collect)
    return text.compiled()


def again(shape: Shape, changed: Iterable[Ref]) -> Callable[[Iterable[Any], Any, Changes], None]:
    """Return `again(nodes, origin, changes)`: recompute what depends on some refs."""
    text = _Text(shape)
    text.add(0, "def update(nodes, origin, changes):")
    affected = text.start_collecting(changed)
    text.add(1, "for node in nodes:")
    text.add(2, "o = node.object")
    text.compute(2, affected, _collect)
    return text.compiled()


def bucket(changes: Changes, links: Any) -> tuple[list[Any], list[Any], list[Any]]:
    """Return the lists of nodes, old and new values that belong to some links."""
    lists = changes.get(links)
    if lists is None:
        lists = changes[links] = ([], [], [])
    return lists


class _Text:
    """The lines of one generated function, and the objects that it calls."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._lines: list[str] = []
        self._namespace: dict[str, Any] = {
            "Failure": Failure,
            "same": same,
            "bucket": bucket,
            "write": shape.tracked.write,
        }

    def add(self, level: int, *lines: str) -> None:
        self._lines += ["    " * level + line for line in lines]

    def write_field(self, level: int, field: str, leave: str) -> None:
        """Write the field of `o`, unless it is equal; what cannot be compared counts as changed."""
        self.add(
            level,
            "o = node.object",
            "try:",
            f"    if value == o.{field}: {leave}",
            "except Exception: pass",
            f"o.{field} = value" if self._shape.tracked.plain else f"write(o, {field!r}, value)",
        )

    def start_collecting(self, changed: Iterable[Ref]) -> list[int]:
        """Return the places to recompute, after setting up the lists of what changed in each."""
        affected = self._shape.affected_by(changed)
        for place in affected:
            self.add(1, f"reach{place} = None")
        return affected

    def compute(
        self, level: int, affected: Iterable[int], report: Callable[[_Text, int, int], None]
    ) -> None:
        self.add(level, "v = node.values")
        for place in affected:
            computation = self._shape.computations[place]
            self.add(level, f"# {computation.name!r}")
            self._evaluate(level, place, computation)
            unequal = "new != old" if computation.gives_scalar else "not same(new, old)"
            self.add(level, f"old = v[{2 * place}]", f"if {unequal}:")
            self.add(level + 1, f"v[{2 * place}] = new; v[{2 * place + 1}] = origin")
            report(self, level + 1, place)

    def _evaluate(self, level: int, place: int, computation: Computation) -> None:
        inputs = []
        branch = "if"
        for ref in self._shape.refs(computation):
            inputs.append(f"o.{ref}" if isinstance(ref, str) else f"v[{2 * ref}]")
            if isinstance(ref, int):
                self.add(level, f"{branch} {inputs[-1]}.__class__ is Failure: new = {inputs[-1]}")
                branch = "elif"
        if branch == "elif":
            self.add(level, "else:")
            level += 1
        self._namespace[f"f{place}"] = computation.function
        self.add(level, f"try: new = {computation.call(f'f{place}', inputs)}")
        self.add(level, "except Exception as error: new = Failure(error)")

    def compiled(self) -> Callable[..., Any]:
        source = "\n".join(self._lines)
        exec(compile(source, f"<{self._shape!r}>", "exec"), self._namespace)
        function: Callable[..., Any] = self._namespace["update"]
        function.__doc__ = source
        return function


def _tell_links(text: _Text, level: int, place: int) -> None:
    text.add(level, f"for link in node.links[{place}]: link.changed(node, old, new)")


def _collect(text: _Text, level: int, place: int) -> None:
    text.add(
        level,
        f"reach = node.links[{place}]",
        "if reach:",
        f"    if reach is not reach{place}:",
        f"        reach{place} = reach",
        f"        nodes{place}, olds{place}, news{place} = bucket(changes, reach)",
        f"    nodes{place}.append(node); olds{place}.append(old); news{place}.append(new)",
    )
