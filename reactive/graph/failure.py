"""What stands in the place of a value that could not be computed."""

from __future__ import annotations


class Failure:
    """Stands in the place of a value that could not be computed, and holds the error."""

    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        self.error = error

    @property
    def reason(self) -> str:
        """What went wrong, on one line."""
        return f"{type(self.error).__name__}: {self.error}"

    def __repr__(self) -> str:
        return f"<{self.reason}>"
