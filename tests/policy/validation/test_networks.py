import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.validation import DENIED_BY_DEFAULT, NetworkRules


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "0.0.0.0",
        "0.1.2.3",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "fe80::1",
        "ff02::1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "::ffff:0.0.0.0",
    ],
)
def test_never_a_place_to_prove_anything(address: str) -> None:
    assert not NetworkRules().permits(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.0.0.1", "192.168.1.1", "fd00::1", "203.0.113.9"])
def test_a_private_pki_reaches_private_networks(address: str) -> None:
    assert NetworkRules().permits(ipaddress.ip_address(address))


def test_allowed_networks_are_the_only_ones() -> None:
    rules = NetworkRules(allowed=(ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")))
    assert rules.permits(ipaddress.ip_address("10.9.9.9"))
    assert rules.permits(ipaddress.ip_address("fd00::9"))
    assert not rules.permits(ipaddress.ip_address("11.0.0.1"))
    assert not rules.permits(ipaddress.ip_address("::1"))


def test_a_denied_network_wins_over_an_allowed_one() -> None:
    rules = NetworkRules(
        allowed=(ipaddress.ip_network("10.0.0.0/8"),), denied=(ipaddress.ip_network("10.1.0.0/16"),)
    )
    assert rules.permits(ipaddress.ip_address("10.2.0.1"))
    assert not rules.permits(ipaddress.ip_address("10.1.0.1"))


def test_one_family_allowed_is_the_other_one_refused() -> None:
    rules = NetworkRules(allowed=(ipaddress.ip_network("0.0.0.0/0"),))
    assert not rules.permits(ipaddress.ip_address("2001:db8::1"))


NETWORKS = st.lists(
    st.one_of(
        st.ip_addresses(v=4).flatmap(lambda a: st.integers(0, 32).map(lambda n: f"{a}/{n}")),
        st.ip_addresses(v=6).flatmap(lambda a: st.integers(0, 128).map(lambda n: f"{a}/{n}")),
    ).map(lambda text: ipaddress.ip_network(text, strict=False)),
    max_size=4,
).map(tuple)


@given(NETWORKS, NETWORKS, st.ip_addresses())
def test_the_standard_library_is_the_judge(
    allowed: tuple[ipaddress.IPv4Network, ...],
    denied: tuple[ipaddress.IPv4Network, ...],
    address: ipaddress.IPv4Address,
) -> None:
    expected = any(address in n for n in allowed) and not any(address in n for n in denied)
    permitted = NetworkRules(allowed, denied).permits(address)
    assert permitted <= expected  # an address carried inside may make it stricter, never looser
    if address.version == 4:
        assert permitted == expected


@given(st.ip_addresses(v=4))
def test_no_way_round_through_the_other_family(inner: ipaddress.IPv4Address) -> None:
    rules = NetworkRules(denied=DENIED_BY_DEFAULT)
    for outer in (
        ipaddress.IPv6Address(f"::ffff:{inner}"),
        ipaddress.IPv6Address(int(ipaddress.IPv6Address("64:ff9b::")) + int(inner)),
        ipaddress.IPv6Address((0x2002 << 112) + (int(inner) << 80)),
    ):
        assert rules.permits(outer) == rules.permits(inner)
