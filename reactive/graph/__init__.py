"""The reactive graph: tracked objects, values computed from them, groups of them, and effects.

graph = ReactiveGraph()
node_id = graph.track(position)
graph.computed(node_id, "pnl", (Field("current_price") - Field("avg_cost")) * Field("quantity"))
graph.effect(node_id, "pnl", lambda name, value: print(name, value))
graph.update(node_id, "current_price", 235.0)
"""

from reactive.graph.effects.effect import Effect, NodeEffect
from reactive.graph.effects.watch import Watch
from reactive.graph.explain import Explanation
from reactive.graph.methods.computed import ComputedMethod, computed, effect
from reactive.graph.reactive_graph import ReactiveGraph

__all__ = [
    "ComputedMethod",
    "Effect",
    "Explanation",
    "NodeEffect",
    "ReactiveGraph",
    "Watch",
    "computed",
    "effect",
]

# Pickles name the module of a class. They say this one, so that files can move freely.
Explanation.__module__ = __name__
