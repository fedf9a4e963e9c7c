"""The time zone in which Deephaven's screens show times."""

from __future__ import annotations

import importlib.util
import os
import re
import zipfile
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

_LOCAL_TIME = Path("/etc/localtime")
_DEBIAN_NAME = Path("/etc/timezone")
# What clients of the web are told, in a file of the engine's own.
_LIST = "client.configuration.list"
_DEFAULTS = "dh-defaults.prop"


def checked_zone(name: str) -> str:
    """Return the name of a time zone that is known here.

    Raises:
        ValueError: there is none of that name.
    """
    try:
        ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        raise ValueError(
            f"{name!r} is no time zone; names such as Europe/Berlin, America/New_York or UTC are"
        ) from None
    return name


def machine_zone() -> str:
    """Return the name of this machine's time zone, UTC where it cannot be told."""
    named = os.environ.get("TZ", "").removeprefix(":")
    candidates = [named.partition("zoneinfo/")[2] or named]
    try:
        candidates.append(str(_LOCAL_TIME.resolve()).partition("zoneinfo/")[2])
        candidates.append(_DEBIAN_NAME.read_text(encoding="ascii").strip())
    except (OSError, UnicodeDecodeError):
        # Not every system has them.
        pass
    known = available_timezones()
    found = next((name for name in candidates if name in known), "UTC")
    # The web's own list knows the zone of machines without one by its short name alone.
    return "UTC" if found in ("Etc/UTC", "Etc/UCT", "UCT", "Zulu", "Etc/Zulu") else found


def zone_arguments(zone: str) -> list[str]:
    """Return the arguments of the JVM that let screens show times in a zone, and name it."""
    return [
        f"-DtimeZone={zone}",
        "-DshowTimeZone=true",
        f"-D{_LIST}={','.join([*_told_to_clients(), 'timeZone', 'showTimeZone'])}",
    ]


def _told_to_clients() -> list[str]:
    """Return the settings that the engine tells its clients of by itself."""
    package = importlib.util.find_spec("deephaven_server")
    folders = list(package.submodule_search_locations or ()) if package else []
    for folder in folders:
        for jar in sorted(Path(folder).glob("jars/deephaven-configs-*.jar")):
            with zipfile.ZipFile(jar) as files:
                text = files.read(_DEFAULTS).decode()
            match = re.search(rf"^{re.escape(_LIST)}=(.+)$", text, re.MULTILINE)
            if match:
                return match.group(1).strip().split(",")
    return []
