"""Finds the JDK that the engine runs in; as a script it prints its home, or one line of what to do.

Only the standard library is imported, so that set-up can run this before anything is installed.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

# The engine compiles formulas at run time: it needs the compiler of a JDK, a JRE is not enough.
OLDEST_VERSION = 17
_ADVICE = "install one (Debian: apt-get install openjdk-17-jdk-headless) or set JAVA_HOME to it"


class JdkNotFound(Exception):
    """No usable JDK; the message says in one line what was seen and what to install."""


def find_jdk() -> Path:
    """Return the home of a JDK of version 17 or later.

    JAVA_HOME decides where it is set; else the `javac` on PATH, then the usual places.

    Raises:
        JdkNotFound: there is none, or JAVA_HOME names something else.
    """
    named = os.environ.get("JAVA_HOME")
    if named:
        home = Path(named)
        problem = _problem(home)
        if problem:
            raise JdkNotFound(
                f"JAVA_HOME is {named}, which {problem}; the server needs a JDK of version "
                f"{OLDEST_VERSION} or later: unset JAVA_HOME or point it to one"
            )
        return home
    seen = []
    for home in _candidates():
        problem = _problem(home)
        if not problem:
            return home
        seen.append(f"{home} {problem}")
    found = f"found only: {'; '.join(seen)}" if seen else "none was found"
    raise JdkNotFound(
        f"the server needs a JDK of version {OLDEST_VERSION} or later, {found}; {_ADVICE}"
    )


def _candidates() -> Iterator[Path]:
    compiler = shutil.which("javac")
    if compiler:
        yield Path(compiler).resolve().parent.parent
    for pattern in ("/usr/lib/jvm/*", "/Library/Java/JavaVirtualMachines/*/Contents/Home"):
        yield from sorted(p for p in Path("/").glob(pattern[1:]) if (p / "bin").is_dir())


def _problem(home: Path) -> str | None:
    """Return why the engine cannot run in this home, None if it can."""
    if not (home / "bin" / "java").exists():
        return "has no bin/java"
    if not (home / "bin" / "javac").exists():
        return "is a JRE without a compiler (no bin/javac)"
    try:
        text = (home / "release").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "does not tell its version (no file 'release')"
    match = re.search(r'^JAVA_VERSION="(?:1\.)?(\d+)', text, re.MULTILINE)
    if match is None:
        return "does not tell its version in its file 'release'"
    version = int(match.group(1))
    return None if version >= OLDEST_VERSION else f"is version {version}"


if __name__ == "__main__":
    try:
        print(find_jdk())  # noqa: T201
    except JdkNotFound as error:
        sys.exit(f"error: {error}")
