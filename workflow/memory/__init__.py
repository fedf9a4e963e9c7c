"""Workflows in memory: the backend of `MemoryEngine`, for unit tests.

backend = MemoryBackend()
engine = DurableEngine(backend).launch()
backend.advance(3_600)
"""

from workflow.memory.backend import MemoryBackend

__all__ = ["MemoryBackend"]
