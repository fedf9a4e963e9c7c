"""Changes that need two people, as the user of a client."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import quote

from trading.client.connection import Connection, with_query
from trading.client.shapes import Change, GovernedAccount, Request, Review

__all__ = ["GovernanceClient"]

T = TypeVar("T")


class GovernanceClient:
    """Proposes, decides and asks engines; the database refuses what the user may not do.

    ApiRefused with the code FOUR_EYES or DUTY says in `problem["allowed"]` who may.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    # --- reading ----------------------------------------------------------------------------------

    def account(self, account: str) -> GovernedAccount:
        """Return what holds for an account, what is proposed, and who may decide."""
        path = with_query("/governance", {"account": account})
        return self._connection.call("GET", path, None, GovernedAccount)

    def changes(self, **filters: Any) -> list[Change]:
        """Return changes, the newest first: `account`, `state`, `kind`, `limit`."""
        return self._connection.items("/governance/changes", Change, filters)

    def change(self, change_id: str) -> Change:
        """Return a change with its history."""
        path = f"/governance/changes/{quote(change_id, safe='')}"
        return self._connection.call("GET", path, None, Change)

    def reviews(self, **filters: Any) -> list[Review]:
        """Return reviews of changes that one person put in force alone: `account`, `state`."""
        return self._connection.items("/governance/reviews", Review, filters)

    def requests(self, **filters: Any) -> list[Request]:
        """Return what engines were asked to do: `account`, `state`."""
        return self._connection.items("/governance/requests", Request, filters)

    # --- asking -----------------------------------------------------------------------------------

    def propose_limits(
        self,
        account: str,
        limits: Mapping[str, Any],
        reason: str,
        *,
        key: str | None = None,
        **more: Any,
    ) -> Change:
        """Ask for other limits: all that the account is to have, by their names.

        `effective_from` and `approve_within_s` may be given. Under one `key` it is asked once.
        """
        body = {"account": account, "limits": limits, "reason": reason, **more}
        return self._post("/governance/limits", body, Change, key)

    def propose_parameters(
        self,
        account: str,
        strategy: str,
        parameters: Mapping[str, Any],
        reason: str,
        *,
        key: str | None = None,
        **more: Any,
    ) -> Change:
        """Ask for other parameters of a strategy."""
        body = {"account": account, "strategy": strategy, "parameters": parameters}
        return self._post("/governance/parameters", {**body, "reason": reason, **more}, Change, key)

    def ask_engine(
        self,
        account: str,
        action: str,
        reason: str,
        *,
        symbol: str = "",
        strategy: str = "",
        key: str | None = None,
    ) -> Request:
        """Ask an engine for HALT, REDUCE, FLATTEN or RESUME; it obeys once it runs."""
        body = {"account": account, "action": action, "reason": reason}
        body |= {"symbol": symbol, "strategy": strategy}
        return self._post("/governance/requests", body, Request, key)

    # --- deciding ---------------------------------------------------------------------------------

    def approve(self, change_id: str, reason: str = "") -> Change:
        """Approve what another person has asked for."""
        return self._decide(change_id, "approve", {"reason": reason})

    def reject(self, change_id: str, reason: str) -> Change:
        """Refuse what another person has asked for."""
        return self._decide(change_id, "reject", {"reason": reason})

    def withdraw(self, change_id: str) -> Change:
        """Take back what you have asked for."""
        return self._decide(change_id, "withdraw", {})

    def break_glass(self, change_id: str, reason: str) -> Change:
        """Put a change in force at once, alone; another person reviews it later."""
        return self._decide(change_id, "break_glass", {"reason": reason})

    def review(self, review_id: str, *, justified: bool, reason: str) -> Review:
        """Say whether another person was right to break the glass."""
        body = {"justified": justified, "reason": reason}
        return self._post(f"/governance/reviews/{quote(review_id, safe='')}", body, Review, None)

    def _decide(self, change_id: str, action: str, body: Any) -> Change:
        path = f"/governance/changes/{quote(change_id, safe='')}/{action}"
        return self._post(path, body, Change, None)

    def _post(self, path: str, body: Any, kind: type[T], key: str | None) -> T:
        # To decide again as before changes nothing, so that all of these may be repeated.
        return self._connection.call("POST", path, body, kind, key=key or uuid.uuid4().hex)
