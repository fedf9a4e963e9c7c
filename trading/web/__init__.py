"""The desk's page: files for the browser, which the API serves."""

from __future__ import annotations

from pathlib import Path

__all__ = ["static_folder"]


def static_folder() -> Path:
    """Return the folder of the page's files."""
    return Path(__file__).parent / "static"
