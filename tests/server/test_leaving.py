"""The ways out of a process with a JVM in it: each of them comes to its end."""

from __future__ import annotations

import sys

from tests.processes import Process

# The signal comes at one line of the wait after the other.
AT_ANY_LINE = """
import faulthandler, signal, sys
from server.app import stop_on_signals
from server.trading_server import wait_for_wish

faulthandler.dump_traceback_later(30, exit=True)
came = 0
for place in range(1, 80):
    wish, lines = stop_on_signals(at_prompt=False), 0

    def trace(frame, event, argument):
        global lines, came
        lines += 1
        if lines == place:
            came += 1
            signal.raise_signal(signal.SIGTERM)
        return trace

    sys.settrace(trace)
    wait_for_wish(wish, 0.01)
    sys.settrace(None)
print("came", came, "times")
"""


def test_a_signal_may_come_at_any_line_of_the_wait_for_it() -> None:
    process = Process(sys.executable, "-c", AT_ANY_LINE)
    assert process.wait(60) == 0, process.output
    assert int(process.output.split()[1]) >= 5
