"""How each process of a desk is run, by its name."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

from trading.api import ApiServer, ApiSettings
from trading.exchange.matching.inputs import ExchangeSettings
from trading.exchange.serving import listed, read_accounts, serve
from trading.monitoring.engine_figures import EngineFigures
from trading.monitoring.market_figures import MarketFigures
from trading.monitoring.serving import FiguresServer
from trading.monitoring.webhook import Webhook
from trading.processes.accounts import instruments_of
from trading.processes.config import DeskConfig
from trading.processes.engine import EngineProcess
from trading.processes.market import MarketProcess

__all__ = ["RUNNERS", "api_settings"]

_MAKER_LEVELS = 5


def run_market(config: DeskConfig) -> int:
    """Run the market's process."""
    process = MarketProcess(config)
    signal.signal(signal.SIGTERM, lambda *_: process.stop())
    with FiguresServer(
        config.ports["market_metrics"], config.metrics_token, MarketFigures(process)
    ):
        process.run()
    return 1 if process.problem else 0


def run_engine(config: DeskConfig) -> int:
    """Run the engine's process."""
    webhook = Webhook(config.webhook) if config.webhook else None
    figures = EngineFigures(webhook)
    process = EngineProcess(config, figures.take)
    signal.signal(signal.SIGTERM, lambda *_: process.stop())
    figures.follow(process.books)
    with FiguresServer(config.ports["engine_metrics"], config.metrics_token, figures):
        process.run()
    if webhook is not None:
        webhook.close()
    return 0


def run_exchange(config: DeskConfig) -> int:
    """Run a simulated exchange with makers, on which accounts with the broker `exchange` trade."""
    folder = config.folder / "exchange"
    serve(
        folder,
        ExchangeSettings(name="exchange", maker_levels=_MAKER_LEVELS),
        read_accounts(folder / "accounts.json"),
        listed([f"{symbol}={price}" for symbol, price in config.symbols.items()]),
        port=config.ports["exchange"],
    )
    return 0


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


def run_api(config: DeskConfig) -> int:
    """Run the API and the page."""
    ApiServer(api_settings(config), host=config.api_host, port=config.ports["api"]).run()
    return 0


RUNNERS: dict[str, Callable[[DeskConfig], int]] = {
    "market": run_market,
    "exchange": run_exchange,
    "engine": run_engine,
    "api": run_api,
}
