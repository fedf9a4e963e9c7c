"""Reads simple methods as expressions: `return (self.price - self.cost) * self.quantity`.

What is read means what the expression means, in Python too: null gives null, x / 0 is null.
"""

from __future__ import annotations

import ast
import inspect
import math
import types
from collections.abc import Callable, Container
from functools import partial
from typing import Any

from reactive.errors import ExpressionError, NotAnExpressionError
from reactive.expr.nodes import Const, Field, Func, If
from reactive.expr.operators import Expr
from reactive.expr.types import Type
from reactive.graph.methods.source import definition_of, title_of

_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Expr]] = {
    ast.Add: lambda left, right: left + right,
    ast.Sub: lambda left, right: left - right,
    ast.Mult: lambda left, right: left * right,
    ast.Div: lambda left, right: left / right,
    ast.Mod: lambda left, right: left % right,
    ast.Pow: lambda left, right: left**right,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Expr]] = {
    ast.Eq: lambda left, right: left == right,
    ast.NotEq: lambda left, right: left != right,
    ast.Lt: lambda left, right: left < right,
    ast.LtE: lambda left, right: left <= right,
    ast.Gt: lambda left, right: left > right,
    ast.GtE: lambda left, right: left >= right,
}
_FUNCTIONS: dict[Any, str] = {
    abs: "abs",
    min: "min",
    max: "max",
    round: "round",
    math.ceil: "ceil",
    math.floor: "floor",
    math.sqrt: "sqrt",
    math.exp: "exp",
    math.log: "log",
    math.log10: "log10",
    math.fabs: "abs",
}
_ARGUMENTS_MAX = {"log": 1}
_TEXT_METHODS = {"startswith": "starts_with", "endswith": "ends_with"}
_UNKNOWN: Any = object()


def read_method(
    function: Callable[..., Any], names: Container[str], type_of: Callable[[str], Any]
) -> Expr:
    """Return the expression that a method's body is.

    `names` are the fields and computed values of `self`, `type_of` gives their declared types, None
    where there is none. Raises NotAnExpressionError, which names what cannot be an expression.
    """
    definition = definition_of(function)
    reader = _Reader(function, definition.args.args[0].arg, names, type_of)
    return reader.body(definition.body, {})


class _Reader:
    """Reads one method; `known` holds the expressions of its local variables.

    The methods named after classes of `ast` in small letters read nodes of these classes.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        self_name: str,
        names: Container[str],
        type_of: Callable[[str], Any],
    ) -> None:
        self._function = function
        self._self = self_name
        self._names = names
        self._type_of = type_of

    def _refuse(self, node: ast.AST, why: str) -> NotAnExpressionError:
        text = ast.unparse(node)
        return NotAnExpressionError(f"{title_of(self._function)}: {text!r} {why}")

    # --- statements -------------------------------------------------------------------------------

    def body(self, statements: list[ast.stmt], known: dict[str, Expr]) -> Expr:
        """Read statements up to the return; without one the method returns null."""
        for at, statement in enumerate(statements):
            if isinstance(statement, ast.Return):
                return (
                    Const(None) if statement.value is None else self.value(statement.value, known)
                )
            if isinstance(statement, ast.If):
                rest = statements[at + 1 :]
                condition = self.condition(statement.test, known)
                then = self.body([*statement.body, *rest], dict(known))
                otherwise = self.body([*statement.orelse, *rest], dict(known))
                return self._checked(statement.test, partial(If, condition, then, otherwise))
            if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
                self._assign(statement.targets[0], statement.value, known)
            elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
                self._assign(statement.target, statement.value, known)
            elif not self._says_nothing(statement):
                raise self._refuse(statement, "is not an assignment, if or return")
        return Const(None)

    def _assign(self, target: ast.expr, value: ast.expr, known: dict[str, Expr]) -> None:
        if not isinstance(target, ast.Name):
            raise self._refuse(target, "is not a local variable")
        known[target.id] = self.value(value, known)

    @staticmethod
    def _says_nothing(statement: ast.stmt) -> bool:
        is_docstring = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        return is_docstring or isinstance(statement, ast.Pass)

    # --- expressions ------------------------------------------------------------------------------

    def condition(self, node: ast.expr, known: dict[str, Expr]) -> Expr:
        """Read a condition: only of booleans do Python and SQL agree what is true."""
        read = self.value(node, known)
        if self._type(read) is not Type.BOOL:
            raise self._refuse(
                node, "is used as a condition and not known to be a boolean; compare it"
            )
        return read

    def value(self, node: ast.expr, known: dict[str, Expr]) -> Expr:
        """Read an expression."""
        read: Callable[[Any, dict[str, Expr]], Expr] | None = getattr(
            self, f"_{type(node).__name__.lower()}", None
        )
        if read is None:
            raise self._refuse(node, "has no counterpart in expressions")
        return self._checked(node, lambda: read(node, known))

    def _checked(self, node: ast.AST, build: Callable[[], Expr]) -> Expr:
        try:
            return build()
        except ExpressionError as error:
            raise self._refuse(node, f"cannot be an expression: {error}") from error

    def _type(self, read: Expr) -> Type:
        types_of = {name: self._type_of(name) for name in read.fields()}
        return read.typed(
            {name: given for name, given in types_of.items() if given is not None}
        ).type

    def _constant(self, node: ast.Constant, _: dict[str, Expr]) -> Expr:
        return Const(node.value)

    def _name(self, node: ast.Name, known: dict[str, Expr]) -> Expr:
        if node.id in known:
            return known[node.id]
        return self._fixed(node, self._static(node))

    def _attribute(self, node: ast.Attribute, _: dict[str, Expr]) -> Expr:
        if isinstance(node.value, ast.Name) and node.value.id == self._self:
            if node.attr not in self._names:
                raise self._refuse(node, "is neither a field nor a computed value")
            return Field(node.attr)
        return self._fixed(node, self._static(node))

    def _binop(self, node: ast.BinOp, known: dict[str, Expr]) -> Expr:
        combine = _ARITHMETIC.get(type(node.op))
        if combine is None:
            raise self._refuse(node, "has no counterpart in expressions")
        left, right = self.value(node.left, known), self.value(node.right, known)
        if isinstance(node.op, ast.Add) and Type.STR in (self._type(left), self._type(right)):
            return left.concat(right)
        return combine(left, right)

    def _unaryop(self, node: ast.UnaryOp, known: dict[str, Expr]) -> Expr:
        if isinstance(node.op, ast.Not):
            return ~self.condition(node.operand, known)
        read = self.value(node.operand, known)
        if isinstance(node.op, ast.USub):
            return -read
        if isinstance(node.op, ast.UAdd):
            return read
        raise self._refuse(node, "has no counterpart in expressions")

    def _boolop(self, node: ast.BoolOp, known: dict[str, Expr]) -> Expr:
        read, *others = [self.condition(value, known) for value in node.values]
        for other in others:
            read = read & other if isinstance(node.op, ast.And) else read | other
        return read

    def _ifexp(self, node: ast.IfExp, known: dict[str, Expr]) -> Expr:
        condition = self.condition(node.test, known)
        return If(condition, self.value(node.body, known), self.value(node.orelse, known))

    def _compare(self, node: ast.Compare, known: dict[str, Expr]) -> Expr:
        operands = [node.left, *node.comparators]
        pairs = [
            self._comparison(node, left, op, right, known)
            for left, op, right in zip(operands, node.ops, operands[1:], strict=False)
        ]
        read = pairs[0]
        for pair in pairs[1:]:
            read = read & pair
        return read

    def _comparison(
        self,
        node: ast.Compare,
        left: ast.expr,
        op: ast.cmpop,
        right: ast.expr,
        known: dict[str, Expr],
    ) -> Expr:
        if isinstance(op, (ast.In, ast.NotIn)):
            found = self._membership(node, left, right, known)
            return found if isinstance(op, ast.In) else ~found
        with_none = [
            isinstance(side, ast.Constant) and side.value is None for side in (left, right)
        ]
        if any(with_none) and isinstance(op, (ast.Is, ast.IsNot, ast.Eq, ast.NotEq)):
            null = self.value(left if with_none[1] else right, known).is_null()
            return null if isinstance(op, (ast.Is, ast.Eq)) else ~null
        if type(op) not in _COMPARISONS:
            raise self._refuse(node, "has no counterpart in expressions")
        return _COMPARISONS[type(op)](self.value(left, known), self.value(right, known))

    def _membership(
        self, node: ast.Compare, left: ast.expr, right: ast.expr, known: dict[str, Expr]
    ) -> Expr:
        if isinstance(right, (ast.Tuple, ast.List, ast.Set)):
            constants = [item for item in right.elts if isinstance(item, ast.Constant)]
            if len(constants) < len(right.elts):
                raise self._refuse(node, "looks in a list of other values than constants")
            return self.value(left, known).is_in([constant.value for constant in constants])
        text = self.value(right, known)
        if self._type(text) is not Type.STR:
            raise self._refuse(node, "looks neither in a list of constants nor in text")
        return text.contains(self.value(left, known))

    def _call(self, node: ast.Call, known: dict[str, Expr]) -> Expr:
        if node.keywords or any(isinstance(argument, ast.Starred) for argument in node.args):
            raise self._refuse(node, "has keyword or starred arguments")
        arguments = [self.value(argument, known) for argument in node.args]
        called = self._static(node.func)
        if called is len and len(arguments) == 1 and self._type(arguments[0]) is Type.STR:
            return arguments[0].length()
        name = _FUNCTIONS.get(called) if isinstance(called, _CALLABLE) else None
        if name is not None and len(arguments) <= _ARGUMENTS_MAX.get(name, len(arguments)):
            return Func(name, arguments)
        if (
            isinstance(node.func, ast.Attribute)
            and node.func.attr in _TEXT_METHODS
            and len(arguments) == 1
        ):
            text = self.value(node.func.value, known)
            if self._type(text) is Type.STR:
                method = getattr(text, _TEXT_METHODS[node.func.attr])
                return method(arguments[0])  # type: ignore[no-any-return]
        raise self._refuse(node, "calls a function that expressions do not have")

    # --- names from outside -----------------------------------------------------------------------

    def _static(self, node: ast.expr) -> Any:
        """Return what a name means outside the method, as far as that is fixed."""
        if isinstance(node, ast.Name):
            scope = inspect.getclosurevars(self._function)
            for names in (scope.nonlocals, scope.globals, scope.builtins):
                if node.id in names:
                    return names[node.id]
        elif isinstance(node, ast.Attribute):
            owner = self._static(node.value)
            if isinstance(owner, types.ModuleType):
                return getattr(owner, node.attr, _UNKNOWN)
        return _UNKNOWN

    def _fixed(self, node: ast.expr, value: Any) -> Expr:
        """Read a constant of a module by its name in capitals, or raise."""
        name = node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")
        if (name.isupper() or value is math.pi or value is math.e) and isinstance(
            value, (bool, int, float, str)
        ):
            return Const(value)
        raise self._refuse(
            node, "is not a field, computed value, local variable or constant IN CAPITALS"
        )


_CALLABLE = (types.BuiltinFunctionType, types.FunctionType, type)
