"""How each node is written as Pure where its operands are present."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from reactive.errors import ExpressionValueError
from reactive.expr.nodes import (
    EQUALITY,
    LOGIC,
    Between,
    BinOp,
    Case,
    Cast,
    Coalesce,
    Const,
    DatePart,
    Field,
    Func,
    If,
    In,
    IsNull,
    NullIf,
    StrOp,
    Substring,
    UnaryOp,
)
from reactive.expr.operators import Expr
from reactive.expr.pure.text import Pure, bounded, literal, negated, property_name
from reactive.expr.types import Type


def compare(op: str, left: Expr, right: Expr, reads: Type) -> Expr:
    """Return a comparison that reads its sides as a type that others had a say in."""
    comparison = BinOp(op, left, right)
    comparison.__dict__["reads"] = reads
    return comparison


class PureWriter:
    """Writes values, taking it that fields are present."""

    def __init__(self, var: str) -> None:
        self._var = var

    def property(self, name: str) -> str:
        """Return a field as a property of the variable."""
        return f"{self._var}.{property_name(name)}"

    def value(self, node: Expr) -> Pure:
        """Return the node's value."""
        if _is_strict(node) and any(_is_null_constant(child) for _, child in node.children()):
            return Pure("[]")
        piece = EMITTERS[type(node)](self, node)
        bounded(piece.text)
        return piece

    def operand(self, node: Expr) -> str:
        """Return the value as text next to an operator."""
        return self.value(node).operand

    def text(self, node: Expr) -> str:
        """Return the value as text where a comma or bracket ends it."""
        return self.value(node).text

    def field(self, node: Field) -> Pure:
        """Return a field's value."""
        return Pure(self.property(node.name))

    def condition(self, node: Expr) -> str:
        """Return a condition as text, for `if`, which takes no null."""
        text = self.text(node)
        return "false" if text == "[]" else text

    def branch(self, node: Expr) -> str:
        """Return what a choice gives."""
        return self.text(node)

    def exact(self, node: Expr, reads: Type) -> str:
        """Return a value for ==, which asks for equal types: 1 == 1.0 is false."""
        if reads is Type.FLOAT:
            if isinstance(node, Const) and node.value is not None:
                return literal(float(node.value)).operand
            return f"toFloat({self.text(node)})"
        if reads is Type.DECIMAL:
            if isinstance(node, Const) and node.value is not None:
                return literal(Decimal(node.value)).operand
            return f"toDecimal({self.text(node)})"
        return self.operand(node)


def _is_null_constant(node: Expr) -> bool:
    return isinstance(node, Const) and node.value is None


def _is_strict(node: Expr) -> bool:
    """Whether a node is null where an operand is."""
    if isinstance(node, BinOp):
        return node.op not in LOGIC
    return isinstance(node, (UnaryOp, Func, StrOp, Substring, DatePart, Cast))


def _const(_writer: PureWriter, node: Const) -> Pure:
    return literal(node.value)


def _field(writer: PureWriter, node: Field) -> Pure:
    return writer.field(node)


def _bin_op(writer: PureWriter, node: BinOp) -> Pure:
    if node.op in EQUALITY:
        left, right = (writer.exact(side, node.reads) for side in (node.left, node.right))
        return Pure(f"({left} {node.op} {right})", wrapped=True)
    if node.op in ("%", "**"):
        name = "mod" if node.op == "%" else "pow"
        return Pure(f"{name}({writer.text(node.left)}, {writer.text(node.right)})")
    op = {"&": "&&", "|": "||"}.get(node.op, node.op)
    return Pure(f"({writer.operand(node.left)} {op} {writer.operand(node.right)})", wrapped=True)


def _unary_op(writer: PureWriter, node: UnaryOp) -> Pure:
    if node.op == "abs":
        return Pure(f"abs({writer.text(node.operand)})")
    if node.op == "~":
        return negated(writer.value(node.operand))
    return Pure(f"(-{writer.operand(node.operand)})")


_FUNCTIONS = {"ceil": "ceiling"}


def _func(writer: PureWriter, node: Func) -> Pure:
    values = [writer.text(arg) for arg in node.args]
    name = _FUNCTIONS.get(node.name, node.name)
    if name in ("min", "max"):
        text = values[0]
        for value in values[1:]:
            # Pure has no min and max of text.
            sign = "<=" if name == "min" else ">="
            text = (
                f"if(({text} {sign} {value}), |{text}, |{value})"
                if node.reads is Type.STR
                else f"{name}({text}, {value})"
            )
            bounded(text)
        return Pure(text)
    if name == "days_between":
        return Pure(f"dateDiff({values[0]}, {values[1]}, DurationUnit.DAYS)")
    if name == "round" and node.reads is Type.INT and node.digits >= 0:
        return writer.value(node.args[0])
    if name == "round" and node.digits:
        scale = 10 ** abs(node.digits)
        first, second = ("*", "/") if node.digits > 0 else ("/", "*")
        return Pure(f"(round(({writer.operand(node.args[0])} {first} {scale})) {second} {scale})")
    return Pure(f"{name}({values[0]})")


def _if(writer: PureWriter, node: If) -> Pure:
    return Pure(
        f"if({writer.condition(node.condition)}, "
        f"|{writer.branch(node.then)}, |{writer.branch(node.otherwise)})"
    )


def _case(writer: PureWriter, node: Case) -> Pure:
    text = writer.branch(node.default)
    for condition, value in reversed(node.branches):
        text = bounded(f"if({writer.condition(condition)}, |{writer.branch(value)}, |{text})")
    return Pure(text)


_COALESCE_MOST = 4


def _coalesce(writer: PureWriter, node: Coalesce) -> Pure:
    values = [writer.branch(arg) for arg in node.args]
    while len(values) > 1:
        last = values[-_COALESCE_MOST:]
        values[-_COALESCE_MOST:] = [f"coalesce({', '.join(last)})"]
    return Pure(values[0], closed=len(node.args) > 1)


def _is_null(writer: PureWriter, node: IsNull) -> Pure:
    return Pure(f"isEmpty({writer.branch(node.operand)})")


def _null_if(writer: PureWriter, node: NullIf) -> Pure:
    equal = BinOp("==", node.operand, node.value)
    return Pure(f"if({writer.condition(equal)}, |[], |{writer.branch(node.operand)})")


def _in(writer: PureWriter, node: In) -> Pure:
    if not node.values:
        return Pure("false")
    values = [value for value in node.values if not _is_null_constant(value)]
    if not values:
        return Pure("[]")
    listed = ", ".join(writer.exact(value, node.reads) for value in values)
    text = f"in({writer.exact(node.operand, node.reads)}, [{listed}])"
    # Not among the values, but perhaps what a null stands for.
    return Pure(text if len(values) == len(node.values) else f"if({text}, |true, |[])")


def in_range(node: Between) -> Expr:
    """Return what `between` stands for."""
    above = compare(">=", node.operand, node.low, node.reads)
    return above & compare("<=", node.operand, node.high, node.reads)


def _between(writer: PureWriter, node: Between) -> Pure:
    return writer.value(in_range(node))


_TEXT = {
    "length": "length({0})",
    "upper": "toUpper({0})",
    "lower": "toLower({0})",
    "trim": "trim({0})",
    "contains": "contains({0}, {1})",
    "starts_with": "startsWith({0}, {1})",
    "ends_with": "endsWith({0}, {1})",
    "concat": "({0} + {1})",
}


def _str_op(writer: PureWriter, node: StrOp) -> Pure:
    values = [writer.text(node.operand)]
    if node.arg is not None:
        values.append(writer.text(node.arg))
    return Pure(_TEXT[node.op].format(*values))


def _substring(writer: PureWriter, node: Substring) -> Pure:
    text = writer.text(node.operand)
    length = f"length({text})"
    start = f"min({node.start}, {length})" if node.start else "0"
    # Positions beyond the end are an error in Pure.
    end = length if node.count is None else f"min({node.start + node.count}, {length})"
    return Pure(f"substring({text}, {start}, {end})")


_DATE_PARTS = {
    "year": "year",
    "quarter": "quarterNumber",
    "month": "monthNumber",
    "day": "dayOfMonth",
    "weekday": "dayOfWeekNumber",
    "hour": "hour",
    "minute": "minute",
    "second": "second",
}


def _date_part(writer: PureWriter, node: DatePart) -> Pure:
    return Pure(f"{_DATE_PARTS[node.part]}({writer.text(node.operand)})")


_TRUNCATE = "if(({0} < 0), |ceiling({0}), |floor({0}))"
_CASTS: dict[tuple[Type, Type], str] = {
    (Type.INT, Type.FLOAT): "toFloat({0})",
    (Type.DECIMAL, Type.FLOAT): "toFloat({0})",
    (Type.FLOAT, Type.INT): _TRUNCATE,
    (Type.DECIMAL, Type.INT): _TRUNCATE,
    (Type.INT, Type.DECIMAL): "toDecimal({0})",
    (Type.FLOAT, Type.DECIMAL): "toDecimal({0})",
    (Type.INT, Type.STR): "toString({0})",
    (Type.BOOL, Type.STR): "toString({0})",
    (Type.DATE, Type.STR): "toString({0})",
    (Type.DATETIME, Type.DATE): "datePart({0})",
    (Type.STR, Type.FLOAT): "parseFloat({0})",
    (Type.STR, Type.INT): _TRUNCATE.format("parseDecimal({0})"),
    (Type.STR, Type.DECIMAL): "parseDecimal({0})",
    (Type.STR, Type.BOOL): "({0} == 'true')",
    (Type.STR, Type.DATE): "parseDate({0})",
}


def _cast(writer: PureWriter, node: Cast) -> Pure:
    if node.reads is node.type:
        return writer.value(node.operand)
    template = _CASTS.get((node.reads, node.type))
    if template is None:
        raise ExpressionValueError(
            f"{node!r}: Pure writes {node.type.words} made of {node.reads.words} in another way; "
            "round or cast to int first, or leave the conversion to the other side"
        )
    return Pure(template.format(writer.text(node.operand)))


EMITTERS: dict[type[Expr], Callable[[PureWriter, Any], Pure]] = {
    Const: _const,
    Field: _field,
    BinOp: _bin_op,
    UnaryOp: _unary_op,
    Func: _func,
    If: _if,
    Case: _case,
    Coalesce: _coalesce,
    IsNull: _is_null,
    NullIf: _null_if,
    In: _in,
    Between: _between,
    Cast: _cast,
    StrOp: _str_op,
    Substring: _substring,
    DatePart: _date_part,
}
