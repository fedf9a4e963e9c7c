"""A reader of the Pure that we emit, and an evaluator of it.

It follows the grammar of finos/legend-pure where that surprises: `==` binds tighter than `+` (a +
1 == b is a + (1 == b)), `!` and a sign take all that follows (!a == b is !(a == b)), and 1e-05 is
1e minus 05. It is stricter than the real one: operators of different kinds next to each other
without parentheses are refused, and so is a value that may be empty where one is needed, since
Pure's own + and - skip what is empty.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any

TOKEN = re.compile(
    r"""\s*(?:
    (?P<datetime>%\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?\+0000)
  | (?P<date>%\d{4}-\d\d-\d\d)
  | (?P<decimal>\d+(?:\.\d+)?D)
  | (?P<float>\d+\.\d+(?:e[+-]?\d+)?)
  | (?P<integer>\d+)
  | (?P<string>'(?:[^'\\\r\n]|\\[btnfr"'\\]|\\u[0-9a-f]{4})*')
  | (?P<variable>\$[A-Za-z_]\w*)
  | (?P<name>[A-Za-z_]\w*)
  | (?P<symbol>->|==|!=|<=|>=|&&|\|\||[()\[\],.|!<>+\-*/])
    )""",
    re.VERBOSE,
)

Tree = tuple[Any, ...]


class PureSyntaxError(Exception):
    pass


class PureError(Exception):
    """What an engine would refuse at run time."""


def tokens(text: str) -> list[tuple[str, str]]:
    found, position = [], 0
    while position < len(text):
        match = TOKEN.match(text, position)
        if match is None:
            raise PureSyntaxError(f"cannot read {text[position : position + 20]!r}")
        kind = match.lastgroup
        assert kind is not None
        end = match.end()
        if kind in ("integer", "float", "decimal") and re.match(r"[A-Za-z_]", text[end : end + 1]):
            raise PureSyntaxError(f"a number runs into a name: {text[position : end + 5]!r}")
        found.append((kind, match[kind]))
        position = end
    return [*found, ("end", "")]


ARITHMETIC = {"+", "-", "*", "/", "<", "<=", ">", ">="}


class Reader:
    def __init__(self, text: str) -> None:
        self.tokens = tokens(text)
        self.at = 0

    def peek(self) -> str:
        kind, text = self.tokens[self.at]
        return text if kind in ("symbol", "end") else ""

    def take(self, expected: str | None = None) -> tuple[str, str]:
        token = self.tokens[self.at]
        if expected is not None and (token[0] != "symbol" or token[1] != expected):
            raise PureSyntaxError(f"expected {expected}, got {token[1]!r}")
        self.at += 1
        return token

    def all(self) -> Tree:
        tree = self.combined()
        if self.tokens[self.at][0] != "end":
            raise PureSyntaxError(f"left over: {self.tokens[self.at][1]!r}")
        return tree

    def combined(self) -> Tree:
        """Expressions with an operator between them; only && and || may occur more than once."""
        tree = self.expression()
        first = None
        while (op := self.peek()) in ARITHMETIC | {"&&", "||"}:
            if first is not None and (op != first or op not in ("&&", "||")):
                raise PureSyntaxError(f"{first} and {op} side by side need parentheses")
            if tree[0] in ("==", "!="):
                raise PureSyntaxError(f"{tree[0]} next to {op} needs parentheses")
            first = op
            self.take()
            right = self.expression()
            if right[0] in ("==", "!="):
                raise PureSyntaxError(f"a {op} b == c reads as a {op} (b == c)")
            tree = (op, tree, right)
        return tree

    def expression(self) -> Tree:
        tree = self.postfix(self.primary())
        if self.peek() in ("==", "!="):
            op = self.take()[1]
            tree = (op, tree, self.expression())
        return tree

    def primary(self) -> Tree:
        kind, text = self.take()
        if kind == "symbol":
            if text in ("!", "-"):
                # Both take a whole expression, with what is applied to it.
                operand = self.expression()
                if operand[0] in ("==", "!="):
                    raise PureSyntaxError(f"{text}a == b reads as {text}(a == b)")
                return ("not" if text == "!" else "sign", operand)
            if text == "(":
                tree = self.combined()
                self.take(")")
                return ("group", tree)
            if text == "[":
                return ("list", *self.arguments("]"))
            if text == "|":
                return ("lambda", self.combined())
            raise PureSyntaxError(f"unexpected {text!r}")
        if kind == "variable":
            return ("variable", text)
        if kind == "name":
            if self.peek() == "(":
                self.take("(")
                return ("call", text, *self.arguments(")"))
            if text == "DurationUnit":
                self.take(".")
                return ("unit", self.take()[1])
            if text in ("true", "false"):
                return ("literal", text == "true")
            raise PureSyntaxError(f"unknown name {text!r}")
        return ("literal", LITERALS[kind](text))

    def postfix(self, tree: Tree) -> Tree:
        while self.peek() in (".", "->"):
            if self.take()[1] == ".":
                kind, name = self.take()
                if kind not in ("name", "string"):
                    raise PureSyntaxError(f"{name!r} is no property")
                tree = ("property", tree, name if kind == "name" else unescape(name))
            else:
                name = self.take()[1]
                self.take("(")
                tree = ("call", name, tree, *self.arguments(")"))
        return tree

    def arguments(self, end: str) -> list[Tree]:
        found: list[Tree] = []
        while self.peek() != end:
            if found:
                self.take(",")
            found.append(self.combined())
        self.take(end)
        return found


ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r"}


def unescape(literal: str) -> str:
    plain = re.sub(
        r"\\(u[0-9a-f]{4}|.)",
        lambda m: chr(int(m[1][1:], 16)) if len(m[1]) > 1 else ESCAPES.get(m[1], m[1]),
        literal[1:-1],
    )
    # Escapes are UTF-16 units.
    return plain.encode("utf-16", "surrogatepass").decode("utf-16")


LITERALS: dict[str, Callable[[str], Any]] = {
    "datetime": lambda text: datetime.fromisoformat(text[1:].replace("+0000", "+00:00")),
    "date": lambda text: date.fromisoformat(text[1:]),
    "decimal": lambda text: Decimal(text[:-1]),
    "float": float,
    "integer": int,
    "string": unescape,
}


def read(text: str) -> Tree:
    """The tree of a Pure text."""
    return Reader(text).all()


def evaluate(text: str, row: dict[str, Any]) -> Any:
    """The value of a Pure text on a row, None where it is empty."""
    return _value(read(text), row)


def _value(tree: Tree, row: dict[str, Any]) -> Any:
    kind = tree[0]
    if kind == "literal":
        return tree[1]
    if kind == "group":
        return _value(tree[1], row)
    if kind == "property":
        if tree[1] != ("variable", "$row"):
            raise PureError(f"no such variable: {tree[1]}")
        return row.get(tree[2])
    if kind == "list":
        return [_value(item, row) for item in tree[1:]] or None
    if kind == "unit":
        return tree[1]
    if kind == "not":
        return not _boolean(_value(tree[1], row))
    if kind == "sign":
        return -_one(_value(tree[1], row))
    if kind == "call":
        return _call(tree[1], tree[2:], row)
    return _operate(kind, _value(tree[1], row), _value(tree[2], row))


def _one(value: Any) -> Any:
    if value is None:
        raise PureError("a value is needed, and it is empty")
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise PureError(f"{value!r} is no Boolean")
    return value


def _operate(op: str, left: Any, right: Any) -> Any:
    if op in ("==", "!="):
        equal = (type(left) is type(right) and left == right) or (left is None and right is None)
        return equal if op == "==" else not equal
    if op in ("&&", "||"):
        # Both sides are computed: nothing says that Pure would not.
        left, right = _boolean(left), _boolean(right)
        return (left and right) if op == "&&" else (left or right)
    left, right = _one(left), _one(right)
    if isinstance(left, float) and isinstance(right, Decimal):
        right = float(right)
    if isinstance(right, float) and isinstance(left, Decimal):
        left = float(left)
    if op == "/":
        if right == 0:
            raise PureError("division by zero")
        return float(left) / float(right)
    return OPERATIONS[op](left, right)


OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def _call(name: str, arguments: tuple[Tree, ...], row: dict[str, Any]) -> Any:
    if name == "if":
        condition, then, otherwise = arguments
        if then[0] != "lambda" or otherwise[0] != "lambda":
            raise PureSyntaxError("if takes two lambdas")
        return _value((then if _boolean(_value(condition, row)) else otherwise)[1], row)
    values = [_value(argument, row) for argument in arguments]
    if name == "isEmpty":
        return values[0] is None
    if name == "coalesce":
        if not 2 <= len(values) <= 4:
            raise PureSyntaxError("coalesce takes 2 to 4 values")
        return next((value for value in values if value is not None), None)
    if name == "toOne":
        return _one(values[0])
    if name == "in":
        return any(_operate("==", _one(values[0]), other) for other in values[1])
    return FUNCTIONS[name](*(_one(value) for value in values))


def _partial(
    function: Callable[[Any], Any], defined: Callable[[Any], bool]
) -> Callable[[Any], Any]:
    def call(value: Any) -> Any:
        if not defined(value):
            raise PureError(f"no value for {value!r}")
        return function(float(value))

    return call


def _mod(a: Any, b: Any) -> Any:
    if b == 0:
        raise PureError("division by zero")
    if isinstance(a, Decimal) and isinstance(b, (int, Decimal)):
        rest = a % b
        return rest + b if rest and (rest < 0) != (b < 0) else rest
    if isinstance(a, int) and isinstance(b, int):
        return a % b
    a, b = float(a), float(b)
    return a - b * math.floor(a / b)


def _pow(a: Any, b: Any) -> float:
    result = float(a) ** float(b) if a or b >= 0 else None
    if not isinstance(result, float):
        raise PureError(f"no value for {a!r} to the {b!r}")
    return result


def _substring(text: str, start: int, end: int) -> str:
    if not 0 <= start <= end <= len(text):
        raise PureError("substring beyond the text")
    return text[start:end]


def _parse_date(text: str) -> date:
    return date.fromisoformat(text)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "sign": lambda x: (x > 0) - (x < 0),
    "ceiling": math.ceil,
    "floor": math.floor,
    "round": round,
    "sqrt": _partial(math.sqrt, lambda x: x >= 0),
    "log": _partial(math.log, lambda x: x > 0),
    "log10": _partial(math.log10, lambda x: x > 0),
    "exp": math.exp,
    "mod": _mod,
    "pow": _pow,
    "min": min,
    "max": max,
    "length": lambda text: len(text.encode("utf-16-le")) // 2,
    "toUpper": str.upper,
    "toLower": str.lower,
    "trim": lambda text: text.strip("".join(map(chr, range(33)))),
    "contains": lambda a, b: b in a,
    "startsWith": str.startswith,
    "endsWith": str.endswith,
    "substring": _substring,
    "matches": lambda text, pattern: re.fullmatch(pattern, text) is not None,
    "toFloat": float,
    "toDecimal": lambda x: Decimal(repr(x)) if isinstance(x, float) else Decimal(x),
    "toString": lambda x: str(x).lower() if isinstance(x, bool) else str(x),
    "parseFloat": float,
    "parseDecimal": Decimal,
    "parseDate": _parse_date,
    "dateDiff": lambda a, b, unit: (b - a).days,
    "datePart": lambda x: x.astimezone(timezone.utc).date(),
    "year": lambda x: x.year,
    "quarterNumber": lambda x: (x.month + 2) // 3,
    "monthNumber": lambda x: x.month,
    "dayOfMonth": lambda x: x.day,
    "dayOfWeekNumber": lambda x: x.isoweekday(),
    "hour": lambda x: x.hour,
    "minute": lambda x: x.minute,
    "second": lambda x: x.second,
}
