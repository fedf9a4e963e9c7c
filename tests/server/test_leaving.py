"""The ways out of a process with a JVM in it: each of them comes to its end."""

from __future__ import annotations

import sys

import pytest

from tests.processes import Process

# The signal comes at one line of the wait after the other.
AT_ANY_LINE = """
import faulthandler, signal, sys
from server.app import stop_on_signals
from server.shutdown import wait_for_stop

faulthandler.dump_traceback_later(30, exit=True)
came = 0
for place in range(1, 80):
    request, lines = stop_on_signals(at_prompt=False), 0

    def trace(frame, event, argument):
        global lines, came
        lines += 1
        if lines == place:
            came += 1
            signal.raise_signal(signal.SIGTERM)
        return trace

    sys.settrace(trace)
    wait_for_stop(request, 0.01)
    sys.settrace(None)
print("came", came, "times")
"""


def test_a_signal_may_come_at_any_line_of_the_wait_for_it() -> None:
    process = Process(sys.executable, "-c", AT_ANY_LINE)
    assert process.wait(60) == 0, process.output
    assert int(process.output.split()[1]) >= 5


# Stands for those of the JVM, for which the interpreter's own way out waits.
ANOTHER_THREAD = "import threading; threading.Thread(target=threading.Event().wait).start()\n"


@pytest.mark.parametrize("script", ["demo_bridge.py", "server/app.py"])
def test_an_error_that_nobody_thought_of_ends_the_process(script: str) -> None:
    process = Process(
        sys.executable,
        "-c",
        f"{ANOTHER_THREAD}import runpy, sys, server.trading_server as module\n"
        "def broken(*_): raise LookupError('of all things')\n"
        "module.TradingServer = broken\n"
        f"sys.argv = [{script!r}]\nrunpy.run_path({script!r}, run_name='__main__')\n",
    )
    assert process.wait(30) == 1
    assert "LookupError: of all things" in process.output


@pytest.mark.parametrize(("ending", "status"), [("KeyboardInterrupt", 1), ("SystemExit(0)", 0)])
def test_an_impatient_second_signal_does_not_keep_the_server_up(ending: str, status: int) -> None:
    process = Process(
        sys.executable,
        "-c",
        f"{ANOTHER_THREAD}from server import app\n"
        "class Server:\n"
        f"    def stop(self): raise {ending}\n"
        "app._exit_prompt(Server())\n",
    )
    assert process.wait(30) == status


def test_a_reader_that_is_gone_does_not_keep_the_server_up() -> None:
    process = Process(
        sys.executable,
        "-c",
        f"{ANOTHER_THREAD}import os, sys\nfrom server.shutdown import exit_now\n"
        "sys.stdout = open(1, 'w', closefd=False)\n"
        "sys.stdout.write('nobody reads this')\nos.close(1)\nexit_now(3)\n",
    )
    assert process.wait(30) == 3
