"""How a process that runs an engine shares Python among its threads."""

from __future__ import annotations

import gc
import sys

__all__ = ["TURN_S", "settle_process"]

TURN_S = 0.0005
"""Seconds after which a thread that computes lets another one have Python."""


def settle_process() -> None:
    """Make this process fit for an engine, once everything is imported.

    What was imported stays: to look at it in each full collection is a pause of some 60 ms. And the
    thread that commits a group wants Python back after each call of the system, while another one
    computes the next group: with Python's own 5 ms it waits as long as the commit takes.
    """
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(TURN_S)
