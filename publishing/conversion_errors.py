"""Values that their column cannot hold: counted by column, the first of each logged."""

from __future__ import annotations

import logging
from collections import Counter

logger = logging.getLogger(__name__)


class ConversionErrors:
    """Counts values that their column cannot hold and that are shown as null."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self.counts: Counter[str] = Counter()

    def add(self, column: str, error: BaseException | str, *, secret: bool = False) -> None:
        """Count one; `secret` keeps what the error says out of the log."""
        self.counts[column] += 1
        if self.counts[column] == 1:
            reason = type(error).__name__ if secret else error
            logger.warning(
                "%s.%s: a value does not fit and is shown as null (later ones are only counted): "
                "%s",
                self._owner,
                column,
                reason,
            )

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.counts.values())
