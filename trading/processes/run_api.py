"""API and page as a process of a desk, as the supervisor starts it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from trading.api import ApiServer, ApiSettings
from trading.api.settings import RunSettings, RunStrategy
from trading.processes.config import (
    NO_CAP,
    AccountConfig,
    DeskConfig,
    instruments_of,
    twin_run,
)

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
        timeframes=config.timeframes,
        runs=tuple(run for account in config.accounts for run in _runs(account)),
    )


def _runs(account: AccountConfig) -> list[RunSettings]:
    """An account's own run, and that of its twins."""
    strategies = tuple(
        RunStrategy(each.where, each.parameters, each.symbols, each.timeframes)
        for each in account.strategies
    )
    own = RunSettings(
        account.account,
        account.run,
        account.members,
        strategies,
        account.max_open,
        is_paper=account.broker == "paper",
        others=tuple(sorted(account.all_duties().keys() - account.members.keys())),
    )
    if not account.twins or not strategies:
        return [own]
    twin = replace(own, run=twin_run(account), max_open=NO_CAP, is_paper=True, is_own=False)
    return [own, twin]


def run(config: DeskConfig) -> int:
    """Run the API and the page."""
    ApiServer(api_settings(config), host=config.api_host, port=config.ports["api"]).run()
    return 0
