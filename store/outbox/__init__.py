"""The outbox: workflows that transitions promised, and those who start them.

outbox = Outbox(client)
started = outbox.drain(engine)   # also what was promised by a process that died
"""

from store.outbox.dispatching import leave, serve
from store.outbox.outbox import (
    Intent,
    NamingEngine,
    OnceStarter,
    Outbox,
    WorkflowStarter,
    pending_intents,
    promise,
    start_errors,
)

__all__ = [
    "Intent",
    "NamingEngine",
    "OnceStarter",
    "Outbox",
    "WorkflowStarter",
    "leave",
    "pending_intents",
    "promise",
    "serve",
    "start_errors",
]
