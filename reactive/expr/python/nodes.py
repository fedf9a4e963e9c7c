"""How each node is written as Python: a function writes its lines and returns its value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reactive.expr.nodes import (
    ARITHMETIC,
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
from reactive.expr.python.writer import PythonWriter, Value
from reactive.expr.types import UNDECIDED, Type, decided


def _field(writer: PythonWriter, node: Field, have: Type) -> Value:
    return writer.field(node.name, have)


def _bin_op(writer: PythonWriter, node: BinOp, _have: Type) -> Value:
    if node.op in LOGIC:
        return _logic(writer, node)
    left = writer.read(node.left, node.reads)
    right = writer.read(node.right, node.reads)
    if node.op in ARITHMETIC:
        return _ARITHMETIC[node.reads](writer, node.op, left, right)
    return writer.strict(f"({{}} {node.op} {{}})", writer.checked(left), writer.checked(right))


def _float_arithmetic(writer: PythonWriter, op: str, left: Value, right: Value) -> Value:
    if op in ("+", "-"):
        return writer.strict(f"({{}} {op} {{}})", left, right, unchecked=True)
    if op == "*" and writer.careful:
        return writer.strict("product({}, {})", left, right, unchecked=True)
    if op == "*":
        # A product of zero is looked at: it must not be an underflow.
        (x, left), (y, right) = writer.named(left), writer.named(right)
        return writer.strict(
            f"({x} * {y} or zero_product({{}}, {{}}))", left, right, unchecked=True
        )
    left, right = writer.in_variable(left), writer.in_variable(right)
    leaves = left.leaves + right.leaves
    if op == "/":
        return writer.partial(f"divide({left.text}, {right.text})", leaves)
    return writer.partial(
        f"{'modulo' if op == '%' else 'power'}({left.text}, {right.text})", leaves
    )


def _int_arithmetic(writer: PythonWriter, op: str, left: Value, right: Value) -> Value:
    if op == "%":
        return writer.partial(
            f"modulo_exact({left.text}, {right.text})", left.leaves + right.leaves
        )
    return writer.strict(f"({{}} {op} {{}})", left, right)


def _decimal_arithmetic(writer: PythonWriter, op: str, left: Value, right: Value) -> Value:
    if op == "%":
        return writer.partial(
            f"modulo_exact({left.text}, {right.text})", left.leaves + right.leaves
        )
    method = {"+": "add", "-": "subtract", "*": "multiply"}[op]
    return writer.strict(f"exact(EXACT.{method}, {{}}, {{}})", left, right)


_ARITHMETIC = {
    Type.FLOAT: _float_arithmetic,
    Type.INT: _int_arithmetic,
    Type.DECIMAL: _decimal_arithmetic,
}


def _logic(writer: PythonWriter, node: BinOp) -> Value:
    return _kleene(
        writer,
        node.op,
        writer.in_variable(writer.read(node.left, Type.BOOL)),
        lambda: writer.in_variable(writer.read(node.right, Type.BOOL)),
    )


def _kleene(writer: PythonWriter, op: str, left: Value, right_of: Callable[[], Value]) -> Value:
    """Write three-valued & or |; the right side is not computed where the left one decides."""
    result = writer.variable()
    deciding = "False" if op == "&" else "True"
    writer.line(f"{result} = {left.text}")
    with writer.block(f"if {result} is not {deciding}:"):
        right = right_of()
        text = right.text
        if left.leaves:
            # The left side is null, or leaves it to the right one, which decides over a null.
            text = f"{text} if {result} is not None or {text} is {deciding} else None"
        writer.line(f"{result} = {text}")
    return Value(result, (result,) if left.leaves or right.leaves else (), atom=True)


def _unary_op(writer: PythonWriter, node: UnaryOp, have: Type) -> Value:
    if node.op == "abs":
        return _func(writer, Func("abs", [node.operand]), have)
    value = writer.read(node.operand, have)
    if node.op == "~":
        return writer.strict("(not {})", value)
    if have is Type.DECIMAL:
        return writer.strict("EXACT.minus({})", value)
    return writer.strict("(-{})", value, unchecked=value.unchecked)


_FLOAT_FUNCTIONS = {
    "abs": "abs({})",
    "sign": "float(sign({}))",
    "ceil": "float(math.ceil({}))",
    "floor": "float(math.floor({}))",
    "round": "float(round({}))",
    "exp": "exponential({})",
}
_EXACT_FUNCTIONS = {
    "abs": "abs({})",
    "sign": "sign({})",
    "ceil": "{}",
    "floor": "{}",
    "round": "{}",
}
_DECIMAL_FUNCTIONS = {
    "abs": "EXACT.abs({})",
    "sign": "Decimal(sign({}))",
    "ceil": "ceil_decimal({})",
    "floor": "floor_decimal({})",
    "round": "round_exact({}, 0)",
}
_FUNCTIONS = {
    Type.FLOAT: _FLOAT_FUNCTIONS,
    Type.INT: _EXACT_FUNCTIONS,
    Type.DECIMAL: _DECIMAL_FUNCTIONS,
}
_DOMAINS = {
    "sqrt": "math.sqrt({0}) if {0} >= 0.0 else None",
    "log": "math.log({0}) if {0} > 0.0 else None",
    "log10": "math.log10({0}) if {0} > 0.0 else None",
}


def _func(writer: PythonWriter, node: Func, _have: Type) -> Value:
    name = node.name
    if name == "round" and len(node.args) == 2:
        value = writer.checked(writer.read(node.args[0], node.reads))
        function = "round_float" if node.reads is Type.FLOAT else "round_exact"
        return writer.strict(f"{function}({{}}, {node.digits})", value)
    values = [writer.checked(writer.read(arg, node.reads)) for arg in node.args]
    if name in ("min", "max"):
        return writer.strict(f"{name}({', '.join(['{}'] * len(values))})", *values)
    if name == "days_between":
        return writer.strict("({1} - {0}).days", *values)
    if name in _DOMAINS:
        value = writer.in_variable(values[0])
        return writer.partial(_DOMAINS[name].format(value.text), value.leaves)
    return writer.strict(_FUNCTIONS[node.reads][name], values[0])


def _condition(writer: PythonWriter, node: Expr) -> str:
    """Return the Python condition that holds where the node is true, neither false nor null."""
    value = writer.read(node, Type.BOOL)
    if value.atom:
        return value.text
    return " and ".join([*(f"{leaf} is not None" for leaf in value.leaves), value.text])


def _assign(writer: PythonWriter, result: str, node: Expr, have: Type) -> bool:
    """Assign the node's value; tell whether it may be None."""
    value = writer.in_variable(writer.read(node, have))
    writer.line(f"{result} = {value.text}")
    return bool(value.leaves)


def _if(writer: PythonWriter, node: If, have: Type) -> Value:
    branches = [(node.condition, node.then)]
    default = node.otherwise
    while isinstance(default, If) and default.type in (node.type, *UNDECIDED):
        branches.append((default.condition, default.then))
        default = default.otherwise
    return _branches(writer, branches, default, have)


def _case(writer: PythonWriter, node: Case, have: Type) -> Value:
    return _branches(writer, list(node.branches), node.default, have)


def _branches(
    writer: PythonWriter, branches: list[tuple[Expr, Expr]], default: Expr, have: Type
) -> Value:
    result = writer.variable()
    if len(branches) == 1:
        with writer.block(f"if {_condition(writer, branches[0][0])}:"):
            nullable = _assign(writer, result, branches[0][1], have)
        with writer.block("else:"):
            nullable |= _assign(writer, result, default, have)
        return Value(result, (result,) if nullable else (), atom=True)
    # A loop that runs once keeps many branches at one depth, each computed when reached.
    nullable = False
    with writer.block("while True:"):
        for condition, value in branches:
            with writer.block(f"if {_condition(writer, condition)}:"):
                nullable |= _assign(writer, result, value, have)
                writer.line("break")
        nullable |= _assign(writer, result, default, have)
        writer.line("break")
    return Value(result, (result,) if nullable else (), atom=True)


def _coalesce(writer: PythonWriter, node: Coalesce, have: Type) -> Value:
    result = writer.variable()
    nullable = _assign(writer, result, node.args[0], have)
    for arg in node.args[1:]:
        if not nullable:
            break
        with writer.block(f"if {result} is None:"):
            nullable = _assign(writer, result, arg, have)
    return Value(result, (result,) if nullable else (), atom=True)


def _is_null(writer: PythonWriter, node: IsNull, _have: Type) -> Value:
    value = writer.in_variable(writer.read(node.operand, node.operand.type))
    return Value(f"({value.text} is None)") if value.leaves else Value("False", atom=True)


def _null_if(writer: PythonWriter, node: NullIf, have: Type) -> Value:
    compare = decided(have, Type.JSON)
    left = writer.in_variable(writer.read(node.operand, compare))
    right = writer.in_variable(writer.read(node.value, compare))
    value = left if compare is have else writer.in_variable(writer.read(node.operand, have))
    return writer.partial(f"None if {left.text} == {right.text} else {value.text}", left.leaves)


def _in(writer: PythonWriter, node: In, _have: Type) -> Value:
    if not node.values:
        return Value("False", atom=True)
    value = writer.checked(writer.read(node.operand, node.reads))
    constants = [item for item in node.values if isinstance(item, Const) and item.value is not None]
    if len(constants) == len(node.values):
        items = [writer.literal(item, node.reads) for item in constants]
        return writer.strict(f"({{}} in {writer.constant(frozenset(items))})", value)
    others = [writer.in_variable(writer.read(item, node.reads)).text for item in node.values]
    value = writer.in_variable(value)
    return writer.partial(f"is_in({value.text}, ({', '.join(others)},))", value.leaves)


def _between(writer: PythonWriter, node: Between, _have: Type) -> Value:
    operand, low, high = (
        writer.in_variable(writer.read(child, node.reads))
        for child in (node.operand, node.low, node.high)
    )
    above = writer.in_variable(writer.strict("({} >= {})", operand, low))
    return _kleene(
        writer, "&", above, lambda: writer.in_variable(writer.strict("({} <= {})", operand, high))
    )


_TEXT = {
    "length": "len({})",
    "upper": "upper({})",
    "lower": "lower({})",
    "trim": "{}.strip(BLANKS)",
    "contains": "({1} in {0})",
    "starts_with": "{}.startswith({})",
    "ends_with": "{}.endswith({})",
    "concat": "({} + {})",
}


def _str_op(writer: PythonWriter, node: StrOp, _have: Type) -> Value:
    values = [writer.read(node.operand, Type.STR)]
    if node.arg is not None:
        values.append(writer.read(node.arg, Type.STR))
    return writer.strict(_TEXT[node.op], *values)


def _substring(writer: PythonWriter, node: Substring, _have: Type) -> Value:
    end = "" if node.count is None else node.start + node.count
    return writer.strict(f"{{}}[{node.start}:{end}]", writer.read(node.operand, Type.STR))


_DATE_PARTS = {"quarter": "(({}.month + 2) // 3)", "weekday": "{}.isoweekday()"}


def _date_part(writer: PythonWriter, node: DatePart, _have: Type) -> Value:
    template = _DATE_PARTS.get(node.part, f"{{}}.{node.part}")
    return writer.strict(template, writer.read(node.operand, node.reads))


_CASTS = {
    (Type.INT, Type.FLOAT): "double({})",
    (Type.DECIMAL, Type.FLOAT): "double({})",
    (Type.FLOAT, Type.INT): "int_of_float({})",
    (Type.DECIMAL, Type.INT): "int({})",
    (Type.INT, Type.DECIMAL): "Decimal({})",
    (Type.FLOAT, Type.DECIMAL): "decimal_of_float({})",
    (Type.INT, Type.STR): "str({})",
    (Type.FLOAT, Type.STR): "text_of_number({})",
    (Type.DECIMAL, Type.STR): "text_of_number({})",
    (Type.BOOL, Type.STR): "text_of_bool({})",
    (Type.DATE, Type.STR): "{}.isoformat()",
    (Type.DATETIME, Type.DATE): "{}.date()",
    (Type.DATE, Type.DATETIME): "midnight({})",
}
_PARSERS = {
    Type.FLOAT: "parse_float({})",
    Type.INT: "parse_int({})",
    Type.DECIMAL: "parse_decimal({})",
    Type.BOOL: "parse_bool({})",
    Type.DATE: "parse_date({})",
}


def _cast(writer: PythonWriter, node: Cast, have: Type) -> Value:
    value = writer.checked(writer.read(node.operand, node.reads))
    if node.reads is have:
        return value
    if node.reads is Type.STR:
        return writer.partial(_PARSERS[have].format(value.text), value.leaves)
    return writer.strict(_CASTS[node.reads, have], value)


EMITTERS: dict[type[Expr], Callable[[Any, Any, Type], Value]] = {
    If: _if,
    Case: _case,
    Coalesce: _coalesce,
    IsNull: _is_null,
    NullIf: _null_if,
    Field: _field,
    BinOp: _bin_op,
    UnaryOp: _unary_op,
    Func: _func,
    In: _in,
    Between: _between,
    Cast: _cast,
    StrOp: _str_op,
    Substring: _substring,
    DatePart: _date_part,
}
