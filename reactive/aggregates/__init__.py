"""Aggregates of groups, updated by each change of a member alone.

graph.group_computed("total", Position, "value", "sum")
graph.group_computed("price", Position, "price", weighted_mean("quantity"))

An `Aggregate` makes an `Accumulator` for each group; sums are exact (`ExactSum`).
"""

from reactive.aggregates.accumulator import Accumulator
from reactive.aggregates.aggregate import Aggregate, Reduce, aggregate_of, weighted_mean
from reactive.aggregates.exact_sum import ExactSum

__all__ = ["Accumulator", "Aggregate", "ExactSum", "Reduce", "aggregate_of", "weighted_mean"]
