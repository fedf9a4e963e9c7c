"""API and page as a process of a desk, as the supervisor starts it."""

from __future__ import annotations

from pathlib import Path

from trading.api import ApiServer, ApiSettings
from trading.processes.config import DeskConfig, instruments_of

__all__ = ["api_settings", "run"]


def api_settings(config: DeskConfig) -> ApiSettings:
    """Return what a desk's API is told."""
    static = Path(__file__).parent.parent / "web" / "static"
    return ApiSettings(
        store=config.store,
        engine=config.ports["engine"],
        market=config.ports["market"],
        link_key=config.link_key,
        hosts=config.hosts,
        one_time=config.one_time_file,
        metrics_token=config.metrics_token,
        state_file=config.state_file,
        static=static if static.is_dir() else None,
        instruments=tuple(instruments_of(config)),
        calendar=config.calendar,
        bar_source="replay" if config.replay else "simulated",
    )


def run(config: DeskConfig) -> int:
    """Run the API and the page."""
    ApiServer(api_settings(config), host=config.api_host, port=config.ports["api"]).run()
    return 0
