"""Who may do what in which state: the client and the database against a model of their own."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import psycopg2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.processes import at_once
from tests.store.desk import Desk
from tests.store.fixtures import desk
from tests.trading.governance.house import ACCOUNT, PEOPLE, House, house, now
from trading.errors import GovernanceError, LimitsError
from trading.governance import (
    ControlRequest,
    EmergencyReview,
    LimitsChange,
    grant_duty,
    revoke_duty,
)
from trading.governance.entities import machine_for
from trading.governance.governance import limits_of
from trading.risk import Limits

__all__ = ["desk", "house"]

STATES = (
    *("PROPOSED", "APPROVED", "REJECTED", "WITHDRAWN", "LAPSED", "EMERGENCY", "EFFECTIVE"),
    *("REFUSED", "SUPERSEDED"),
)


def model_allows(state: str, to: str, person: str, creator: str, *, is_due: bool) -> bool:
    """What the rules of the platform say, written down once more, by hand."""
    duties = PEOPLE[person]
    if (state, to) in (("PROPOSED", "APPROVED"), ("PROPOSED", "REJECTED")):
        return "APPROVE" in duties and person != creator
    if (state, to) == ("PROPOSED", "WITHDRAWN"):
        return person == creator
    if (state, to) == ("APPROVED", "WITHDRAWN"):
        return person == creator and not is_due
    if (state, to) == ("PROPOSED", "EMERGENCY"):
        return "BREAK_GLASS" in duties
    if (state, to) in (("APPROVED", "EFFECTIVE"), ("APPROVED", "REFUSED")):
        return "ENGINE" in duties and is_due
    if (state, to) in (("EMERGENCY", "EFFECTIVE"), ("EMERGENCY", "REFUSED")):
        return "ENGINE" in duties
    if (state, to) == ("EFFECTIVE", "SUPERSEDED"):
        return "ENGINE" in duties
    return False  # LAPSED: none of these lapses


def move(house: House, person: str, entity: Any, to: str, *, by_psql: bool) -> bool:
    """Whether somebody can take a change to a state, with everything that belongs to that."""
    seen = house.as_seen_by(person, entity)
    changed: dict[str, Any] = {"decision_reason": "as the test says"}
    if to in ("APPROVED", "REJECTED", "EMERGENCY"):
        changed["approved_by"] = person
    if to == "EMERGENCY":
        review = EmergencyReview(ACCOUNT, entity._store_entity_id, "why", requested_by=person)
        try:
            house.client(person).write(review)
        except Exception:  # noqa: BLE001 - who may not break the glass writes no review either
            review._store_entity_id = entity._store_entity_id
        changed["review_id"] = review._store_entity_id
    if by_psql:
        try:
            house.append(person, seen, to, **changed)
        except psycopg2.errors.InsufficientPrivilege:
            return False
        return True
    for name, value in changed.items():
        setattr(seen, name, value)
    governance = house.of(person)
    seen._state_machine = machine_for(seen, governance.people(ACCOUNT), seen._store_owner)
    try:
        house.client(person).transition(seen, to)
    except Exception:  # noqa: BLE001 - whatever it is called, it is refused
        return False
    return True


MOVES = st.lists(
    st.tuples(st.sampled_from(sorted(PEOPLE)), st.sampled_from(STATES), st.booleans()),
    min_size=1,
    max_size=12,
)
# Without these a random walk hardly ever leaves PROPOSED.
WALKS = st.lists(
    st.one_of(
        st.tuples(st.just("carol"), st.just("APPROVED"), st.booleans()),
        st.tuples(st.just("bob"), st.sampled_from(("EMERGENCY", "WITHDRAWN")), st.booleans()),
        st.tuples(st.just("alice"), st.sampled_from(("EFFECTIVE", "SUPERSEDED")), st.booleans()),
        st.tuples(st.sampled_from(sorted(PEOPLE)), st.sampled_from(STATES), st.booleans()),
    ),
    min_size=2,
    max_size=10,
)


@pytest.mark.shared_database
def test_client_and_database_agree_with_the_model(desk: Desk) -> None:
    house = House(desk)

    @settings(max_examples=40)
    @given(
        creator=st.sampled_from(("bob", "carol")),
        is_due=st.booleans(),
        moves=st.one_of(MOVES, WALKS),
    )
    def agree(creator: str, is_due: bool, moves: list[tuple[str, str, bool]]) -> None:
        change = house.of(creator).propose_limits(
            ACCOUNT,
            Limits(max_position=5),
            effective_from=None if is_due else now() + timedelta(days=1),
        )
        state = "PROPOSED"
        for person, to, by_psql in moves:
            expected = model_allows(state, to, person, creator, is_due=is_due)
            done = move(house, person, change, to, by_psql=by_psql)
            assert done == expected, (person, state, to, by_psql)
            state = to if done else state
            assert house.as_seen_by("mallory", change)._store_state == state

    agree()


def test_who_asks_for_a_change_cannot_approve_it(house: House) -> None:
    for person in ("bob", "carol"):
        change = house.of(person).propose_limits(ACCOUNT, Limits(max_position=5))
        with pytest.raises(GovernanceError, match="may not move from PROPOSED to APPROVED"):
            house.of(person).approve(change)
        assert change._store_state == "PROPOSED"
        assert change.approved_by == ""
        assert person in house.refused(person, change, "APPROVED", approved_by=person)
    # Nor does anybody approve in another's name.
    change = house.of("bob").propose_limits(ACCOUNT, Limits(max_position=5))
    why = house.refused("carol", change, "APPROVED", approved_by="mallory")
    assert "approved_by must be carol" in why


def test_a_person_who_is_both_needs_another(house: House) -> None:
    grant_duty(house.admin, "bob", ACCOUNT, "APPROVE")
    change = house.of("bob").propose_limits(ACCOUNT, Limits(max_position=5))
    assert "another person" in house.refused("bob", change, "APPROVED", approved_by="bob")


@pytest.mark.parametrize(
    "limits",
    ['{"max_position":"NaN"}', '{"max_position":"-1"}', '{"max_daily_loss":"Infinity"}', "[]"],
)
def test_limits_that_are_none_are_never_proposed_nor_approved(house: House, limits: str) -> None:
    with pytest.raises(LimitsError):
        limits_of(limits)
    # Somebody with a program of their own proposes them all the same.
    change = LimitsChange(ACCOUNT, limits, "", None, now() + timedelta(hours=1), requested_by="bob")
    house.client("bob").write(change)
    seen = house.as_seen_by("carol", change)
    with pytest.raises(LimitsError):
        house.of("carol").approve(seen)
    assert house.as_seen_by("carol", change)._store_state == "PROPOSED"


def test_a_misspelt_limit_is_no_limit(house: House) -> None:
    with pytest.raises(LimitsError, match="max_positoin"):
        limits_of('{"max_positoin":"5"}')


def test_of_two_approvers_at_once_one_decides(house: House) -> None:
    grant_duty(house.admin, "mallory", ACCOUNT, "APPROVE")
    for _ in range(5):
        change = house.of("bob").propose_limits(ACCOUNT, Limits(max_position=5))
        seen = {who: house.as_seen_by(who, change) for who in ("carol", "mallory")}
        results = at_once(
            [
                partial(house.of("carol").approve, seen["carol"]),
                partial(house.of("mallory").reject, seen["mallory"], "no"),
            ]
        )
        failed = [each for each in results if isinstance(each, Exception)]
        assert len(failed) == 1
        assert isinstance(failed[0], GovernanceError)
        state = house.as_seen_by("bob", change)._store_state
        assert state == ("REJECTED" if isinstance(results[0], Exception) else "APPROVED")


def test_a_late_approval_is_refused_and_a_change_does_not_lapse_early(house: House) -> None:
    change = house.of("bob").propose_limits(
        ACCOUNT, Limits(max_position=5), approve_within=timedelta(hours=1)
    )
    assert "too early" in house.refused("bob", change, "LAPSED")
    brief = house.of("bob").propose_limits(
        ACCOUNT, Limits(max_position=5), approve_within=timedelta(milliseconds=300)
    )
    with house.admin.cursor() as cursor:
        cursor.execute(
            "SELECT pg_sleep(greatest(0, extract(epoch FROM %s - clock_timestamp())))",
            [brief.approve_by],
        )
    assert "too late" in house.refused("carol", brief, "APPROVED", approved_by="carol")
    with pytest.raises(GovernanceError, match="too late"):
        house.of("carol").approve(house.as_seen_by("carol", brief))
    assert house.of("alice").lapse(house.as_seen_by("alice", brief))._store_state == "LAPSED"
    with pytest.raises(GovernanceError, match="approve_within"):
        house.of("bob").propose_limits(ACCOUNT, Limits(), approve_within=timedelta(0))


def test_what_a_hostile_login_cannot_do(house: House) -> None:
    change = house.of("bob").propose_limits(ACCOUNT, Limits(max_position=5))
    review = EmergencyReview(ACCOUNT, change._store_entity_id or "", "x", requested_by="bob")
    house.client("bob").write(review)
    other = LimitsChange(ACCOUNT, "{}", "", None, now() + timedelta(hours=1))
    other._store_entity_id = "00000000-0000-4000-8000-000000000001"
    attempts = [
        # Another's name, another's account, another first state, and no time to approve it.
        ("bob", other, "PROPOSED", {"kind": "CREATED", "requested_by": "carol"}),
        ("bob", other, "PROPOSED", {"kind": "CREATED", "requested_by": "bob", "account": "B"}),
        ("bob", other, "APPROVED", {"kind": "CREATED", "requested_by": "bob"}),
        ("bob", other, None, {"kind": "CREATED", "requested_by": "bob"}),
        ("bob", other, "PROPOSED", {"kind": "CREATED", "requested_by": "bob", "approve_by": None}),
        ("mallory", other, "PROPOSED", {"kind": "CREATED", "requested_by": "mallory"}),
        # Another content, by who asked or by who approves it.
        ("bob", change, "PROPOSED", {"kind": "UPDATED", "limits_json": "{}"}),
        ("carol", change, "APPROVED", {"approved_by": "carol", "limits_json": "{}"}),
        ("carol", change, "APPROVED", {"approved_by": "carol", "account": "OTHER"}),
        (
            "carol",
            change,
            "APPROVED",
            {"approved_by": "carol", "effective_from": None, "change_reason": "another"},
        ),
        # As of another time, hidden behind another type, deleted.
        ("carol", change, "APPROVED", {"approved_by": "carol", "valid_from": now()}),
        ("carol", change, "APPROVED", {"approved_by": "carol", "valid_to": now()}),
        ("bob", change, "PROPOSED", {"type_name": "some.Other"}),
        ("bob", change, "PROPOSED", {"kind": "DELETED"}),
        ("bob", review, "OPEN", {"type_name": "some.Other", "kind": "UPDATED"}),
        ("bob", review, "OPEN", {"kind": "DELETED"}),
        ("bob", review, "REVIEWED", {"reviewed_by": "bob", "decision_reason": "fine"}),
        # The glass is broken with a reason and a review of one's own, or not at all.
        ("bob", change, "EMERGENCY", {"approved_by": "bob", "decision_reason": "x"}),
        (
            "bob",
            change,
            "EMERGENCY",
            {"approved_by": "bob", "decision_reason": " ", "review_id": review._store_entity_id},
        ),
        (
            "bob",
            change,
            "EMERGENCY",
            {"approved_by": "bob", "decision_reason": "x", "review_id": change._store_entity_id},
        ),
    ]
    for person, entity, state, more in attempts:
        try:
            house.append(person, entity, state, **more)
        except psycopg2.Error as error:
            assert error.pgcode in ("42501", "OS003"), (more, error)  # noqa: PT017
        else:
            raise AssertionError(f"{person} could: {state} {more}")
    assert house.as_seen_by("carol", change)._store_version == 1


def test_nobody_hides_what_governs_the_account(house: House) -> None:
    change = house.of("bob").propose_limits(ACCOUNT, Limits(max_position=5))
    login = house.desk.login("bob")
    with login.cursor() as cursor:
        for statement in (
            "SELECT object_store.share(%s, 'carol', false, false)",
            "SELECT object_store.share(%s, 'carol', true, false)",
        ):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="goes on seeing"):
                cursor.execute(statement, [change._store_entity_id])
        for statement in (
            "SELECT * FROM trading_governance.duty",
            "INSERT INTO trading_governance.duty VALUES ('bob', 'ACC', 'APPROVE')",
            "DELETE FROM trading_governance.edge",
            "SELECT trading_governance.show_existing('bob', '*')",
            "SELECT trading_governance.has_duty('carol', 'ACC', '')",
            "ALTER TABLE object_store.event DISABLE TRIGGER governed",
        ):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(statement)
    # Who has nothing to do with an account learns nothing of it.
    revoke_duty(house.admin, "mallory", ACCOUNT)
    assert house.of("mallory").people(ACCOUNT) == {}


def test_who_gets_a_duty_sees_what_was_asked_for_before(house: House) -> None:
    revoke_duty(house.admin, "carol", ACCOUNT)
    change = house.of("bob").propose_limits(ACCOUNT, Limits(max_position=5))
    assert house.client("carol").read(LimitsChange, change._store_entity_id or "") is None
    grant_duty(house.admin, "carol", "*", "APPROVE")
    assert house.of("carol").approve(house.as_seen_by("carol", change))._store_state == "APPROVED"
    revoke_duty(house.admin, "carol", "*")
    again = house.of("bob").propose_limits(ACCOUNT, Limits(max_position=5))
    assert house.client("carol").read(LimitsChange, again._store_entity_id or "") is None


def test_break_glass_is_reviewed_by_another(house: House) -> None:
    change = house.of("bob").propose_limits(ACCOUNT, Limits(max_position=9))
    with pytest.raises(GovernanceError, match="needs a reason"):
        house.of("bob").break_glass(change, " ")
    with pytest.raises(GovernanceError, match="has not the duty BREAK_GLASS"):
        house.of("carol").break_glass(house.as_seen_by("carol", change), "me too")
    assert house.of("carol").reviews(ACCOUNT, "OPEN") == []
    house.of("bob").break_glass(change, "the feed is wrong")
    assert change._store_state == "EMERGENCY"
    [review] = house.of("carol").reviews(ACCOUNT, "OPEN")
    assert (review.change_id, review.requested_by) == (change._store_entity_id, "bob")
    [own] = house.of("bob").reviews(ACCOUNT, "OPEN")
    with pytest.raises(GovernanceError):
        house.of("bob").review(own, justified=True, note="sure")
    done = house.of("carol").review(review, justified=False, note="call me first")
    assert (done._store_state, done.review_outcome) == ("REVIEWED", "NOT_JUSTIFIED")
    assert house.of("carol").reviews(ACCOUNT, "OPEN") == []


def test_requests_need_their_duty(house: House) -> None:
    with pytest.raises(GovernanceError, match="OPERATE"):
        house.of("mallory").halt(ACCOUNT, "for fun")
    with pytest.raises(GovernanceError, match="RESUME"):
        house.of("bob").resume(ACCOUNT, "I am fine")
    with pytest.raises(GovernanceError, match="say why"):
        house.of("bob").halt(ACCOUNT, "")
    request = ControlRequest(ACCOUNT, "live", "EXPLODE", change_reason="x", requested_by="bob")
    with pytest.raises(Exception, match="cannot go from nothing to REQUESTED"):
        house.client("bob").write(request)
    asked = house.of("bob").halt(ACCOUNT, "fat finger")
    assert "has not the duty ENGINE" in house.refused("bob", asked, "DONE")
    assert [each.change_reason for each in house.of("carol").requests(ACCOUNT, "REQUESTED")] == [
        "fat finger"
    ]
