"""Former names still work, and say what to use instead."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from store.errors import SubscriptionError
from store.subscriptions import EventBus, SubscriptionHeld, SubscriptionListener, SubscriptionState
from tests.store.desk import Desk
from tests.store.hearing import listener

FORMER = [
    ("store.subscriptions", "State", SubscriptionState),
    ("store.subscriptions.status", "State", SubscriptionState),
    ("store.subscriptions.checkpoints", "Taken", SubscriptionHeld),
]


@pytest.mark.parametrize(("module", "name", "present"), FORMER)
def test_former_names_of_classes(module: str, name: str, present: Any) -> None:
    with pytest.warns(DeprecationWarning, match=f"{module}.{name} is now {module}.\\w+") as told:
        assert getattr(importlib.import_module(module), name) is present
    assert [each.filename for each in told] == [__file__]
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        importlib.import_module(module).Nothing  # noqa: B018 - looked up


def test_the_former_keyword_of_a_subscription_that_is_held(desk: Desk) -> None:
    with listener(desk, EventBus(), subscriber_id="one"):
        with pytest.warns(DeprecationWarning, match="if_taken is now if_held") as told:
            refused = SubscriptionListener(
                EventBus(),
                **desk.info,
                user="alice",
                password="the password of alice",
                subscriber_id="one",
                if_taken="refuse",
            )
        assert [each.filename for each in told] == [__file__]
        with pytest.raises(SubscriptionHeld, match="is held by session"):
            refused.start()
    with (
        pytest.warns(DeprecationWarning, match="if_held"),
        pytest.raises(SubscriptionError, match="'wait' and"),
    ):
        listener(desk, EventBus(), if_taken="fight")
