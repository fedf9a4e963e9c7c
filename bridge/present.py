"""The present states of all classes of a bridge: loaded once, then kept by events and by asking."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bridge.feed import EventRow, Feed
from bridge.grants import Grants
from bridge.live import Timeline
from bridge.snapshot import Segment, Snapshot, read_entities
from store.events import ChangeEvent
from store.position import Position

ENTITIES_AT_ONCE = 1_000


class PresentStates:
    """Knows which events are present states, and asks the store where they do not say."""

    def __init__(self, feeds: Mapping[str, Feed]) -> None:
        self._feeds = feeds
        self._live = [feed for feed in dict.fromkeys(feeds.values()) if feed.live is not None]
        self._timeline = Timeline()
        self._grants: Grants | None = None
        # Up to here, and in what is named, everything was loaded: see `Snapshot`.
        self._seam: Position | None = None
        self._beyond: set[tuple[str, int]] = set()
        self._loaded: tuple[Position, frozenset[tuple[str, int]]] | None = None
        self.has_shown = False

    def load(self, conn: Any, *, raw: bool) -> Position:
        """Show all that holds now, on request in the raw tables too; where the log goes on."""
        # Before what is loaded: what is shared or taken away meanwhile is found afterwards.
        self._grants = Grants(conn)
        with Snapshot(conn, list(self._feeds)) as snapshot:
            self._seam, self._beyond = snapshot.seam, snapshot.beyond
            self._loaded = snapshot.seam, frozenset(snapshot.beyond)
            self._timeline.set_clock(snapshot.database_seconds)
            for page in snapshot.pages():
                self._learn(page)
                for feed, events in by_feed(self._feeds, _holding(page)).items():
                    self.has_shown = True
                    feed.take([EventRow(event, raw, present=True) for event in events])
        return snapshot.seam

    def was_loaded(self, event: ChangeEvent) -> bool:
        """Whether an event was in what was loaded at the start; asked once for each, in order."""
        if self._seam is None:
            return False
        assert event.position is not None
        if event.position < self._seam:
            return True
        version = (event.entity_id, event.version)
        if version in self._beyond:
            self._beyond.discard(version)
            return True
        if not self._beyond:
            # Nothing that follows can have been.
            self._seam = None
        return False

    def was_in_load(self, event: ChangeEvent) -> bool:
        """Whether an event was in what was loaded at the start; it may be asked again."""
        assert self._loaded is not None
        assert event.position is not None
        seam, beyond = self._loaded
        return event.position < seam or (event.entity_id, event.version) in beyond

    def load_again(self, conn: Any, feed: Feed) -> None:
        """Show all present states of one class in a live table that is empty."""
        names = list(feed.cls.type_names())
        with Snapshot(conn, names) as snapshot:
            found = {segment.event.entity_id for page in snapshot.pages() for segment in page}
        ids = sorted(found)
        for first in range(0, len(ids), ENTITIES_AT_ONCE):
            asked = ids[first : first + ENTITIES_AT_ONCE]
            entities = read_entities(conn, names, asked)
            self._timeline.set_clock(entities.database_seconds)
            # Events of these versions are still to come from the log: they are passed over then.
            self._timeline.was_read(asked, entities.newest)
            self._learn(entities.segments)
            feed.take(_present_rows(_holding(entities.segments)))

    def holds(self, event: ChangeEvent) -> bool:
        """Whether a new event is the present state of its entity, from now on and for ever."""
        return self._timeline.holds(event)

    def keep_up(self, conn: Any, *, look_now: bool) -> bool:
        """See to what changes without an event, by time and sharing; whether anything was shown."""
        shown = False
        assert self._grants is not None
        look = self._grants.look(conn, now=look_now)
        if look is not None:
            # Often enough for a clock that is set, here or there, and for a machine that slept.
            self._timeline.set_clock(look.database_seconds)
            self._timeline.grant(look.granted)
            self._timeline.revoke(look.revoked)
            if look.revoked:
                shown = True
                for feed in self._live:
                    feed.take([], gone=sorted(look.revoked))
        self._timeline.pass_time()
        while self._timeline.unknown:
            self._ask(conn)
            shown = True
        return shown

    def seconds_to_change(self) -> float | None:
        """How long until a present state changes by itself; None if none will."""
        return self._timeline.seconds_to_change()

    def _ask(self, conn: Any) -> None:
        asked = list(self._timeline.unknown)[:ENTITIES_AT_ONCE]
        found = read_entities(conn, list(self._feeds), asked)
        self._timeline.set_clock(found.database_seconds)
        self._timeline.was_read(asked, found.newest)
        self._learn(found.segments)
        present = by_feed(self._feeds, _holding(found.segments))
        for feed in self._live:
            events = present.get(feed, [])
            shown = {event.entity_id for event in events}
            feed.take(
                _present_rows(events), gone=[each for each in found.newest if each not in shown]
            )

    def _learn(self, segments: Sequence[Segment]) -> None:
        for segment in segments:
            if segment.changes_at is not None:
                self._timeline.changes(segment.event.entity_id, segment.changes_at)


def by_feed(
    feeds: Mapping[str, Feed], events: Iterable[ChangeEvent]
) -> dict[Feed, list[ChangeEvent]]:
    """The events of each class, in their order."""
    found: dict[Feed, list[ChangeEvent]] = {}
    for event in events:
        feed = feeds.get(event.type_name)
        if feed is not None:
            found.setdefault(feed, []).append(event)
    return found


def _holding(segments: Iterable[Segment]) -> list[ChangeEvent]:
    return [segment.event for segment in segments if segment.holds]


def _present_rows(events: Iterable[ChangeEvent]) -> list[EventRow]:
    return [EventRow(event, raw=False, present=True) for event in events]
