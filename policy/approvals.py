"""The life of an approval, and who may decide one. Pure."""

from collections.abc import Iterable
from types import MappingProxyType
from typing import Final

from policy.profile_gates import ApprovalRules
from store.clock import Millis
from store.ids import PrincipalId
from store.records import Approval, ApprovalStatus, Decision, Principal, PrincipalKind, Request, Verdict

MOVES: Final = MappingProxyType(
    {
        ApprovalStatus.PENDING: frozenset(
            {ApprovalStatus.APPROVED, ApprovalStatus.REJECTED, ApprovalStatus.EXPIRED}
        ),
        ApprovalStatus.APPROVED: frozenset[ApprovalStatus](),
        ApprovalStatus.REJECTED: frozenset[ApprovalStatus](),
        ApprovalStatus.EXPIRED: frozenset[ApprovalStatus](),
    }
)

GROUP_PREFIX: Final = "group:"  # a group is held like a role, under a name that no role can have


class DecisionRefused(Exception):
    """This principal may not say this about this approval; the message says why, in words for the person."""


class NotApproved(Exception):
    """No approval stands for this request."""


def circle(rules: ApprovalRules) -> str:
    """The role whose holders may decide, as `principal_roles` spells it."""
    return rules.role if rules.group is None else GROUP_PREFIX + rules.group  # type: ignore[return-value]


def tally(required: int, verdicts: Iterable[Verdict]) -> ApprovalStatus:
    """What the words given so far amount to: one rejection ends it, `required` approvals complete it."""
    given = list(verdicts)
    if Verdict.REJECT in given:
        return ApprovalStatus.REJECTED
    return ApprovalStatus.APPROVED if len(given) >= required else ApprovalStatus.PENDING


def usable(approval: Approval, now: Millis) -> bool:
    """Whether a request may still lean on it: undecided and in time, or given and not too long ago."""
    if approval.status is ApprovalStatus.PENDING:
        return now < approval.expires_at
    return (
        approval.status is ApprovalStatus.APPROVED
        and approval.ended_at is not None
        and now < approval.ended_at + approval.reuse_window
    )


def check_stands(
    approval: Approval | None,
    request: Request,
    line: frozenset[PrincipalId],
    decisions: Iterable[Decision],
    persons: frozenset[PrincipalId],
) -> None:
    """Return if `approval` was given, for exactly `request`, by enough `persons` outside its `line`.

    Raises NotApproved. The worker asks this before it prepares anything, whatever the job's status says.
    """
    if approval is None or approval.status is not ApprovalStatus.APPROVED:
        raise NotApproved("nobody has approved this request")
    asked = request.kind, request.approval_digest, request.profile, request.profile_version
    if (approval.kind, approval.digest, approval.profile, approval.profile_version) != asked:
        raise NotApproved("its approval was given for something else")
    agreed = {
        decision.principal_id
        for decision in decisions
        if decision.verdict is Verdict.APPROVE
        and decision.principal_id in persons - line - {request.principal_id}
    }
    if len(agreed) < approval.required:
        raise NotApproved(f"{len(agreed)} of {approval.required} persons outside its line have approved it")


def check_may_decide(
    approval: Approval,
    principal: Principal,
    roles: frozenset[str],
    line: frozenset[PrincipalId],
    earlier: Iterable[Decision],
    now: Millis,
) -> None:
    """Return if `principal` may decide `approval` now.

    Raises DecisionRefused: a machine, somebody without the role, somebody in the request's own line,
    a second word by the same principal, or a question that is closed.
    """
    if principal.kind is not PrincipalKind.PERSON:
        raise DecisionRefused(f"{principal.name} is a machine, and machines never approve")
    if principal.disabled_at is not None:
        raise DecisionRefused(f"{principal.name} is disabled")
    if approval.role not in roles:
        raise DecisionRefused(
            f'{principal.name} does not hold "{approval.role}", which this approval asks for'
        )
    if principal.id in line:
        raise DecisionRefused(
            f"{principal.name} stands in the line of this request (made it, or made the credential it used): "
            "somebody else has to decide"
        )
    if any(decision.principal_id == principal.id for decision in earlier):
        raise DecisionRefused(f"{principal.name} has decided already, and a word given stands")
    if approval.status is not ApprovalStatus.PENDING:
        raise DecisionRefused(f"this approval has ended: it is {approval.status}")
    if now >= approval.expires_at:
        raise DecisionRefused("this approval has expired: the requester has to ask again")
