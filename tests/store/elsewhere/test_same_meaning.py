"""What the client means, what is refused to attackers, and histories, on the other server."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from store.client import StoreClient
from store.server import ObjectStoreServer
from tests.store.test_attacks import *  # noqa: F403 - the same tests on another server
from tests.store.test_client import *  # noqa: F403 - the same tests on another server
from tests.store.test_histories import GIVEN, NO_DEADLINE, check_history

FEW = 25


def test_the_administrator_is_no_superuser(store_server: ObjectStoreServer) -> None:
    admin = store_server.admin_conn()
    with admin.cursor() as cursor:
        cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        assert cursor.fetchone() == (False,)
    admin.close()
    assert not store_server.is_embedded


@settings(max_examples=FEW, **NO_DEADLINE)
@given(**GIVEN)
def test_readings_follow_the_rule_there(
    alice: StoreClient, starts: Any, steps: Any, data: st.DataObject
) -> None:
    check_history(alice, starts, steps, data)
