"""Start the server: `python3 -i server/app.py` for a prompt, `python3 server/app.py` for a service.

At the prompt the published tables are variables: `prices_live`, `risk_live`, and so on. Ctrl-C
or SIGTERM stops the service with status 0; a server that cannot start ends with status 1.
"""

from __future__ import annotations

import atexit
import logging
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

if __name__ == "__main__":
    # Started as a script: Python put this folder first, where our modules hide the package. At the
    # prompt they are still found by their bare names, after everything else.
    _here = Path(__file__).resolve().parent
    sys.path[0] = str(_here.parent)
    sys.path.append(str(_here))

from server.errors import ServerError
from server.options import parse_options
from server.shutdown import StopRequest, exit_now, exit_with, wait_for_stop
from server.trading_server import TradingServer


def start(arguments: list[str]) -> TradingServer:
    """Start the server and greet, or end the process with one line that says why not."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    options = parse_options(arguments)
    at_prompt = bool(sys.flags.interactive)
    # Until the server stands there is nothing to stop but the process.
    signal.signal(signal.SIGTERM, lambda *_: exit_now(0))
    if not at_prompt:
        signal.signal(signal.SIGINT, lambda *_: exit_now(0))
    try:
        server = TradingServer(options)
    except ServerError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        exit_now(1)
    except Exception:  # noqa: BLE001 - the JVM may be up already, see exit_with
        traceback.print_exc()
        exit_now(1)
    atexit.register(_exit_prompt, server)
    print(server.greeting(), flush=True)  # noqa: T201
    if at_prompt:
        print("  exit() or Ctrl-D stops the server.", flush=True)  # noqa: T201
    return server


def stop_on_signals(*, at_prompt: bool) -> StopRequest:
    """Catch SIGTERM, and Ctrl-C where no prompt uses it; return the request that they make."""
    request = StopRequest()

    def on_signal(_number: int, _frame: Any) -> None:
        request.set()
        if at_prompt:
            raise SystemExit(0)

    signal.signal(signal.SIGTERM, on_signal)
    if not at_prompt:
        signal.signal(signal.SIGINT, on_signal)
    return request


def _exit_prompt(server: TradingServer) -> None:
    exit_with(lambda: _stop(server))


def serve(server: TradingServer, stop_request: StopRequest) -> NoReturn:
    """Stay up until a signal asks to stop; needs no terminal."""
    wait_for_stop(stop_request)
    exit_with(lambda: _stop(server))


def _stop(server: TradingServer) -> int:
    server.stop()
    return 0


if __name__ == "__main__":
    server = start(sys.argv[1:])
    prices_raw = server.tables.prices_raw
    prices_live = server.tables.prices_live
    risk_raw = server.tables.risk_raw
    risk_live = server.tables.risk_live
    portfolio_summary = server.tables.portfolio_summary
    top_movers = server.tables.top_movers
    volume_leaders = server.tables.volume_leaders
    feed_status = server.tables.feed_status
    dashboard = server.dashboard
    stop_request = stop_on_signals(at_prompt=bool(sys.flags.interactive))
    if not sys.flags.interactive:
        serve(server, stop_request)
