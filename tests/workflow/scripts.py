"""Programs that use the engine, run as processes of their own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path


def script(tmp_path: Path, text: str, name: str = "script.py") -> Path:
    path = tmp_path / name
    path.write_text(textwrap.dedent(text))
    return path


def run(path: Path, *arguments: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    root = str(Path(__file__).resolve().parent.parent.parent)
    return subprocess.run(
        [sys.executable, str(path), *arguments],
        env={"PYTHONPATH": root, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
