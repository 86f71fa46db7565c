"""dns-01 against a real DNS server (RFC 8555 8.4)."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ca.names import parse_identifier
from policy.validation import Problem, ValidationFailed, ValidationSettings, Validator
from tests.common.responders import DNSResponder
from tests.policy.validation.stage import KEY_AUTHORIZATION, RULES, TOKEN, TXT_VALUE, Stage

PLACE = "_acme-challenge.a.test"


async def test_the_value_is_there(stage: Stage) -> None:
    stage.dns.zone.add_txt(PLACE, TXT_VALUE)
    record = await stage.validate("dns-01", "a.test")
    (lookup,) = record.lookups
    assert (lookup.name, lookup.rrtype, lookup.answers) == (PLACE, "TXT", (f'"{TXT_VALUE}"',))
    assert record.connections == ()


async def test_any_of_several_values(stage: Stage) -> None:
    for value in ("old", "x" * 43, TXT_VALUE, "y" * 300):
        stage.dns.zone.add_txt(PLACE, value)
    await stage.validate("dns-01", "a.test")


async def test_base_and_wildcard_share_one_place(stage: Stage) -> None:
    stage.dns.zone.add_txt(PLACE, "the value for the base name's own token")
    stage.dns.zone.add_txt(PLACE, TXT_VALUE)
    await stage.validate("dns-01", "*.a.test")
    await stage.validate("dns-01", "a.test")


async def test_several_strings_are_one_value(stage: Stage) -> None:
    stage.dns.zone.add(PLACE, "TXT", f'"{TXT_VALUE[:10]}" "" "{TXT_VALUE[10:]}"')
    await stage.validate("dns-01", "a.test")


async def test_through_an_alias(stage: Stage) -> None:
    stage.dns.zone.add(PLACE, "CNAME", "u1.validation.example.")
    stage.dns.zone.add("u1.validation.example", "CNAME", "u2.validation.example.")
    stage.dns.zone.add_txt("u2.validation.example", TXT_VALUE)
    await stage.validate("dns-01", "a.test")
    stage.dns.zone.clear("u2.validation.example", "TXT")
    stage.dns.zone.add_txt("u2.validation.example", "wrong")
    await stage.refused(
        "dns-01", "a.test", Problem.INCORRECT_RESPONSE, "through a CNAME to u2.validation.example", '"wrong"'
    )


async def test_a_very_long_set_over_tcp(stage: Stage) -> None:
    for number in range(200):
        stage.dns.zone.add_txt(PLACE, f"{number:043}")
    stage.dns.zone.add_txt(PLACE, TXT_VALUE)
    await stage.validate("dns-01", "a.test", dns_timeout=10.0, timeout=20.0)


async def test_a_set_beyond_the_bound(stage: Stage) -> None:
    for number in range(400):
        stage.dns.zone.add_txt(PLACE, f"{number:043}")
    stage.dns.zone.add_txt(PLACE, TXT_VALUE)
    await stage.refused("dns-01", "a.test", Problem.DNS, "remove old records", dns_timeout=10.0, timeout=20.0)


async def test_malformed_values_are_passed_over(stage: Stage) -> None:
    async def answer(wire: bytes, _: str) -> bytes:
        end = wire.index(b"\0", 12) + 5
        record = b"\xc0\x0c\0\x10\0\1\0\0\0\0"
        good = bytes([len(TXT_VALUE)]) + TXT_VALUE.encode()
        records = [b"\x09cut off", b"", good][: 2 + with_good]
        head = wire[:2] + b"\x81\x80\0\1\0" + bytes([len(records)]) + b"\0\0\0\0" + wire[12:end]
        return head + b"".join(record + len(rdata).to_bytes(2, "big") + rdata for rdata in records)

    stage.dns.zone.answer = answer  # type: ignore[method-assign, assignment]
    with_good = False
    await stage.refused("dns-01", "a.test", Problem.INCORRECT_RESPONSE, 'is ""; none')
    with_good = True
    await stage.validate("dns-01", "a.test")


@pytest.mark.parametrize(
    "value",
    [
        TXT_VALUE.swapcase(),
        TXT_VALUE + "=",
        TXT_VALUE[:-1],
        " " + TXT_VALUE,
        "",
        '"' + TXT_VALUE + '"',
        TXT_VALUE * 2,
    ],
)
async def test_nearly_right_is_wrong(stage: Stage, value: str) -> None:
    stage.dns.zone.add_txt(PLACE, value)
    await stage.refused("dns-01", "a.test", Problem.INCORRECT_RESPONSE, PLACE, f'expected "{TXT_VALUE}"')


async def test_many_wrong_values_are_shown_in_part(stage: Stage) -> None:
    for number in range(9):
        stage.dns.zone.add_txt(PLACE, f"wrong{number}")
    await stage.refused("dns-01", "a.test", Problem.INCORRECT_RESPONSE, "and 6 more", "every name server")


async def test_the_ways_to_have_nothing_are_told_apart(stage: Stage) -> None:
    await stage.refused("dns-01", "a.test", Problem.DNS, f"{PLACE} has no TXT record")
    await stage.refused("dns-01", "a.example", Problem.DNS, "does not exist in DNS (NXDOMAIN)")
    stage.dns.zone.fail(PLACE, "SERVFAIL")
    await stage.refused("dns-01", "a.test", Problem.DNS, "answered SERVFAIL", str(stage.dns.port))
    stage.dns.zone.heal(PLACE)
    stage.dns.zone.silence(PLACE)
    await stage.refused("dns-01", "a.test", Problem.DNS, "no answer in time", dns_timeout=0.2)


async def test_a_slow_server_is_waited_for(stage: Stage) -> None:
    stage.dns.zone.add_txt(PLACE, TXT_VALUE)
    stage.dns.zone.delay(PLACE, 0.3)
    await stage.validate("dns-01", "a.test")


async def test_a_name_too_long_to_carry_the_label(stage: Stage) -> None:
    name = ".".join(["x" * 60] * 4)[:240] + ".test"
    await stage.refused("dns-01", name, Problem.DNS, "no name that DNS can be asked for")


async def test_the_hosts_file_says_nothing_about_text(stage: Stage) -> None:
    stage.dns.zone.add_txt("_acme-challenge.localhost", TXT_VALUE)
    record = await stage.validate("dns-01", "localhost")
    assert record.lookups[0].name == "_acme-challenge.localhost"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=120), st.integers(0, 5))
def test_whatever_a_resolver_sends(tail: bytes, records: int) -> None:
    """Nothing else than ValidationFailed comes out."""

    async def run() -> None:
        async with DNSResponder() as dns:

            async def answer(wire: bytes, _: str) -> bytes:
                end = wire.index(b"\0", 12) + 5
                head = wire[:2] + b"\x81\x80\0\1\0" + bytes([records]) + b"\0\0\0\0"
                return head + wire[12:end] + tail

            dns.zone.answer = answer  # type: ignore[method-assign, assignment]
            validator = Validator(ValidationSettings(resolvers=(dns.address,), dns_timeout=0.02, timeout=0.2))
            with pytest.raises(ValidationFailed):
                await validator.validate(
                    "dns-01", parse_identifier("dns", "a.test"), TOKEN, KEY_AUTHORIZATION, RULES
                )

    asyncio.run(run())
