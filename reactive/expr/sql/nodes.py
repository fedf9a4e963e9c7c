"""How each node is written as SQL."""

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
from reactive.expr.python.runtime import DATE_PATTERN, NUMBER_PATTERN
from reactive.expr.sql.writer import Sql, SqlWriter, repeat
from reactive.expr.types import UNDECIDED, Type


def _bin_op(writer: SqlWriter, node: BinOp, _have: Type) -> Sql:
    if node.op in LOGIC:
        left, right = writer.read(node.left, Type.BOOL), writer.read(node.right, Type.BOOL)
        # Always in parentheses: callers put conditions next to others.
        return Sql(f"({left.operand} {'AND' if node.op == '&' else 'OR'} {right.operand})")
    if node.op in ("/", "%", "**"):
        return _PARTIAL[node.op](writer, node)
    if node.op in ARITHMETIC:
        left, right = writer.all([node.left, node.right], node.reads)
        return Sql(f"{left.operand} {node.op} {right.operand}", atomic=False)
    left, right = writer.comparable([node.left, node.right], node.reads)
    op = {"==": "=", "!=": "<>"}.get(node.op, node.op)
    collation = _order(node.reads) if node.op not in ("==", "!=") else ""
    return Sql(f"{left.operand}{collation} {op} {right.operand}", atomic=False)


def _order(type_: Type) -> str:
    """Return what makes an order of text that of code points."""
    return ' COLLATE "C"' if type_ is Type.STR else ""


def _sign_of(node: Expr) -> int | None:
    """Return the sign of a constant number, None of anything else."""
    if not isinstance(node, Const) or node.value is None:
        return None
    return int(node.value > 0) - int(node.value < 0)


def _divisor(node: Expr, value: Sql) -> str:
    """Return a divisor that is null where it is zero."""
    return value.operand if _sign_of(node) else f"NULLIF({value.text}, 0)"


def _division(writer: SqlWriter, node: BinOp) -> Sql:
    left, right = writer.all([node.left, node.right], Type.FLOAT)
    return Sql(f"{left.operand} / {_divisor(node.right, right)}", atomic=False)


def _modulo(writer: SqlWriter, node: BinOp) -> Sql:
    left, right = writer.all([node.left, node.right], node.reads)
    divisor = "{1}" if _sign_of(node.right) else "NULLIF({1}, 0)"
    if node.reads is Type.FLOAT:
        return repeat(f"({{0}} - {{1}} * FLOOR({{0}} / {divisor}))", left, right)
    # numeric has an exact MOD, with the sign of the dividend; numeric division would round.
    return repeat(f"MOD(MOD({{0}}, {divisor}) + {{1}}, {{1}})", left, right)


def _power(writer: SqlWriter, node: BinOp) -> Sql:
    left, right = writer.all([node.left, node.right], Type.FLOAT)
    if _sign_of(node.left) == 1:
        return Sql(f"POWER({left.typed(Type.FLOAT).text}, {right.text})")
    sign = _sign_of(node.right)
    if sign is not None and isinstance(node.right, Const):
        base = left.text
        if node.right.value != int(node.right.value):
            base = _at_least_zero(base) if sign > 0 else _above_zero(base)
        elif sign < 0:
            base = f"NULLIF({base}, 0)"
        return Sql(f"POWER({base}, {right.text})")
    return repeat(
        "CASE WHEN ({0} < 0 AND {1} <> FLOOR({1})) OR ({0} = 0 AND {1} < 0) "
        "THEN NULL ELSE POWER({0}, {1}) END",
        left,
        right,
    )


_PARTIAL = {"/": _division, "%": _modulo, "**": _power}


def _above_zero(x: str) -> str:
    """Return x where it is above zero, else null, writing it once."""
    return f"NULLIF(GREATEST({x}, 0), 0)"


def _at_least_zero(x: str) -> str:
    """Return x where it is not negative, else null: the bound is the double next below zero."""
    return f"NULLIF(GREATEST({x}, -5e-324), -5e-324)"


def _unary_op(writer: SqlWriter, node: UnaryOp, have: Type) -> Sql:
    if node.op == "abs":
        return _func(writer, Func("abs", [node.operand]), have)
    value = writer.read(node.operand, have)
    if node.op == "~":
        return Sql(f"NOT {value.operand}", atomic=False)
    if value.text == "NULL":
        value = value.typed(have)
    # A minus before a minus would begin a comment.
    return Sql(f"-{value.operand}", atomic=False, loose=value.loose)


def _func(writer: SqlWriter, node: Func, _have: Type) -> Sql:
    name, reads = node.name, node.reads
    if name in ("min", "max"):
        return _extreme(writer, node)
    if name == "days_between":
        start, end = (writer.sure(arg, reads) for arg in node.args)
        return Sql(f"{end.operand} - {start.operand}", atomic=False, loose=True)
    x = writer.sure(node.args[0], reads)
    if name == "round":
        return _round(x, reads, node.digits)
    if name == "exp":
        # PostgreSQL refuses results that are too small for a double.
        return repeat("CASE WHEN {0} < -745.2 THEN 0 ELSE EXP({0}) END", x)
    return Sql(_FUNCTIONS[name](x.text))


_FUNCTIONS: dict[str, Callable[[str], str]] = {
    "abs": "ABS({})".format,
    "sign": "SIGN({})".format,
    "ceil": "CEIL({})".format,
    "floor": "FLOOR({})".format,
    "sqrt": lambda x: f"SQRT({_at_least_zero(x)})",
    "log": lambda x: f"LN({_above_zero(x)})",
    "log10": lambda x: f"LOG({_above_zero(x)})",
}


def _extreme(writer: SqlWriter, node: Func) -> Sql:
    """Write min and max; PostgreSQL's own skip nulls."""
    values = writer.all(list(node.args), node.reads)
    function = "LEAST" if node.name == "min" else "GREATEST"
    first, *others = (f"{{{index}}}" for index in range(len(values)))
    call = f"{function}({', '.join([first + _order(node.reads), *others])})"
    nulls = [
        "{" + str(index) + "} IS NULL"
        for index, arg in enumerate(node.args)
        if not (isinstance(arg, Const) and arg.value is not None)
    ]
    if not nulls:
        return Sql(call.format(*(value.text for value in values)))
    return repeat(f"CASE WHEN {' OR '.join(nulls)} THEN NULL ELSE {call} END", *values)


def _round(x: Sql, reads: Type, digits: int) -> Sql:
    """Write a rounding of halves to even: float's ROUND does so, numeric's goes away from zero."""
    scale = _ten_to(abs(digits))
    if reads is Type.FLOAT:
        if digits > 0:
            return Sql(f"(ROUND({x.operand} * {scale}) / {scale})")
        return Sql(f"(ROUND({x.operand} / {scale}) * {scale})" if digits else f"ROUND({x.text})")
    if reads is Type.INT and digits >= 0:
        return x
    # Products of numerics are exact, quotients are not.
    scaled = f"({{0}} * {_ten_to(digits)})" if digits else "{0}"
    whole = (
        f"CASE WHEN ABS(MOD({scaled}, 1)) = 0.5 THEN 2 * ROUND({scaled} * 0.5) "
        f"ELSE ROUND({scaled}) END"
    )
    return repeat(f"({whole} * {_ten_to(-digits)})" if digits else whole, x)


def _ten_to(exponent: int) -> str:
    """Return a power of ten as a literal."""
    return f"1{'0' * exponent}" if exponent >= 0 else f"0.{'0' * (-exponent - 1)}1"


def _if(writer: SqlWriter, node: If, have: Type) -> Sql:
    return _branches(writer, ((node.condition, node.then),), node.otherwise, have)


def _case(writer: SqlWriter, node: Case, have: Type) -> Sql:
    return _branches(writer, node.branches, node.default, have)


def _branches(
    writer: SqlWriter, branches: tuple[tuple[Expr, Expr], ...], default: Expr, have: Type
) -> Sql:
    conditions = [writer.read(condition, Type.BOOL).text for condition, _ in branches]
    *values, otherwise = _choices(writer, [*(value for _, value in branches), default], have)
    whens = " ".join(
        f"WHEN {condition} THEN {value.text}"
        for condition, value in zip(conditions, values, strict=True)
    )
    return Sql(f"CASE {whens} ELSE {otherwise.text} END", loose=otherwise.loose)


def _choices(writer: SqlWriter, nodes: list[Expr], have: Type) -> list[Sql]:
    """Return the values of a choice, all of them loose if the choice is."""
    values = [writer.read(node, have) for node in nodes]
    if all(value.text == "NULL" for value in values):
        values[0] = values[0].typed(have)
    # Among literals of text alone the choice is text already.
    loose = all(value.loose for value in values) and have is not Type.STR
    return [value._replace(loose=loose) for value in values]


def _coalesce(writer: SqlWriter, node: Coalesce, have: Type) -> Sql:
    values = _choices(writer, list(node.args), have)
    return Sql(f"COALESCE({', '.join(value.text for value in values)})", loose=values[0].loose)


def _is_null(writer: SqlWriter, node: IsNull, _have: Type) -> Sql:
    return Sql(writer.is_null(node.operand), atomic=False)


def _null_if(writer: SqlWriter, node: NullIf, have: Type) -> Sql:
    if have in UNDECIDED:
        left, right = writer.all([node.operand, node.value], Type.JSON)
        value = writer.read(node.operand, have)
        return Sql(f"CASE WHEN {left.operand} = {right.operand} THEN NULL ELSE {value.text} END")
    left, right = writer.all([node.operand, node.value], have)
    return Sql(f"NULLIF({left.text}, {right.text})")


def _in(writer: SqlWriter, node: In, _have: Type) -> Sql:
    if not node.values:
        return Sql("FALSE")
    left, *others = writer.comparable([node.operand, *node.values], node.reads)
    return Sql(f"{left.operand} IN ({', '.join(other.text for other in others)})", atomic=False)


def _between(writer: SqlWriter, node: Between, _have: Type) -> Sql:
    x, low, high = writer.comparable([node.operand, node.low, node.high], node.reads)
    text = f"{x.operand}{_order(node.reads)} BETWEEN {low.operand} AND {high.operand}"
    return Sql(text, atomic=False)


_TEXT = {
    "length": "LENGTH({0})",
    "upper": 'UPPER({0} COLLATE "C")',
    "lower": 'LOWER({0} COLLATE "C")',
    "trim": "BTRIM({0}, E' \\t\\n\\x0b\\f\\r')",
    "contains": "strpos({0}, {1}) > 0",
    "starts_with": "starts_with({0}, {1})",
    "ends_with": "RIGHT({0}, LENGTH({1})) = {1}",
    "concat": "{0} || {1}",
}


def _str_op(writer: SqlWriter, node: StrOp, _have: Type) -> Sql:
    values = writer.all([node.operand, *([] if node.arg is None else [node.arg])], Type.STR)
    if node.op == "ends_with":
        return repeat(f"({_TEXT[node.op]})", *values)
    atomic = node.op not in ("contains", "concat")
    text = _TEXT[node.op].format(*(value.operand for value in values))
    return Sql(text, atomic=atomic, loose=node.op == "length")


def _substring(writer: SqlWriter, node: Substring, _have: Type) -> Sql:
    count = "" if node.count is None else f", {node.count}"
    return Sql(f"SUBSTR({writer.sure(node.operand, Type.STR).text}, {node.start + 1}{count})")


def _date_part(writer: SqlWriter, node: DatePart, _have: Type) -> Sql:
    value = writer.sure(node.operand, node.reads)
    at = f"{value.operand} AT TIME ZONE 'UTC'" if node.reads is Type.DATETIME else value.text
    part = {"weekday": "ISODOW"}.get(node.part, node.part.upper())
    text = f"EXTRACT({part} FROM {at})"
    return Sql(f"FLOOR({text})" if node.part == "second" else text)


def _matches(pattern: str) -> str:
    """Return the template of a test against a pattern, which has no backslashes to escape."""
    return "{0} ~ '^" + pattern.replace("{", "{{").replace("}", "}}") + "$'"


_NUMBER, _DATE = _matches(NUMBER_PATTERN), _matches(DATE_PATTERN)
_CASTS = {
    (Type.INT, Type.FLOAT): "{0}::float",
    (Type.DECIMAL, Type.FLOAT): "{0}::float",
    # A double as its shortest text; numeric made of a double directly has 15 digits only.
    (Type.FLOAT, Type.INT): "TRUNC({0})::text::numeric",
    (Type.DECIMAL, Type.INT): "TRUNC({0})",
    (Type.INT, Type.DECIMAL): "{0}",
    (Type.FLOAT, Type.DECIMAL): "{0}::text::numeric",
    (Type.INT, Type.STR): "TRIM_SCALE({0})::text",
    (Type.FLOAT, Type.STR): "TRIM_SCALE({0}::text::numeric)::text",
    (Type.DECIMAL, Type.STR): "TRIM_SCALE({0})::text",
    (Type.BOOL, Type.STR): "{0}::text",
    (Type.DATE, Type.STR): "TO_CHAR({0}, 'YYYY-MM-DD')",
    (Type.DATETIME, Type.DATE): "({0} AT TIME ZONE 'UTC')::date",
    (Type.DATE, Type.DATETIME): "({0}::timestamp AT TIME ZONE 'UTC')",
    (Type.STR, Type.FLOAT): f"CASE WHEN {_NUMBER} THEN {{0}}::float END",
    (Type.STR, Type.INT): f"CASE WHEN {_NUMBER} THEN TRUNC({{0}}::numeric) END",
    (Type.STR, Type.DECIMAL): f"CASE WHEN {_NUMBER} THEN {{0}}::numeric END",
    (Type.STR, Type.BOOL): "CASE {0} WHEN 'true' THEN TRUE WHEN 'false' THEN FALSE END",
    (Type.STR, Type.DATE): f"CASE WHEN {_DATE} AND PG_INPUT_IS_VALID({{0}}, 'date') "
    "THEN {0}::date END",
}


def _cast(writer: SqlWriter, node: Cast, have: Type) -> Sql:
    if node.reads is have:
        return writer.sure(node.operand, have)
    return repeat(_CASTS[node.reads, have], writer.sure(node.operand, node.reads))


EMITTERS: dict[type[Expr], Callable[[Any, Any, Type], Sql]] = {
    If: _if,
    Case: _case,
    Coalesce: _coalesce,
    IsNull: _is_null,
    NullIf: _null_if,
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
