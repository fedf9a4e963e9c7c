"""What can go wrong with workflows, under one root; every error survives pickle."""

from __future__ import annotations


class WorkflowError(Exception):
    """Root of all errors of this package."""


class EngineNotRunning(WorkflowError, RuntimeError):
    """An engine is used before `launch()` or after `destroy()`."""


class EngineUnavailable(WorkflowError, ConnectionError):
    """The engine's database cannot be reached or used."""

    # Nothing is wrong with what was asked: a step that meets it is run again.
    is_transient = True


class NotSupported(WorkflowError, NotImplementedError):
    """This engine does not offer what it is asked for."""


class OptionError(WorkflowError, ValueError):
    """An option has a value that it cannot have, or does not go with what it is given to."""


class SerializationError(WorkflowError, TypeError):
    """An argument, a result or a message cannot be pickled, or not be loaded again."""


class FunctionNotFound(WorkflowError, LookupError):
    """A function cannot be found again by its name, so no other process could run it."""


class NotRecoverable(WorkflowError):
    """A workflow was interrupted, and no process can ever continue it."""


class NotInWorkflow(WorkflowError, RuntimeError):
    """Something that only a workflow can do is asked for outside of one."""


class InsideStep(WorkflowError, RuntimeError):
    """Something that only the workflow's own body can do is asked for inside a step."""


class NonDeterministic(WorkflowError):
    """A workflow that is run again does other steps than it did before; it waits for its code."""


class QueueNotFound(WorkflowError, LookupError):
    """No queue has this name, in an engine that does not make one at its first use."""


class WorkflowNotFound(WorkflowError, LookupError):
    """No workflow has this id."""


class WorkflowFinished(WorkflowError, ValueError):
    """A workflow has ended already."""


class WorkflowCancelled(WorkflowError):
    """The result of a workflow that was cancelled, or ran out of time, is asked for."""


class WorkflowIdInUse(WorkflowError, ValueError):
    """The id belongs to a workflow of another function."""


class ResultTimeout(WorkflowError, TimeoutError):
    """A workflow did not end within the time that the caller gave."""


class StepTimeout(WorkflowError, TimeoutError):
    """A step took longer than its timeout."""


class OpaqueError(WorkflowError):
    """Stands for an exception that cannot be kept; keeps its type, text and traceback as text.

    That is one that does not survive pickle, or would end more than the workflow as `SystemExit`
    does. `type_name` is `module.QualName`.
    """

    def __init__(self, type_name: str, message: str, trace: str) -> None:
        super().__init__(type_name, message, trace)
        self.type_name = type_name
        self.message = message
        self.trace = trace

    def __str__(self) -> str:
        return f"{self.type_name}: {self.message} (the exception itself cannot be kept)"


class CompensationFailed(WorkflowError):
    """A workflow failed, and so did some of what should have undone its steps.

    `cause` is the workflow's own error, `failures` are the undoing steps' names and errors.
    """

    def __init__(self, cause: Exception, failures: list[tuple[str, Exception]]) -> None:
        super().__init__(cause, failures)
        self.cause = cause
        self.failures = failures

    def __str__(self) -> str:
        undone = "; ".join(f"{name}: {error}" for name, error in self.failures)
        return f"{type(self.cause).__name__}: {self.cause}; and could not be undone: {undone}"
