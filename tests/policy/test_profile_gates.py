"""The approval and ACME sections: what they mean where a client or a person meets them."""

from datetime import timedelta

import pytest

from policy.profile_gates import ApprovalCovers
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


@pytest.mark.parametrize(
    ("address", "may"),
    [
        ("10.1.2.3", True),
        ("127.0.0.1", True),  # a server on the same machine is a target like any other
        ("2001:db8::1", True),
        ("169.254.169.254", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("fe80::1", False),
        ("ff02::1", False),
        ("::ffff:169.254.169.254", False),
        ("::ffff:10.1.2.3", True),
        ("64:ff9b::a9fe:a9fe", False),
        ("64:ff9b::a01:203", True),
        ("2002:a9fe:a9fe::1", False),
        ("2002:a01:203::1", True),
    ],
)
def test_validation_goes_anywhere_but_where_no_server_is(address: str, may: bool) -> None:
    assert profile().acme.may_connect(address) is may


def test_validation_stays_in_the_allowed_networks() -> None:
    acme = profile(acme={"allowed_networks": ["10.0.0.0/8", "2001:db8::/32"]}).acme
    assert acme.may_connect("10.1.2.3")
    assert acme.may_connect("::ffff:10.1.2.3")
    assert acme.may_connect("2001:db8::1")
    assert not acme.may_connect("11.0.0.1")
    assert not acme.may_connect("2001:db9::1")
    assert not acme.may_connect("64:ff9b::a01:203")  # carried by an address that is not allowed


def test_denied_networks_are_stronger_than_allowed_ones() -> None:
    acme = profile(acme={"allowed_networks": ["10.0.0.0/8"], "denied_networks": ["10.9.0.0/16"]}).acme
    assert acme.may_connect("10.8.0.1")
    assert not acme.may_connect("10.9.0.1")


def test_what_is_no_address_is_no_question() -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        profile().acme.may_connect("a.example")


def test_trust_needs_an_external_account_or_a_written_reason() -> None:
    assert profile(acme={"mode": "trusted", "external_account_required": True}).acme.mode == "trusted"
    reason = "Only our own machines reach this network."
    assert (
        profile(acme={"mode": "trusted", "trusted_without_external_account": reason}).acme.mode == "trusted"
    )
