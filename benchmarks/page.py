"""How large the page's scripts are, as they are sent, and compressed.

    python benchmarks/page.py

The bound is 300 kB for everything that the browser runs; the rival is the chart library alone.
"""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)

from trading.web import static_folder  # noqa: E402

BOUND = 300_000


def main() -> None:
    """Print the sizes."""
    folder = static_folder()
    scripts = sorted([*folder.rglob("*.js"), *folder.rglob("*.mjs")])
    for path in scripts:
        print(f"{path.stat().st_size:>9,}  {path.relative_to(folder)}")
    sent = sum(path.stat().st_size for path in scripts)
    packed = sum(len(gzip.compress(path.read_bytes())) for path in scripts)
    chart = (folder / "vendor" / "lightweight-charts.mjs").stat().st_size
    print(f"{sent:>9,}  in all ({chart:,} of it the chart library), {packed:,} compressed")
    print(f"{BOUND:>9,}  is the bound: {'kept' if sent < BOUND else 'broken'}")


if __name__ == "__main__":
    main()
