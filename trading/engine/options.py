"""How an engine works: sizes of groups, times, and how often a snapshot is kept."""

from __future__ import annotations

from dataclasses import dataclass

from trading.errors import EngineError

__all__ = ["EngineOptions"]


@dataclass(frozen=True)
class EngineOptions:
    """Seconds unless said otherwise.

    `group_size` is how many events a transaction takes at most; what comes while one is committed
    is the next group, and nothing waits for more to come. `lease_s` is after how long another
    engine takes over from one that died. `reconcile_s` is how long a difference to the broker may
    be one of messages on their way. A snapshot is kept after `snapshot_inputs` inputs or
    `snapshot_s`, and at the stop. `readers` are users of the store who may read the records.
    """

    group_size: int = 400
    lease_s: float = 2.0
    reconcile_s: float = 5.0
    snapshot_inputs: int = 30_000
    snapshot_s: float = 300.0
    answer_s: float = 30.0
    readers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, least in (
            ("group_size", 1),
            ("lease_s", 0.5),
            ("reconcile_s", 0.0),
            ("snapshot_inputs", 1),
            ("snapshot_s", 1.0),
            ("answer_s", 0.1),
        ):
            value = getattr(self, name)
            if not value >= least:
                raise EngineError(f"{name}: expected {least} or more, seen {value!r}")
