"""The session's PostgreSQL, and servers of a test's own."""

from __future__ import annotations

from tests.store.fixtures import alice, bob, desk, rogue
from tests.store.servers import elsewhere, folder, where

__all__ = ["alice", "bob", "desk", "elsewhere", "folder", "rogue", "where"]
