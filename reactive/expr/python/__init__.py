"""Expressions as Python functions.

on_row = compile_python(Field("price") * Field("quantity"))
assert on_row({"price": 2.5, "quantity": 4}) == 10.0
"""

from reactive.expr.python.compiler import compile_positional, compile_python, python_source

__all__ = ["compile_positional", "compile_python", "python_source"]
