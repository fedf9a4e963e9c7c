"""Folders that look like the home of a JDK or a JRE."""

from __future__ import annotations

from pathlib import Path


def make_home(path: Path, version: str | None = "17.0.15", *, compiler: bool = True) -> Path:
    (path / "bin").mkdir(parents=True)
    (path / "bin" / "java").touch()
    if compiler:
        (path / "bin" / "javac").touch()
    if version:
        (path / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\n')
    return path
