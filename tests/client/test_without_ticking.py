"""Where pydeephaven-ticking has no wheel, as for the newest Python, the clients work without it."""

from __future__ import annotations

import subprocess
import sys

from tests.processes import ROOT

CODE = """
import sys
sys.modules["pydeephaven_ticking"] = None
from client import DeephavenClient, LiveTable
from client.errors import ClientError
assert DeephavenClient
try:
    LiveTable(lambda: None, None, lambda: None).start()
except ClientError as error:
    print(error)
"""


def test_the_clients_load_and_say_what_is_missing() -> None:
    said = subprocess.check_output([sys.executable, "-c", CODE], cwd=ROOT, text=True)
    assert "needs the package pydeephaven-ticking, which exists for Python up to 3.13" in said
    assert said.count("\n") == 1
