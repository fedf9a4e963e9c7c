"""What a symbol may look like: one rule for all markets, the same as in the store's catalog."""

from __future__ import annotations

import re

# The store's column "symbol" and the clients have the same; a test compares them. A symbol that
# passes can stand in a formula of the engine, in a link and in a file's name but for its slashes.
PATTERN = r"^[A-Z0-9./=^:&|_+*$@#!-]+$"
MAX_LENGTH = 40
ALLOWED = f"1 to {MAX_LENGTH} capitals, digits and . / = ^ : & | _ + * $ @ # ! -"
_SYMBOL = re.compile(PATTERN)


def is_symbol(text: str) -> bool:
    """Tell whether a text is a symbol, such as AAPL, BRK.B, EUR/USD, ^GSPC or ES=F."""
    # `$` would let a line break pass at the end.
    return len(text) <= MAX_LENGTH and _SYMBOL.fullmatch(text) is not None
