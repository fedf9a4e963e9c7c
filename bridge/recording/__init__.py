"""Rows of Deephaven tables written to the store: what was calculated there, made durable."""

from bridge.recording.recorder import Recording, record
from bridge.recording.status import RecordingState, RecordingStatus

__all__ = ["Recording", "RecordingState", "RecordingStatus", "record"]
