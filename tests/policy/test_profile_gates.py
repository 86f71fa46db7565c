"""The approval and ACME sections: what they mean where a client or a person meets them."""

from datetime import timedelta

import pytest

from policy.profile_gates import ApprovalCovers
from policy.validation.networks import DENIED_BY_DEFAULT
from tests.policy.examples import profile


@pytest.mark.parametrize(
    ("section", "circle"),
    [
        ({}, ("approver", None)),
        ({"role": "security"}, ("security", None)),
        ({"group": "network-team"}, (None, "network-team")),
    ],
)
def test_one_circle_decides(section: dict[str, str], circle: tuple[str | None, str | None]) -> None:
    approval = profile(requires_approval=True, approval=section).approval
    assert approval is not None
    assert (approval.role, approval.group) == circle


def test_an_approval_asked_for_without_more_is_one_for_the_names_within_a_week() -> None:
    approval = profile(requires_approval=True).approval
    assert approval is not None
    assert approval.approvers == 1
    assert approval.covers is ApprovalCovers.NAMES
    assert approval.expires == approval.reuse_window == timedelta(days=7)


def test_validation_never_goes_where_the_validator_would_not_go_by_itself() -> None:
    denied = profile().acme.denied_networks
    for network in DENIED_BY_DEFAULT:
        assert any(
            network.version == wide.version
            and int(network.network_address) & int(wide.netmask) == int(wide[0])
            for wide in denied
        ), network


def test_trust_needs_an_external_account_or_a_written_reason() -> None:
    assert profile(acme={"mode": "trusted", "external_account_required": True}).acme.mode == "trusted"
    reason = "Only our own machines reach this network."
    assert (
        profile(acme={"mode": "trusted", "trusted_without_external_account": reason}).acme.mode == "trusted"
    )
