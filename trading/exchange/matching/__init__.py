"""The exchange's rules as a function of its inputs: no clock, file, socket or chance.

engine = MatchingEngine(ExchangeSettings())
engine.apply(AddInstrument(time, spec))
outcome = engine.apply(Request(time, SendOrder(...)))
outcome.reports            # [(account, sequence, report), …]
"""

from trading.exchange.matching.engine import MatchingEngine
from trading.exchange.matching.inputs import ExchangeInput, ExchangeSettings
from trading.exchange.matching.state import ExchangeState, Outcome

__all__ = ["ExchangeInput", "ExchangeSettings", "ExchangeState", "MatchingEngine", "Outcome"]
