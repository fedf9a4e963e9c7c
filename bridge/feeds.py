"""The classes that a bridge or a playback shows, each with its feed.

feeds = Feeds("bridge", max_pending_rows=100_000)
feeds.register(Order, is_late=False)
feeds.table(Order), feeds.live(Order)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bridge.errors import BridgeError, NotRegistered, RegistrationError
from bridge.feed import Feed
from publishing.engine import require_engine
from reactive.expr import Expr
from store.base import Storable

__all__ = ["MAX_PENDING_ROWS", "Feeds"]

MAX_PENDING_ROWS = 100_000


class Feeds:
    """Feeds by their class. `shown_by` is what error messages call the object that shows them.

    Rows wait for a slow engine up to `max_pending_rows` a table. BridgeError where that is none.
    """

    def __init__(self, shown_by: str, max_pending_rows: int) -> None:
        if max_pending_rows < 1:
            raise BridgeError(f"max_pending_rows={max_pending_rows}; at least one row must fit")
        self._shown_by = shown_by
        self._max_pending_rows = max_pending_rows
        self.by_class: dict[type[Storable], Feed] = {}

    def register(
        self,
        cls: type[Storable],
        *,
        is_late: bool,
        passing: Expr | None = None,
        columns: Iterable[str] | None = None,
        writer: Any = None,
        rows: int | None = None,
        live: bool = True,
    ) -> None:
        """Make the feed of a class; `is_late` once it was started.

        RegistrationError for what is no class of the store, for a second class with the same
        events, and for a number of rows below 1.
        """
        require_engine()
        if not (isinstance(cls, type) and issubclass(cls, Storable)):
            raise RegistrationError(f"{cls!r:.80} is not a class of the store; make it a Storable")
        if rows is not None and rows < 1:
            raise RegistrationError(f"rows={rows} of {cls.__name__}: at least 1, or None for all")
        if is_late:
            raise RegistrationError(
                f"{cls.__name__} comes too late: classes are registered before start()"
            )
        for known in self.by_class:
            shared = set(known.type_names()) & set(cls.type_names())
            if shared:
                raise RegistrationError(
                    f"{cls.__name__} cannot be registered: {known.__name__} is, and takes the "
                    f"events of {', '.join(sorted(shared))}"
                )
        self.by_class[cls] = Feed(
            cls,
            passing=passing,
            columns=columns,
            writer=writer,
            rows=rows,
            live=live,
            max_pending_rows=self._max_pending_rows,
        )

    def by_type(self) -> dict[str, Feed]:
        """Return the feeds by the type names of the log."""
        return {name: f for f in self.by_class.values() for name in f.cls.type_names()}

    def table(self, cls: type[Storable]) -> Any:
        """Return the raw table of a class; NotRegistered where it has none."""
        found = self._feed(cls).target.table
        if found is None:
            raise NotRegistered(
                f"the rows of {cls.__name__} go to a writer that has no table of its own"
            )
        return found

    def live(self, cls: type[Storable]) -> Any:
        """Return the table of the present states of a class; NotRegistered where it has none."""
        found = self._feed(cls).live
        if found is None:
            raise NotRegistered(f"{cls.__name__} was registered with live=False")
        return found.table

    def _feed(self, cls: type[Storable]) -> Feed:
        found = self.by_class.get(cls)
        if found is None:
            known = ", ".join(each.__name__ for each in self.by_class) or "nothing"
            raise NotRegistered(
                f"{getattr(cls, '__name__', cls)} is not registered with this {self._shown_by}; "
                f"{known} is"
            )
        return found
