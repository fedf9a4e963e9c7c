"""A test that hangs is a failure: it ends within its limit, and the others still run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.processes import ROOT

HANGS = """
import signal, threading

def test_that_hangs():
    {first}
    threading.Event().wait(60)

def test_after_it():
    pass
"""


def run(folder: Path, first: str, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_hangs.py").write_text(HANGS.format(first=first))
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "--noconftest"]
    return subprocess.run(
        [*command, "-c", str(ROOT / "pyproject.toml"), f"--rootdir={folder}", *options, folder],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        cwd=folder,
    )


def test_a_hang_fails_and_the_next_test_runs(tmp_path: Path) -> None:
    result = run(tmp_path, "pass", "--timeout=1")
    assert result.returncode == 1
    assert "Timeout (>1.0s) from pytest-timeout" in result.stdout
    assert "1 failed, 1 passed" in result.stdout


def test_a_hang_that_no_alarm_interrupts_ends_the_run(tmp_path: Path) -> None:
    block = "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})"
    result = run(tmp_path, block, "--timeout=1", "-o", "faulthandler_timeout=3")
    assert result.returncode == 1
    assert "test_that_hangs" in result.stderr, "it says where"
    assert "passed" not in result.stdout
