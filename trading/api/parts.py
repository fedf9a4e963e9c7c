"""What the routes of an API stand on."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from trading.api.engine_link import EngineLink
from trading.api.instruments import Instruments
from trading.api.market_hub import MarketHub
from trading.api.replay import Replays
from trading.api.sessions import Sessions
from trading.api.settings import ApiSettings
from trading.api.sockets import Sockets
from trading.api.user_feed import UserFeeds

__all__ = ["Parts"]


@dataclass(frozen=True)
class Parts:
    """One of each for an application; `app.state.parts` has them."""

    settings: ApiSettings
    sessions: Sessions
    engine: EngineLink
    market: MarketHub
    feeds: UserFeeds
    sockets: Sockets
    instruments: Instruments
    registry: CollectorRegistry
    replays: Replays
