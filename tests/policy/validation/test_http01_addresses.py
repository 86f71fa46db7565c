"""Which addresses an http-01 check connects to: families, order, names without any, and the profile's networks."""

from ipaddress import ip_network

import pytest

from policy.validation import NetworkRules, Problem, ValidationFailed
from tests.common.responders import HTTP01Responder
from tests.policy.validation.stage import KEY_AUTHORIZATION, TOKEN, Stage


async def test_ipv6_comes_first(stage: Stage) -> None:
    stage.dns.zone.add("a.test", "AAAA", "::1")
    async with HTTP01Responder("::1", stage.http.port) as six:
        six.tokens[TOKEN] = KEY_AUTHORIZATION
        record = await stage.validate("http-01", "a.test")
    assert [connection.address for connection in record.connections] == ["::1"]
    assert stage.http.requests == []


async def test_ipv4_when_ipv6_does_not_accept(stage: Stage) -> None:
    stage.dns.zone.add("a.test", "AAAA", "::1")
    stage.http.tokens[TOKEN] = KEY_AUTHORIZATION
    record = await stage.validate("http-01", "a.test")
    assert [(c.address, c.outcome.split(";")[0]) for c in record.connections] == [
        ("::1", "connection refused"),
        ("127.0.0.1", "connected"),
    ]


async def test_no_second_family_for_a_wrong_answer(stage: Stage) -> None:
    """Only a connection that fails is tried elsewhere: what an address answers is the answer."""
    stage.dns.zone.add("a.test", "AAAA", "::1")
    stage.http.tokens[TOKEN] = KEY_AUTHORIZATION
    async with HTTP01Responder("::1", stage.http.port):
        await stage.refused("http-01", "a.test", Problem.INCORRECT_RESPONSE, "status 404", "[::1]")


async def test_two_addresses_at_most(stage: Stage) -> None:
    stage.dns.zone.add("a.test", "A", *(f"127.0.0.{n}" for n in range(2, 12)))
    async with HTTP01Responder() as other:
        failure = await stage.refused("http-01", "a.test", Problem.CONNECTION, http01_port=other.port)
    assert failure.record is not None
    assert len(failure.record.connections) == 2


async def test_a_broken_aaaa_does_not_matter(stage: Stage) -> None:
    """Name servers that know nothing of AAAA are common; a silent one costs `dns_timeout`."""
    stage.http.tokens[TOKEN] = KEY_AUTHORIZATION
    answer = stage.dns.zone.answer

    async def no_aaaa(wire: bytes, transport: str) -> bytes | None:
        return None if b"\0\x1c\0\1" in wire else await answer(wire, transport)

    stage.dns.zone.answer = no_aaaa  # type: ignore[method-assign]
    await stage.validate("http-01", "a.test", dns_timeout=0.2)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gone.example", "does not exist in DNS (NXDOMAIN)"),
        ("bare.test", "neither an A nor an AAAA record"),
        ("broken.test", "SERVFAIL"),
        ("silent.test", "no answer in time"),
    ],
)
async def test_names_without_an_address(stage: Stage, name: str, words: str) -> None:
    stage.dns.zone.add("bare.test", "A")
    stage.dns.zone.fail("broken.test", "SERVFAIL")
    stage.dns.zone.silence("silent.test")
    await stage.refused("http-01", name, Problem.DNS, words, name, dns_timeout=0.2)


@pytest.mark.parametrize("failing", [b"\0\1\0\1", b"\0\x1c\0\1"])
async def test_one_family_fails_and_the_other_has_nothing(stage: Stage, failing: bytes) -> None:
    """The failure is what the user must hear about: the address may be there all the same."""
    stage.dns.zone.add("bare.test", "A")
    answer = stage.dns.zone.answer

    async def half(wire: bytes, transport: str) -> bytes | None:
        end = wire.index(b"\0", 12) + 5
        if failing in wire:
            return wire[:2] + b"\x81\x82\0\1\0\0\0\0\0\0" + wire[12:end]
        return await answer(wire, transport)

    stage.dns.zone.answer = half  # type: ignore[method-assign]
    await stage.refused("http-01", "bare.test", Problem.DNS, "failed", "SERVFAIL")


async def test_the_networks_decide(stage: Stage) -> None:
    stage.http.tokens[TOKEN] = KEY_AUTHORIZATION
    rules = NetworkRules(denied=(ip_network("127.0.0.0/8"),))
    with pytest.raises(ValidationFailed, match="may not connect to") as caught:
        await stage.validate("http-01", "a.test", rules)
    assert caught.value.problem is Problem.CONNECTION
    with pytest.raises(ValidationFailed, match=r"127\.0\.0\.1, where"):
        await stage.validate("http-01", "127.0.0.1", rules)
    assert stage.http.connections == 0


async def test_a_denied_address_is_passed_over(stage: Stage) -> None:
    stage.dns.zone.add("a.test", "A", "127.0.0.9", "127.0.0.1")
    stage.http.tokens[TOKEN] = KEY_AUTHORIZATION
    record = await stage.validate("http-01", "a.test", NetworkRules(denied=(ip_network("127.0.0.9/32"),)))
    assert [connection.address for connection in record.connections] == ["127.0.0.1"]


async def test_metadata_services_are_out_of_reach(stage: Stage) -> None:
    stage.dns.zone.add("a.test", "A", "169.254.169.254")
    await stage.refused("http-01", "a.test", Problem.CONNECTION, "169.254.169.254", "may not connect")


async def test_the_address_is_looked_up_once(stage: Stage) -> None:
    """A name whose address changes between check and connection (DNS rebinding) gains nothing."""
    stage.dns.zone.add("a.test", "A", "127.0.0.1")
    stage.http.tokens[TOKEN] = KEY_AUTHORIZATION
    await stage.validate("http-01", "a.test")
    assert sorted(query.rrtype for query in stage.dns.zone.asked("a.test")) == ["A", "AAAA"]
