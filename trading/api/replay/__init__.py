"""Replay sessions and explanations for the API, carried out in a process of their own.

`Replays` is the API's end of it; `trading.api.replay.process` is what runs there.
"""

from trading.api.replay.link import Replays

__all__ = ["Replays"]
