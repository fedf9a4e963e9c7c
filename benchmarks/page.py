"""How large the page's scripts are: what shows the page, and what is loaded later.

    python benchmarks/page.py

The bound is 300 kB, uncompressed, for what the browser loads before the page is used: `main.js` and
all modules that it imports, the chart library among them. Parts that a person opens (replay,
limits, two times, options, why, help) are loaded then, and are printed by themselves. The rival is
the chart library alone.
"""

from __future__ import annotations

import gzip
import re
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)

from trading.web import static_folder  # noqa: E402

BOUND = 300_000
_IMPORT = re.compile(r'^(?:import|\} from)\b[^"]*"([^"]+)"', re.MULTILINE)


def loaded(folder: Path) -> list[Path]:
    """Return the scripts that the browser loads to show the page, the first one first."""
    page = (folder / "index.html").read_text()
    waiting = [folder / name for name in re.findall(r'<script[^>]+src="([^"]+)"', page)]
    found: list[Path] = []
    while waiting:
        path = waiting.pop(0).resolve()
        if path not in found:
            found.append(path)
            if path.suffix == ".js":
                waiting += [path.parent / name for name in _IMPORT.findall(path.read_text())]
    return found


def _print(title: str, paths: list[Path]) -> int:
    """Print sizes, and return their sum."""
    for path in paths:
        print(f"{path.stat().st_size:>9,}  {path.name}")
    sent = sum(path.stat().st_size for path in paths)
    packed = sum(len(gzip.compress(path.read_bytes())) for path in paths)
    print(f"{sent:>9,}  {title}, {packed:,} compressed\n")
    return sent


def main() -> None:
    """Print the sizes."""
    folder = static_folder().resolve()
    scripts = sorted([*folder.rglob("*.js"), *folder.rglob("*.mjs")])
    first = loaded(folder)
    sent = _print("to show the page", sorted(first))
    later = _print("when their part is opened", [each for each in scripts if each not in first])
    chart = (folder / "vendor" / "lightweight-charts.mjs").stat().st_size
    print(f"{chart:>9,}  the chart library alone")
    print(f"{sent + later:>9,}  everything")
    print(f"{BOUND:>9,}  is the bound of what shows the page: {_verdict(sent)}")


def _verdict(sent: int) -> str:
    return "kept" if sent < BOUND else "broken"


if __name__ == "__main__":
    main()
