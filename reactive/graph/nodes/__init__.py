"""Tracked objects: their nodes, the shapes that alike nodes share, and the code made for these.

- `tracked_node.py`: one object in one graph, with its computed values and their observers
- `shape.py`: the computations of a node in the order in which they run; alike nodes share a shape
- `computation.py`: how one computed value is made from fields and other computed values
- `codegen.py`: the generated functions that write a field and recompute what depends on it
- `tracked_class.py`: the fields of a dataclass, and the computations that its objects share
- `assignments.py`: assignments to tracked objects as updates of the graph
"""
