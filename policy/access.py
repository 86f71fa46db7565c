"""Which role may do what at the command line and the operator API. Who may decide an approval: `policy.approvals`.

Beside the roles of the table there are circles: roles and groups that a profile names as its approvers. A circle may
look and decide, and nothing else.
"""

from collections.abc import Iterable
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from policy.approvals import GROUP_PREFIX
from store.records import Principal, PrincipalKind


class Action(StrEnum):
    """What can be asked for, as it reads after "may not"."""

    LOOK = "look at anything"
    DECIDE = "decide approvals"
    CHANGE_PROFILES = "change profiles"
    REVOKE = "revoke certificates"
    CANCEL_JOBS = "cancel jobs"
    MANAGE_ACCOUNTS = "manage ACME accounts and their keys"
    MANAGE_PRINCIPALS = "manage principals"


APPROVER: Final = "approver"
ADMIN: Final = "admin"
_CIRCLE: Final = frozenset({Action.LOOK, Action.DECIDE})
ROLES: Final = MappingProxyType(
    {
        # Everything but deciding: who changes the rules does not also say yes under them.
        ADMIN: frozenset(Action) - {Action.DECIDE},
        APPROVER: _CIRCLE,
        "operator": frozenset({Action.LOOK, Action.REVOKE, Action.CANCEL_JOBS, Action.MANAGE_ACCOUNTS}),
        "auditor": frozenset({Action.LOOK}),
    }
)


class AccessDenied(Exception):
    """This principal may not do this; the message says what role it takes."""


class RoleRefused(ValueError):
    """Nobody, or not this principal, can hold such a role."""


def actions_of(role: str) -> frozenset[Action]:
    """What a role allows."""
    return ROLES.get(role, _CIRCLE)


def check_may(principal: Principal, roles: Iterable[str], action: Action) -> None:
    """Return if a principal that holds `roles` may do `action`. Raises AccessDenied."""
    if principal.disabled_at is not None:
        raise AccessDenied(f"{principal.name} is disabled")
    if any(action in actions_of(role) for role in roles):
        return
    able = [role for role, actions in ROLES.items() if action in actions]
    raise AccessDenied(f"{principal.name} may not {action}: that takes the role {' or '.join(able)}")


def check_may_hold(kind: PrincipalKind, role: str, circles: frozenset[str]) -> None:
    """Return if a principal of this kind can be given `role`; `circles` are those that profiles name.

    Raises RoleRefused: for a role that means nothing (a slip of the pen must not look like a grant), and for a machine
    that would decide.
    """
    if role not in ROLES and role not in circles:
        known = ", ".join(sorted({*ROLES, *circles}))
        what = "group" if role.startswith(GROUP_PREFIX) else "role"
        raise RoleRefused(f'there is no {what} "{role}", and no profile asks for it; there are {known}')
    if kind is not PrincipalKind.PERSON and Action.DECIDE in actions_of(role):
        raise RoleRefused(f'a machine cannot hold "{role}": machines never approve')
