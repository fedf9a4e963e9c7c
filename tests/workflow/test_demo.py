"""The demonstration of the three tiers runs from anywhere, tells its story, and leaves nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.processes import ROOT


def test_the_three_tiers(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "demo_three_tiers.py")],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    headings = [line for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert headings == [
        "1. Tier 1: the action commits with the change of state",
        "2. Tier 1: the action fails, and nothing has happened",
        "3. Tier 2: a hook fails, and the change of state stands",
        "4. Tier 3: a workflow is started, and followed to its end",
        "5. Tier 3: killed between the commit and the start of the workflow",
        "All five went as they should.",
    ]
    assert list(tmp_path.iterdir()) == []
