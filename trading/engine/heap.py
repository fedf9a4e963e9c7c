"""The heap of a process that runs an engine."""

from __future__ import annotations

import gc

__all__ = ["freeze_heap"]

_YOUNG = 20_000


def freeze_heap() -> None:
    """Leave what was imported out of garbage collections: each full one would pause for 60 ms.

    The young objects of a group of inputs are looked at once and not twenty times: nearly all of
    them are gone with the group, without the collector.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, 10, 10)
