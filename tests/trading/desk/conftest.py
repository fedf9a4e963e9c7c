"""A database of the session's PostgreSQL for each test that wants one."""

from __future__ import annotations

from tests.store.fixtures import desk

__all__ = ["desk"]
