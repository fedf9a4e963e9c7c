"""The base of all expressions: evaluation and the other targets, operators, and methods."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

from reactive.errors import ExpressionTypeError, shown
from reactive.expr.base import Node, make
from reactive.expr.types import NUMERIC, FieldTypes, Type, field_types


class Expr(Node):
    """A formula over the fields of a row; building one computes nothing."""

    # --- the targets: each is a module of its own, which imports the nodes -------------------

    def eval(self, ctx: Any) -> Any:
        """Compute the value for a row: a mapping of fields, or an object with attributes.

        A missing field is null (None). Raises `FieldTypeError` where a field holds a value of
        another type than the formula reads, `ExpressionRangeError` where a result is beyond a
        double.
        """
        from reactive.expr.python import compile_python  # noqa: PLC0415

        compiled = compile_python(self, like=ctx)
        # From now on the compiled function stands in for this method.
        self.__dict__["eval"] = compiled
        return compiled(ctx)

    def to_sql(
        self,
        col: str = "data",
        *,
        as_type: Any = None,
        strict: bool = False,
        field_text: Callable[[str], str] | None = None,
    ) -> str:
        """Return the expression as PostgreSQL over a JSONB column, with its constants as literals.

        `col` names the column (`data`, `t.data`, `"my table".data`). `as_type` is the Python type
        that the result is needed as (`bool` for a condition); without it a bare field is its
        text. With `strict`, a field of another JSON type raises an error that names it.
        `field_text` gives the SQL that reads a field as text, in the place of `(col->>'name')`:
        an indexed accessor, for instance.
        """
        from reactive.expr.sql import to_sql  # noqa: PLC0415

        return to_sql(self, col, as_type, strict, field_text)

    def to_sql_params(
        self,
        col: str = "data",
        *,
        as_type: Any = None,
        strict: bool = False,
        field_text: Callable[[str], str] | None = None,
    ) -> tuple[str, list[Any]]:
        """Return the SQL of `to_sql` with `%s` for constants, and their values, for psycopg."""
        from reactive.expr.sql import to_sql_params  # noqa: PLC0415

        return to_sql_params(self, col, as_type, strict, field_text)

    def to_pure(self, var: str = "$row", *, null_safe: bool = False) -> str:
        """Return the expression as Legend Pure.

        The plain text is for fields that are present; the null-safe one means what `eval` means
        on every row.
        """
        from reactive.expr.pure import to_pure  # noqa: PLC0415

        return to_pure(self, var, null_safe=null_safe)

    def to_json(self) -> dict[str, Any]:
        """Return the expression as plain data for JSON, with a version; `from_json` reads it."""
        from reactive.expr.json import to_json  # noqa: PLC0415

        return to_json(self)

    # --- structure ---------------------------------------------------------------------------

    def fields(self) -> frozenset[str]:
        """Return the names of the fields that the expression reads."""
        return frozenset().union(*(child.fields() for _, child in self.children()))

    def typed(self, types: FieldTypes) -> Expr:
        """Return the expression with the types of its fields taken from `types`, and checked.

        `types` is a dataclass, a mapping of names to Python types, or a catalogue of columns such
        as the store's registry. Fields that it does not know, and fields with a type of their
        own, stay as they are.
        """
        return self._with_types(field_types(types))

    def _with_types(self, type_of: Callable[[str], Type | None]) -> Expr:
        """Return the expression with the types that `type_of` gives for the names of its fields."""

        def change(path: str, child: Expr) -> Expr:
            try:
                return child._with_types(type_of)
            except ExpressionTypeError as error:
                raise error.under(path) from None

        return self.map_children(change)

    def __repr__(self) -> str:
        from reactive.expr.formula import formula  # noqa: PLC0415

        return formula(self)

    # --- operators ---------------------------------------------------------------------------

    def __add__(self, other: Any) -> Expr:
        return _build("BinOp", "+", self, other)

    def __radd__(self, other: Any) -> Expr:
        return _build("BinOp", "+", other, self)

    def __sub__(self, other: Any) -> Expr:
        return _build("BinOp", "-", self, other)

    def __rsub__(self, other: Any) -> Expr:
        return _build("BinOp", "-", other, self)

    def __mul__(self, other: Any) -> Expr:
        return _build("BinOp", "*", self, other)

    def __rmul__(self, other: Any) -> Expr:
        return _build("BinOp", "*", other, self)

    def __truediv__(self, other: Any) -> Expr:
        return _build("BinOp", "/", self, other)

    def __rtruediv__(self, other: Any) -> Expr:
        return _build("BinOp", "/", other, self)

    def __mod__(self, other: Any) -> Expr:
        return _build("BinOp", "%", self, other)

    def __rmod__(self, other: Any) -> Expr:
        return _build("BinOp", "%", other, self)

    def __pow__(self, other: Any) -> Expr:
        return _build("BinOp", "**", self, other)

    def __rpow__(self, other: Any) -> Expr:
        return _build("BinOp", "**", other, self)

    def __eq__(self, other: object) -> Expr:  # type: ignore[override]
        return _build("BinOp", "==", self, other)

    def __ne__(self, other: object) -> Expr:  # type: ignore[override]
        return _build("BinOp", "!=", self, other)

    def __lt__(self, other: Any) -> Expr:
        return _build("BinOp", "<", self, other)

    def __le__(self, other: Any) -> Expr:
        return _build("BinOp", "<=", self, other)

    def __gt__(self, other: Any) -> Expr:
        return _build("BinOp", ">", self, other)

    def __ge__(self, other: Any) -> Expr:
        return _build("BinOp", ">=", self, other)

    # Defining __eq__ would otherwise take the hash away.
    __hash__ = Node.__hash__

    def __and__(self, other: Any) -> Expr:
        return _build("BinOp", "&", self, other)

    def __rand__(self, other: Any) -> Expr:
        return _build("BinOp", "&", other, self)

    def __or__(self, other: Any) -> Expr:
        return _build("BinOp", "|", self, other)

    def __ror__(self, other: Any) -> Expr:
        return _build("BinOp", "|", other, self)

    def __invert__(self) -> Expr:
        return _build("UnaryOp", "~", self)

    def __neg__(self) -> Expr:
        return _build("UnaryOp", "-", self)

    def __pos__(self) -> Expr:
        self._require("operand", self, NUMERIC, "a number")
        return self

    def __abs__(self) -> Expr:
        return _build("Func", "abs", [self])

    def __round__(self, digits: int | None = None) -> Expr:
        return _build("Func", "round", [self] if digits is None else [self, digits])

    def __ceil__(self) -> Expr:
        return _build("Func", "ceil", [self])

    def __floor__(self) -> Expr:
        return _build("Func", "floor", [self])

    def __bool__(self) -> NoReturn:
        raise ExpressionTypeError(
            self.label,
            "",
            "an operation of expressions",
            f"`and`, `or`, `not`, `if`, `in` or a chained comparison on {self!r}",
            "use & for and, | for or, ~ for not (with parentheses around comparisons), "
            "If(...) for if, .is_in(...) for in, .between(low, high) for a chain",
        )

    def __contains__(self, item: object) -> NoReturn:
        self.__bool__()

    __iter__ = None

    # --- text --------------------------------------------------------------------------------

    def length(self) -> Expr:
        """Count the characters (code points)."""
        return _build("StrOp", "length", self)

    def upper(self) -> Expr:
        """Turn a-z into A-Z and leave all else, whatever the database's locale."""
        return _build("StrOp", "upper", self)

    def lower(self) -> Expr:
        """Turn A-Z into a-z and leave all else, whatever the database's locale."""
        return _build("StrOp", "lower", self)

    def trim(self) -> Expr:
        r"""Drop blanks and \\t \\n \\v \\f \\r from both ends."""
        return _build("StrOp", "trim", self)

    def contains(self, text: Any) -> Expr:
        """Whether the text occurs in this one; `%` and `_` are ordinary characters."""
        return _build("StrOp", "contains", self, text)

    def starts_with(self, text: Any) -> Expr:
        """Whether this begins with the text."""
        return _build("StrOp", "starts_with", self, text)

    def ends_with(self, text: Any) -> Expr:
        """Whether this ends with the text."""
        return _build("StrOp", "ends_with", self, text)

    def concat(self, text: Any) -> Expr:
        """Append the text; null if one of the two is null."""
        return _build("StrOp", "concat", self, text)

    def substring(self, start: int, count: int | None = None) -> Expr:
        """Take `count` characters (all, if None) from position `start`, which counts from 0."""
        return _build("Substring", self, start, count)

    # --- nulls, choice, types ----------------------------------------------------------------

    def is_null(self) -> Expr:
        """Whether the value is null; never null itself."""
        return _build("IsNull", self)

    def null_if(self, value: Any) -> Expr:
        """Give null where this equals the value, else this."""
        return _build("NullIf", self, value)

    def is_in(self, values: Iterable[Any]) -> Expr:
        """Whether this equals one of the values."""
        return _build("In", self, values)

    def between(self, low: Any, high: Any) -> Expr:
        """Whether low <= this <= high."""
        return _build("Between", self, low, high)

    def cast(self, type: Any) -> Expr:
        """Convert to int, float, Decimal, str, bool, date or datetime; null if not possible."""
        return _build("Cast", self, type)

    # --- dates (UTC) -------------------------------------------------------------------------

    def year(self) -> Expr:
        """Year of a date or datetime."""
        return _build("DatePart", "year", self)

    def quarter(self) -> Expr:
        """Quarter, 1 to 4."""
        return _build("DatePart", "quarter", self)

    def month(self) -> Expr:
        """Month, 1 to 12."""
        return _build("DatePart", "month", self)

    def day(self) -> Expr:
        """Day of the month."""
        return _build("DatePart", "day", self)

    def weekday(self) -> Expr:
        """Day of the week, Monday 1 to Sunday 7."""
        return _build("DatePart", "weekday", self)

    def hour(self) -> Expr:
        """Hour of a datetime."""
        return _build("DatePart", "hour", self)

    def minute(self) -> Expr:
        """Minute of a datetime."""
        return _build("DatePart", "minute", self)

    def second(self) -> Expr:
        """Whole second of a datetime."""
        return _build("DatePart", "second", self)


def as_expr(value: Any) -> Expr:
    """Return the value as an expression: itself, or a constant."""
    return value if isinstance(value, Expr) else _build("Const", value)


def as_list(node: Expr, path: str, values: Any) -> tuple[Expr, ...]:
    """Return the arguments that a node takes as a list."""
    if isinstance(values, (str, bytes, Mapping, Node)) or not isinstance(values, Iterable):
        raise ExpressionTypeError(
            node.label,
            path,
            "a list of values",
            f"{shown(values)}",
            f"{node.label} takes its arguments as one list",
        )
    return tuple(as_expr(value) for value in values)


def _build(name: str, *arguments: Any) -> Expr:
    node: Expr = make(name, *arguments)
    return node
