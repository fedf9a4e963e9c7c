"""Stands for the package where Python looks for modules in this very folder.

Who works inside of `server/` imports its modules by their bare names, and these import `server.…`,
which Python then finds here and not as the folder that it is in.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

if __name__ == "server":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    del sys.modules[__name__]
    importlib.import_module(__name__)
