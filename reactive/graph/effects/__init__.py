"""Effects: callbacks that run after an update, once the whole graph is up to date.

- `effects.py`: the effects of a graph: attaching, finding and removing them
- `effect.py`: effects on a value, on a node, and on a group by key
- `queue.py`: the order in which they run, and the detection of cycles
- `watch.py`: values as an asynchronous iterator
"""
