"""The commands of the runbooks, typed in their order in an empty directory."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import ROOT, Process, free_port
from tests.trading.api.running import ACCOUNTS, START_SECONDS

PAGE = ROOT / "docs" / "runbooks.md"


def commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    return [line.strip() for block in blocks for line in block.splitlines() if line.strip()]


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="runbooks-"))
    (made / "accounts.json").write_text(json.dumps(ACCOUNTS))
    # Paths of the project are written as from its directory.
    (made / "trading").symlink_to(ROOT / "trading")
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.mark.long
def test_the_commands_of_the_runbooks_run(folder: Path) -> None:
    port = str(free_port())
    prometheus = Path(sys.prefix) / "prometheus"
    env = {
        "PYTHONPATH": str(ROOT),
        "PATH": f"{Path(sys.executable).parent}:{prometheus}:{os.environ['PATH']}",
    }
    ran = []
    desk: Process | None = None
    try:
        for line in commands():
            words = shlex.split(line.replace(":8000/", f":{port}/"))
            if words[:4] == ["python", "-m", "trading", "desk"]:
                if desk is not None:
                    assert desk.end(signal.SIGTERM, 90) == 0, desk.output
                # It stops by itself in the page; here the next commands look at it.
                kept = words[: words.index("--seconds")]
                command = [sys.executable, *kept[1:], "--port", port]
                desk = Process(*command, cwd=folder, env=env)
                desk.wait_for_output("Ready", START_SECONDS)
            else:
                if words[0] == "python":
                    words[0] = sys.executable
                told = subprocess.run(
                    words,
                    cwd=folder,
                    env={**os.environ, **env},
                    capture_output=True,
                    text=True,
                    check=False,
                    timeout=300,
                )
                assert told.returncode == 0, (line, told.stdout, told.stderr)
            ran.append(words[0])
        assert desk is not None
        assert desk.end(signal.SIGTERM, 90) == 0, desk.output
    finally:
        if desk is not None and desk.child.poll() is None:
            desk.end(signal.SIGKILL)
    assert len(ran) == 6
