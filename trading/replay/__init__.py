"""Runs again: verify a journal, compare with other parameters, play sessions, explain, audit.

recorded = read_run(store, "ACC", "paper:demo")
recipe = recipe_of(recorded, strategies=[SmaCross()], broker=PaperBroker("tick"))
assert verify_run(recorded, recipe, store)
"""

from trading.replay.run_journal import RecordedRun, read_run, recipe_of, run_names
from trading.replay.verifying import Verification, verify_run
from trading.replay.what_if import Comparison, what_if

__all__ = [
    "Comparison",
    "RecordedRun",
    "Verification",
    "read_run",
    "recipe_of",
    "run_names",
    "verify_run",
    "what_if",
]
