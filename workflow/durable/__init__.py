"""The durable engine, over any backend.

engine = DurableEngine(MemoryBackend()).launch()
assert engine.run(sorted, [2, 1]) == [1, 2]
"""

from workflow.durable.engine import DurableEngine

__all__ = ["DurableEngine"]
