"""MemoryEngine: workflows without a database, for unit tests.

with MemoryEngine() as engine:
    handle = engine.workflow(settle, "order-1")
    engine.advance(3_600)              # whoever sleeps an hour wakes up now
    assert handle.get_result(timeout=5) == "settled"
"""

from __future__ import annotations

from workflow.durable import DurableEngine
from workflow.memory import MemoryBackend
from workflow.options import checked_seconds


class MemoryEngine(DurableEngine):
    """An engine whose memory is its database: it checkpoints, replays and checks as others do.

    `destroy()` and `launch()` act like a crash and a restart: what ran goes on after its last
    step. `advance` moves its clock, for sleeps, timeouts, delays, limits and schedules.
    """

    def __init__(self) -> None:
        self._memory = MemoryBackend()
        super().__init__(self._memory)

    def advance(self, duration: float) -> None:
        """Move this engine's clock forward by so many seconds.

        Before that, workflows do what they can without it: until each of them sleeps, or waits for
        a message or another workflow; but five seconds at the most. Schedules start their workflows
        at each of their times on the way, up to a thousand of them.
        """
        self._memory.advance(checked_seconds(duration, "seconds"))
