"""Workflows in PostgreSQL: the backend of `DBOSEngine`, and all that knows DBOS.

backend = DBOSBackend("postgresql://…", "settlement", takeover_seconds=2.0, retention=None)
engine = DurableEngine(backend).launch()
"""

from workflow.dbos.backend import DBOSBackend

__all__ = ["DBOSBackend"]
