"""The quant's client: watchlist, spreads, top movers, volume leaders.

Run it with `python3 client/quant_client.py`, or from inside `client/`.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from pydeephaven.table import Table

if __name__ == "__main__":
    # Started as a script: Python put this folder first, where our modules hide the package.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from client import desk
from client.base_client import DeephavenClient
from client.desk import View

# As the server and the store's catalog have them (server/market/symbols.py); a test compares them.
SYMBOL_PATTERN = r"^[A-Z0-9./=^:&|_+*$@#!-]+$"
SYMBOL_LENGTH = 40
DEFAULT_WATCHLIST = "AAPL,MSFT,NVDA,TSLA"
OPTIONS_SHOWN = 11
PRICE_FORMATS = {
    "Symbol": "",
    "Price": desk.PRICE,
    "Bid": desk.PRICE,
    "Ask": desk.PRICE,
    "Volume": desk.QUANTITY,
    "Change": desk.SIGNED_PRICE,
    "ChangePct": "+.2f",
}


def views(watchlist: list[str]) -> list[View]:
    """Return the quant's views; the spread in basis points is of the middle of bid and ask."""
    wanted = ", ".join(f"`{symbol}`" for symbol in watchlist)
    return [
        View(
            "quant_watchlist",
            "Watchlist",
            lambda client: _prices(client).where(f"Symbol icase in {wanted}"),
            PRICE_FORMATS,
            may_be_empty=True,
            needs=("prices_live",),
        ),
        View(
            "quant_spreads",
            "Spreads, widest first",
            lambda client: (
                _prices(client)
                .view(
                    [
                        "Symbol",
                        "Bid",
                        "Ask",
                        "Mid = (Bid + Ask) / 2",
                        "Spread = Ask - Bid",
                        "Stale",
                    ]
                )
                .update_view("SpreadBps = 10_000 * Spread / Mid")
                .sort_descending("SpreadBps")
            ),
            {
                "Symbol": "",
                "Bid": desk.PRICE,
                "Ask": desk.PRICE,
                "Mid": desk.PRICE,
                "Spread": desk.PRICE,
                "SpreadBps": ".2f",
            },
            needs=("prices_live",),
        ),
        View(
            "quant_top_movers",
            "Top movers",
            lambda client: client.open_table("top_movers"),
            PRICE_FORMATS,
            needs=("top_movers",),
        ),
        View(
            "quant_volume_leaders",
            "Volume leaders",
            lambda client: client.open_table("volume_leaders"),
            PRICE_FORMATS,
            needs=("volume_leaders",),
        ),
        *_desk_views(wanted),
    ]


def _desk_views(wanted: str) -> list[View]:
    """What a trading desk's server has beside prices: indicators, signals and options."""
    return [
        View(
            "quant_indicators",
            "Indicators of the newest bars",
            lambda client: (
                client.open_table("indicator_latest")
                .where(f"Symbol icase in {wanted}")
                .sort(["Symbol", "Timeframe"])
            ),
            {
                **{"Symbol": "", "Timeframe": "", "Final": ""},
                **dict.fromkeys(("Ema20", "Rsi14", "Atr14"), ",.4f"),
            },
            may_be_empty=True,
            needs=("indicator_latest",),
        ),
        View(
            "quant_signals",
            "Newest signal of each strategy and symbol",
            lambda client: client.open_table("strategy_signal_latest").sort_descending(
                "LastUpdated"
            ),
            {
                **{"StrategyId": "", "Symbol": "", "Action": "", "Run": "", "Reason": ""},
                **{"Confidence": ".2f", "LastUpdated": "%H:%M:%S %Z"},
            },
            may_be_empty=True,
            needs=("strategy_signal_latest",),
        ),
        View(
            "quant_options",
            "Options of the nearest expiry",
            lambda client: client.open_table("option_ladder").head_by(
                OPTIONS_SHOWN, ["Underlying"]
            ),
            {
                **{"Underlying": "", "Expiry": "%Y-%m-%d", "CallDelta": "+.3f"},
                **{"CallImpliedVol": ".3f", "CallBid": desk.PRICE, "CallAsk": desk.PRICE},
                **{"Strike": desk.QUANTITY, "PutBid": desk.PRICE, "PutAsk": desk.PRICE},
                **{"PutImpliedVol": ".3f", "PutDelta": "+.3f"},
            },
            may_be_empty=True,
            needs=("option_ladder",),
        ),
    ]


def _prices(client: DeephavenClient) -> Table:
    return client.open_table("prices_live")


def symbols(text: str) -> list[str]:
    """Read a comma-separated list of ticker symbols."""
    found = [part.strip().upper() for part in text.split(",") if part.strip()]
    bad = [s for s in found if len(s) > SYMBOL_LENGTH or not re.fullmatch(SYMBOL_PATTERN, s)]
    if bad or not found:
        raise argparse.ArgumentTypeError(f"ticker symbols like AAPL,MSFT are wanted, not {text!r}")
    return found


def main() -> int:
    """Run the client and return its exit status."""
    parser = desk.parser("The quant's view of the market.")
    parser.add_argument(
        "--symbols",
        type=symbols,
        default=DEFAULT_WATCHLIST,
        help="watchlist, comma-separated (default: %(default)s)",
    )
    options = parser.parse_args()
    return desk.run(options, views(options.symbols))


if __name__ == "__main__":
    sys.exit(main())
