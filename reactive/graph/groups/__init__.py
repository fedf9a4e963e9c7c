"""Groups: aggregates over many nodes or over other groups, and functions of the whole graph.

- `groups.py`: the groups of a graph by name
- `group.py`, `keyed_group.py`: one aggregate over members; one for each value of a key
- `membership.py`: what a group reads of a node, and membership by condition or key
- `definition.py`: a group as it was defined, and which nodes join by their class
- `graph_function.py`: a value computed by a function of the whole graph
- `derived_value.py`: what all of these are: values that observe others and are observed
"""
