"""What a symbol may look like: the catalog's rule, which the market server and its clients share.

require_symbols(["BRK.B", "EUR/USD"])
is_symbol("aapl")                        # False
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from store.columns import REGISTRY
from trading.errors import SymbolError

__all__ = ["ALLOWED", "MAX_LENGTH", "is_symbol", "require_symbols"]

_COLUMN = REGISTRY.get("symbol")
_PATTERN = re.compile(_COLUMN.pattern or "")
MAX_LENGTH = _COLUMN.max_length or 0
ALLOWED = f"1 to {MAX_LENGTH} capitals, digits and . / = ^ : & | _ + * $ @ # ! -"


def is_symbol(text: object) -> bool:
    """Tell whether something is a symbol, such as BRK.B, ^GSPC, ES=F or BTC/USDT:USDT."""
    return (
        isinstance(text, str) and len(text) <= MAX_LENGTH and _PATTERN.fullmatch(text) is not None
    )


def require_symbols(texts: Iterable[object]) -> None:
    """SymbolError for the first of them that is no symbol."""
    for text in texts:
        if not is_symbol(text):
            raise SymbolError(f"{text!r:.100} is no symbol; allowed are {ALLOWED}")
