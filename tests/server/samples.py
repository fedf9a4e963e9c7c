"""Real prices to replay, and folders that look like a JDK."""

from __future__ import annotations

from pathlib import Path

import bokeh_sampledata

REAL_PRICES = Path(bokeh_sampledata.__file__).parent / "_data" / "stocks.csv.gz"


def make_home(path: Path, version: str | None = "17.0.15", *, compiler: bool = True) -> Path:
    (path / "bin").mkdir(parents=True)
    (path / "bin" / "java").touch()
    if compiler:
        (path / "bin" / "javac").touch()
    if version:
        (path / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\n')
    return path
