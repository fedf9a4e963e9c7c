"""Changes that need two people, break-glass, and the kill switch; the database enforces who may.

    governance = Governance(client)
    change = governance.propose_limits("ACC", Limits(max_position=500), reason="new desk")
    Governance(others_client).approve(change)
    governance.halt("ACC", "fat finger")

`Governor` is the engine's part: it follows what was decided.
"""

from trading.governance.entities import (
    ACTIONS,
    DUTIES,
    ControlRequest,
    EmergencyReview,
    LimitsChange,
    ParametersChange,
)
from trading.governance.governance import Governance
from trading.governance.schema import (
    bootstrap_governance,
    grant_duty,
    revoke_duty,
    set_duties,
)

__all__ = [
    "ACTIONS",
    "DUTIES",
    "ControlRequest",
    "EmergencyReview",
    "Governance",
    "LimitsChange",
    "ParametersChange",
    "bootstrap_governance",
    "grant_duty",
    "revoke_duty",
    "set_duties",
]
