"""Where earlier versions had a class that their running workflows hold pickled."""

from __future__ import annotations

from workflow.durable.calls import Unpicklable as Unkept

__all__ = ["Unkept"]
