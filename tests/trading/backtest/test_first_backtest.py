"""The commands of the page "First backtest" run as they stand."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.processes import ROOT

PAGE = ROOT / "docs" / "first_backtest.md"
BLOCKS = re.findall(r"^( *)```bash\n(.*?)^ *```", PAGE.read_text("utf-8"), re.S | re.M)


@pytest.mark.timeout(600)
def test_every_command_of_the_page_runs_in_its_order(tmp_path: Path) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    # The link alone would not find the packages of a virtual environment.
    python.unlink()
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    assert len(BLOCKS) == 6
    told = ""
    for indent, block in BLOCKS:
        script = textwrap.dedent(indent + block if indent else block)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        told += done.stdout
    assert "lookahead: clean" in told
    assert "warmup: clean" in told
    assert "deflated Sharpe" in told
    assert told.count("digest ") == 2
    matches = pq.read_table(tmp_path / "run" / "matches.parquet")
    assert len(matches) > 20
    summary = json.loads((tmp_path / "run" / "summary.json").read_text("utf-8"))
    assert summary["matches"] == len(matches)
    # The equity at the end is the cash of the matches: it ends flat, or close to it.
    assert len((tmp_path / "sweep.jsonl").read_text("utf-8").splitlines()) == 6
