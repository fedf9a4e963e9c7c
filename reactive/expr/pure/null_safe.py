"""Pure that means what `eval` means on every row.

A node is asked for one of three texts. Its `value` takes it that no guard holds; `optional` is
the value or `[]`; `holds` says of a condition that it is true (or false), and is never empty, so
that three-valued logic becomes two-valued logic without a test twice.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

from reactive.errors import ExpressionValueError
from reactive.expr.nodes import (
    LOGIC,
    Between,
    BinOp,
    Case,
    Cast,
    Coalesce,
    Const,
    Field,
    Func,
    If,
    In,
    IsNull,
    NullIf,
    UnaryOp,
)
from reactive.expr.operators import Expr
from reactive.expr.pure.text import Pure, bounded, negated, quoted
from reactive.expr.pure.writer import PureWriter, compare, in_range
from reactive.expr.python.runtime import NUMBER_PATTERN
from reactive.expr.types import Type


class Guards(NamedTuple):
    """When a value is null: `missing` in any order, then `undefined` one after the other."""

    missing: tuple[str, ...] = ()
    undefined: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.missing or self.undefined)

    @property
    def always(self) -> bool:
        """Whether a constant null makes all of it null."""
        return "true" in self.missing

    def around(self, text: str, otherwise: str) -> str:
        """Return the text behind the guards."""
        for test in reversed(self.undefined):
            text = bounded(f"if({test}, |{otherwise}, |{text})")
        if self.missing:
            tests = " || ".join(self.missing)
            text = f"if({tests if len(self.missing) == 1 else f'({tests})'}, |{otherwise}, |{text})"
        return bounded(text)


class NullSafeWriter(PureWriter):
    """Writes values behind the guards that they need."""

    def __init__(self, var: str) -> None:
        super().__init__(var)
        # The node is kept too, so that its id is not used again.
        self._known: dict[int, tuple[Expr, Guards]] = {}

    def optional(self, node: Expr) -> Pure:
        """Return the value, or `[]` where it is null."""
        if isinstance(node, Field):
            return Pure(self.property(node.name))
        if isinstance(node, (If, Case, Coalesce, NullIf, Const)):
            return super().value(node)
        if _is_logic(node) and self._optional(node):
            true, false = self.holds(node, True), self.holds(node, False)
            return Pure(bounded(f"if({true}, |true, |if({false}, |false, |[]))"))
        guards = self._guards(node)
        if guards.always:
            return Pure("[]")
        value = self.value(node)
        return Pure(guards.around(value.text, "[]")) if guards else value

    def value(self, node: Expr) -> Pure:
        """Return the node's value, taking it that no guard of its holds."""
        if isinstance(node, (If, Case, Coalesce, NullIf)) or (
            _is_logic(node) and self._optional(node)
        ):
            piece = self.optional(node)
            return Pure(f"toOne({piece.text})") if self._guards(node) else piece
        if isinstance(node, IsNull):
            return self._is_null(node)
        return super().value(node)

    def field(self, node: Field) -> Pure:
        """Return a field's one value."""
        return Pure(f"{self.property(node.name)}->toOne()")

    def condition(self, node: Expr) -> str:
        """Return the test of a choice, which null does not pass."""
        return self.holds(node, True)

    def branch(self, node: Expr) -> str:
        """Return what a choice gives, `[]` included."""
        return self.optional(node).text

    def holds(self, node: Expr, wanted: bool) -> str:
        """Return the test that a condition is true, or that it is false; null is neither."""
        if isinstance(node, UnaryOp) and node.op == "~":
            return self.holds(node.operand, not wanted)
        if isinstance(node, BinOp) and node.op in LOGIC:
            op = "&&" if (node.op == "&") is wanted else "||"
            left, right = self.holds(node.left, wanted), self.holds(node.right, wanted)
            return bounded(f"({left} {op} {right})")
        if isinstance(node, Between):
            return self.holds(in_range(node), wanted)
        if isinstance(node, In) and _is_logic(node):
            return self.holds(_equalities(node), wanted)
        if isinstance(node, Field):
            # == takes optional values, and null equals neither.
            return f"({self.property(node.name)} == {'true' if wanted else 'false'})"
        guards = self._guards(node)
        if guards.always:
            return "false"
        value = self.value(node)
        text = value.text if wanted else negated(value).operand
        return guards.around(text, "false") if guards else text

    def _is_null(self, node: IsNull) -> Pure:
        guards = self._guards(node.operand)
        if not guards:
            return Pure("false")
        if guards.undefined or len(guards.missing) > 1:
            return Pure(f"isEmpty({self.optional(node.operand).text})")
        return Pure(guards.missing[0])

    def _guards(self, node: Expr) -> Guards:
        """Return when the node is null, worked out once a node."""
        known = self._known.get(id(node))
        if known is None:
            known = self._known[id(node)] = (node, self._find_guards(node))
        return known[1]

    def _find_guards(self, node: Expr) -> Guards:
        if isinstance(node, Field):
            return Guards((f"{self.property(node.name)}->isEmpty()",))
        if isinstance(node, Const):
            return Guards(("true",)) if node.value is None else Guards()
        if isinstance(node, IsNull) or (isinstance(node, In) and not node.values):
            return Guards()
        if isinstance(node, (If, Case, Coalesce, NullIf)) or _is_logic(node):
            if not self._optional(node):
                return Guards()
            return Guards((f"isEmpty({self.optional(node).text})",))
        below = [self._guards(child) for _, child in node.children()]
        missing = dict.fromkeys(test for guards in below for test in guards.missing)
        undefined = dict.fromkeys(test for guards in below for test in guards.undefined)
        return Guards(tuple(missing), (*undefined, *self._undefined(node)))

    def _optional(self, node: Expr) -> bool:
        """Whether a choice, or three-valued logic, may be null."""
        if isinstance(node, NullIf):
            return True
        if isinstance(node, If):
            return bool(self._guards(node.then) or self._guards(node.otherwise))
        if isinstance(node, Case):
            values = [*(value for _, value in node.branches), node.default]
            return any(self._guards(value) for value in values)
        if isinstance(node, Coalesce):
            return all(self._guards(arg) for arg in node.args)
        return any(self._guards(child) for _, child in node.children())

    def _undefined(self, node: Expr) -> list[str]:
        """Return when the node has no value although its operands have one."""
        if isinstance(node, BinOp) and node.op in ("/", "%"):
            return [] if _is_nonzero(node.right) else [f"({self._float(node.right)} == 0.0)"]
        if isinstance(node, BinOp) and node.op == "**":
            return self._undefined_power(node.left, node.right)
        if isinstance(node, Func) and node.name == "sqrt":
            return [f"({self.operand(node.args[0])} < 0)"]
        if isinstance(node, Func) and node.name in ("log", "log10"):
            return [f"({self.operand(node.args[0])} <= 0)"]
        if isinstance(node, Cast) and node.reads is Type.STR:
            return self._undefined_cast(node)
        return []

    def _float(self, node: Expr) -> str:
        return f"toFloat({self.text(node)})"

    def _undefined_power(self, base: Expr, exponent: Expr) -> list[str]:
        if any(isinstance(side, Const) and side.value is None for side in (base, exponent)):
            return []
        x, y = self.operand(base), self.operand(exponent)
        zero = f"({self._float(base)} == 0.0)"
        fractional = f"({self._float(exponent)} != toFloat(floor({self.text(exponent)})))"
        if isinstance(base, Const) and base.value > 0:
            return []
        if not isinstance(exponent, Const):
            return [f"((({x} < 0) && {fractional}) || ({zero} && ({y} < 0)))"]
        tests = []
        if exponent.value != int(exponent.value):
            tests.append(f"({x} < 0)")
        if exponent.value < 0:
            tests.append(zero)
        return tests

    def _undefined_cast(self, node: Cast) -> list[str]:
        text = self.text(node.operand)
        if node.type in (Type.INT, Type.FLOAT, Type.DECIMAL):
            return [f"(!(matches({text}, {quoted(f'^{NUMBER_PATTERN}$')})))"]
        if node.type is Type.BOOL:
            return [f"(!(in({text}, ['true', 'false'])))"]
        if node.type is Type.DATE:
            raise ExpressionValueError(
                f"{node!r}: Pure cannot tell text that is a date from other text; "
                "keep dates as dates, or use the plain text where all are known to be good"
            )
        return []


def _is_nonzero(node: Expr) -> bool:
    return isinstance(node, Const) and bool(node.value)


def _is_logic(node: Expr) -> bool:
    """Whether a node may be true or false although a part of it is null."""
    if isinstance(node, In):
        return not all(isinstance(item, Const) and item.value is not None for item in node.values)
    return isinstance(node, Between) or (isinstance(node, BinOp) and node.op in LOGIC)


def _equalities(node: In) -> Expr:
    """Return what `in` stands for."""
    first, *others = (compare("==", node.operand, value, node.reads) for value in node.values)
    return functools.reduce(lambda either, other: either | other, others, first)
