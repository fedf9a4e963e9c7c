"""The session's PostgreSQL, and servers of a test's own."""

from __future__ import annotations

from tests.store.fixtures import alice, bob, desk, rogue
from tests.store.servers import elsewhere, folder, made_cluster, where

__all__ = ["alice", "bob", "desk", "elsewhere", "folder", "made_cluster", "rogue", "where"]
