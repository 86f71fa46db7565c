"""The exhaustive walk: every interleaving, and the promise at every state of it.

`CERTCTL_PROOF=full` (make proof) walks larger worlds as well; that takes hours.
"""

import os
from typing import Final

import pytest

from policy.profile_gates import ApprovalCovers
from store.records import ApprovalStatus, JobStatus
from tests.policy.proof.stage import Setting
from tests.policy.proof.walk import walk

FULL: Final = os.environ.get("CERTCTL_PROOF") == "full"
KEY: Final = ApprovalCovers.KEY

# Name -> how large a world, and how many states it has at the least: a walk that shrinks has lost something.
SMALL: Final = {
    # Two requests, or one and its re-order. A job is tried twice, so there are late workers with old fences.
    "one approver": (Setting(), 5000),
    # The requester is a machine whose credential rita made; the approval speaks for one key.
    "two approvers, key": (Setting(required=2, covers=KEY, requester="machine", attempts=1), 1200),
    # Rita edits, deletes or brings back the profile meanwhile.
    "one approver, change": (Setting(submissions=1, names=1, changes=1), 1200),
    "two approvers, change": (Setting(required=2, submissions=1, names=1, changes=1, attempts=1), 700),
}
LARGE: Final = {
    "two approvers": (Setting(required=2), 6000),
    "one approver, key": (Setting(covers=KEY, requester="machine"), 5000),
    "nobody forgotten": (Setting(forget_late=False), 8_000),
    "two approvers, re-order, change": (
        Setting(required=2, requester="machine", attempts=1, names=1, changes=1),
        15_000,
    ),
    "one approver, two changes": (Setting(submissions=1, attempts=1, names=1, changes=2), 8_000),
    "one approver, three requests": (Setting(submissions=3, attempts=1), 20_000),
    "one approver, two requests, change": (Setting(changes=1), 50_000),
}


@pytest.mark.parametrize("name", [*SMALL, *(LARGE if FULL else ())])
def test_no_state_that_can_be_reached_breaks_the_promise(name: str) -> None:
    setting, least = (SMALL | LARGE)[name]
    report = walk(setting)
    print(f"{name}: {report}, {report.certified} of them with a certificate")
    assert report.states >= least
    assert set(report.approvals) == set(ApprovalStatus)
    assert set(report.jobs) == set(JobStatus)
    assert report.certified > 0
