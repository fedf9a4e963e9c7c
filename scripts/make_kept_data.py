"""Makes `tests/kept/data` anew, with the packages of an earlier version.

    python scripts/make_kept_data.py REVISION

What the version of REVISION has stored, the tests of `tests/kept` read with the present one. The
classes and workflows are those of `tests/kept/desk.py` of today, which both versions import.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "tests" / "kept" / "data"
SECONDS = 600


def main(arguments: list[str]) -> int:
    """Make the data; return the exit status."""
    if len(arguments) != 1:
        print(f"expected one revision, such as 4ea4778, got {arguments}", file=sys.stderr)
        return 2
    archive = subprocess.run(
        ["git", "archive", arguments[0]], cwd=ROOT, capture_output=True, check=True
    ).stdout
    with tempfile.TemporaryDirectory(prefix="earlier-version-") as folder:
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(folder, filter="data")
        shutil.copytree(ROOT / "tests" / "kept", Path(folder) / "tests" / "kept")
        command = [sys.executable, "-m", "tests.kept.make", str(DATA)]
        return subprocess.run(command, cwd=folder, check=False, timeout=SECONDS).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
