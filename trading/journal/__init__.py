"""The journal's types: what the kernel is told, what it says, and their canonical bytes.

encode(Clock(1_700_000_000_000_000_000))
decode_input(data)
"""

from trading.journal.codec import decode_input, decode_output, encode
from trading.journal.digest import DigestState
from trading.journal.inputs import Input
from trading.journal.outputs import Effect, Output
from trading.journal.reports import BrokerReport

__all__ = [
    "BrokerReport",
    "DigestState",
    "Effect",
    "Input",
    "Output",
    "decode_input",
    "decode_output",
    "encode",
]
