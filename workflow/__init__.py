"""Durable workflows from plain functions; the engine underneath is not seen.

def settle(order_id):
    payment = engine.step(pay, order_id, undo=refund)   # kept: it never runs again
    engine.sleep(3_600)                                 # goes on after a restart
    return engine.step(book, order_id, payment)

handle = engine.options(workflow_id=f"settle-{order_id}").workflow(settle, order_id)
"""

from workflow.context import current_engine, current_workflow_id
from workflow.engine import (
    WorkflowEngine,
    WorkflowHandle,
    WorkflowInfo,
    WorkflowSource,
    WorkflowStatus,
)
from workflow.errors import (
    CompensationFailed,
    EngineNotRunning,
    EngineUnavailable,
    FunctionNotFound,
    InsideStep,
    NonDeterministic,
    NotInWorkflow,
    NotRecoverable,
    NotSupported,
    OpaqueError,
    OptionError,
    QueueNotFound,
    ResultTimeout,
    SerializationError,
    StepTimeout,
    WorkflowCancelled,
    WorkflowError,
    WorkflowFinished,
    WorkflowIdInUse,
    WorkflowNotFound,
)
from workflow.memory_engine import MemoryEngine
from workflow.options import Cron, RateLimit, Retry

__all__ = [
    "CompensationFailed",
    "Cron",
    "EngineNotRunning",
    "EngineUnavailable",
    "FunctionNotFound",
    "InsideStep",
    "MemoryEngine",
    "NonDeterministic",
    "NotInWorkflow",
    "NotRecoverable",
    "NotSupported",
    "OpaqueError",
    "OptionError",
    "QueueNotFound",
    "RateLimit",
    "ResultTimeout",
    "Retry",
    "SerializationError",
    "StepTimeout",
    "WorkflowCancelled",
    "WorkflowEngine",
    "WorkflowError",
    "WorkflowFinished",
    "WorkflowHandle",
    "WorkflowIdInUse",
    "WorkflowInfo",
    "WorkflowNotFound",
    "WorkflowSource",
    "WorkflowStatus",
    "current_engine",
    "current_workflow_id",
]
