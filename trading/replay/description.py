"""What a run is made of, as whoever started it said: kept so that it can be made again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import msgspec

from store.base import Storable
from store.client import StoreClient
from store.errors import VersionConflict
from trading.decoding import json_decoder

__all__ = ["Description", "RunDescription", "describe_run", "described_run"]


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """Strategy by where its code is, its parameters, the simulated fills, and the picker.

    An empty `fill` is a run whose orders go to a venue.
    """

    strategy: str = ""
    parameters: dict[str, str] = {}
    fill: str = ""
    commission: str = ""
    max_open: int = 3


@dataclass
class RunDescription(Storable):
    """A run's description as JSON; each time that the run is started with another is a version."""

    account: str = ""
    run: str = ""
    recipe_json: str = ""
    timestamp: datetime | None = None


def describe_run(store: StoreClient, account: str, run: str, description: Description) -> None:
    """Keep what a run is made of; nothing is written where that is known already."""
    strategy = description.strategy
    file, _, name = strategy.rpartition(":") if ":" in strategy else (strategy, "", "")
    if file.endswith(".py"):
        whole = str(Path(file).resolve()) + (f":{name}" if name else "")
        description = msgspec.structs.replace(description, strategy=whole)
    text = msgspec.json.encode(description).decode()
    known = store.query(RunDescription, {"account": account, "run": run})
    now = datetime.now(timezone.utc)
    if not known:
        store.write(RunDescription(account, run, text, now))
        return
    [found, *_] = known
    if found.recipe_json != text:
        found.recipe_json, found.timestamp = text, now
        try:
            store.update(found)
        except VersionConflict:
            # Another engine of the run starts just now, and says the same or later what it is.
            return


def described_run(store: StoreClient, account: str, run: str) -> Description:
    """Return what is known of how a run is made; the defaults where nothing is."""
    known = store.query(RunDescription, {"account": account, "run": run})
    if not known:
        return Description()
    return json_decoder(Description).decode(known[0].recipe_json)
