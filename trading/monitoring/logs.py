"""Structured logs: a JSON object a line, with the run and order that it is about."""

from __future__ import annotations

import logging
import sys
import traceback
from datetime import datetime, timezone

import msgspec

__all__ = ["FIELDS", "JsonLines", "log_as_json"]

FIELDS = ("account", "run", "order_id", "strategy", "symbol", "code")
"""What a record may say by `extra=` beside its text."""


class JsonLines(logging.Formatter):
    """Writes records as JSON lines: time, level, process, logger, text, and what is extra."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        moment = datetime.fromtimestamp(record.created, timezone.utc)
        line = {
            "time": f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z",
            "level": record.levelname,
            "process": self._process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name in FIELDS:
            value = getattr(record, name, None)
            if value is not None:
                line[name] = str(value)
        if record.exc_info is not None and record.exc_info[1] is not None:
            line["error"] = "".join(traceback.format_exception(*record.exc_info))
        text = {name: value.encode("utf-8", "replace").decode() for name, value in line.items()}
        return msgspec.json.encode(text).decode()


def log_as_json(process: str, level: int = logging.INFO) -> None:
    """Let this process log JSON lines to its standard error output."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(process))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(True)
