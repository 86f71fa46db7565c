"""CAA: who may issue (RFC 8659), for which account and by which method (RFC 8657)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca.names import parse_identifier
from policy.validation import CAARequest, Problem, ValidationFailed, ValidationRecord
from policy.validation.caa import Property, judge
from tests.policy.validation.stage import Stage

OURS = CAARequest(frozenset({"ca.test", "pki.test"}), "https://ca.test/acct/1", "dns-01")


async def check(stage: Stage, name: str, request: CAARequest = OURS, **settings: Any) -> ValidationRecord:
    return await stage.validator(**settings).check_caa(parse_identifier("dns", name), request)


async def refused(
    stage: Stage, name: str, *words: str, problem: Problem = Problem.CAA, **settings: Any
) -> ValidationFailed:
    with pytest.raises(ValidationFailed) as caught:
        await check(stage, name, **settings)
    assert caught.value.problem is problem
    for part in words:
        assert part in caught.value.detail
    assert caught.value.record is not None
    assert caught.value.record.method == "caa"
    return caught.value


async def test_no_record_anywhere_permits(stage: Stage) -> None:
    record = await check(stage, "a.b.test")
    assert [lookup.name for lookup in record.lookups] == ["a.b.test", "b.test", "test"]
    await check(stage, "gone.example")


async def test_addresses_have_no_caa(stage: Stage) -> None:
    record = await stage.validator().check_caa(parse_identifier("ip", "127.0.0.1"), OURS)
    assert record.lookups == ()


async def test_the_nearest_records_count(stage: Stage) -> None:
    stage.dns.zone.add("test", "CAA", '0 issue "other.test"')
    await refused(stage, "a.b.test", 'CAA of test permits "other.test"', "ca.test, pki.test")
    stage.dns.zone.add("b.test", "CAA", '0 issue "ca.test"')
    await check(stage, "a.b.test")
    stage.dns.zone.add("a.b.test", "CAA", '0 issue ";"')
    await refused(stage, "a.b.test", 'CAA of a.b.test permits ";"')


async def test_records_behind_an_alias(stage: Stage) -> None:
    stage.dns.zone.add("a.test", "CNAME", "a.example.")
    stage.dns.zone.add("a.example", "CAA", '0 issue "other.test"')
    await refused(stage, "a.test", "other.test")


async def test_wildcards_have_their_own(stage: Stage) -> None:
    stage.dns.zone.add("a.test", "CAA", '0 issue "ca.test"', '0 issuewild "other.test"')
    await check(stage, "a.test")
    await refused(stage, "*.a.test", "other.test")
    stage.dns.zone.clear("a.test", "CAA")
    stage.dns.zone.add("a.test", "CAA", '0 issue "other.test"', '0 issuewild "ca.test"')
    await refused(stage, "a.test", "other.test")
    await check(stage, "*.a.test")


async def test_a_lookup_that_fails_does_not_permit(stage: Stage) -> None:
    stage.dns.zone.fail("b.test", "SERVFAIL")
    await refused(stage, "a.b.test", "SERVFAIL", "CAA of b.test", problem=Problem.DNS)
    stage.dns.zone.silence("c.test")
    await refused(stage, "c.test", "no answer in time", problem=Problem.DNS, dns_timeout=0.2)


async def test_malformed_records_do_not_permit(stage: Stage) -> None:
    for rdata in (b"", b"\0", b"\0\5iss", b"\0\0ca.test", b"\0\5is ueca.test", b"\0\xffissue"):

        async def answer(wire: bytes, _: str, rdata: bytes = rdata) -> bytes:
            end = wire.index(b"\0", 12) + 5
            record = b"\xc0\x0c\1\1\0\1\0\0\0\0" + len(rdata).to_bytes(2, "big") + rdata
            return wire[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + wire[12:end] + record

        stage.dns.zone.answer = answer  # type: ignore[method-assign, assignment]
        await refused(stage, "a.test", "malformed")


def permits(*records: tuple[str, str], wildcard: bool = False, request: CAARequest = OURS) -> bool:
    try:
        judge("a.test", [Property(False, tag, value) for tag, value in records], request, wildcard=wildcard)
    except ValidationFailed:
        return False
    return True


@pytest.mark.parametrize(
    ("value", "permitted"),
    [
        ("ca.test", True),
        ("PKI.Test", True),
        ("  ca.test\t", True),
        ("ca.test;", True),
        ("ca.test ; ", True),
        ("", False),
        (";", False),
        ("ca.test.", False),
        ("sub.ca.test", False),
        ("test", False),
        ("ca.test other.test", False),
        ("ca.test; accounturi=https://ca.test/acct/1", True),
        ("ca.test; AccountURI=https://ca.test/acct/1", True),
        ("ca.test; accounturi=https://ca.test/acct/2", False),
        ("ca.test; accounturi=", False),
        ("ca.test; validationmethods=dns-01", True),
        ("ca.test; validationmethods=http-01,dns-01", True),
        ("ca.test; validationmethods=http-01", False),
        ("ca.test; validationmethods=DNS-01", False),
        ("ca.test; validationmethods=", False),
        ("ca.test; accounturi=https://ca.test/acct/1; validationmethods=dns-01", True),
        ("ca.test; accounturi=https://ca.test/acct/1; validationmethods=http-01", False),
        ("ca.test; accounturi=https://ca.test/acct/1; accounturi=https://ca.test/acct/2", False),
        ("ca.test; unknown=whatever", True),
        ("ca.test; no parameter", False),
        ("ca.test; =x", False),
        ("ca.test; a=b c", False),
        ("ca.test; a=b\x01", False),
    ],
)
def test_one_value(value: str, permitted: bool) -> None:
    assert permits(("issue", value)) is permitted


def test_one_permitting_record_is_enough() -> None:
    assert permits(("issue", "other.test"), ("issue", "ca.test"))
    assert not permits(("issue", "other.test"), ("issue", ";"))


def test_other_properties_do_not_restrict() -> None:
    assert permits(("iodef", "mailto:a@a.test"), ("issuemail", ";"))
    assert permits(("issuewild", ";"))
    assert not permits(("issuewild", ";"), wildcard=True)
    assert permits(("unknown", "x"))


def test_a_critical_property_that_we_do_not_know() -> None:
    with pytest.raises(ValidationFailed, match="not understood: unknown"):
        judge(
            "a.test",
            [Property(True, "unknown", "x"), Property(False, "issue", "ca.test")],
            OURS,
            wildcard=False,
        )
    judge("a.test", [Property(True, "issue", "ca.test")], OURS, wildcard=False)


def test_a_binding_needs_the_other_half() -> None:
    bare = CAARequest(frozenset({"ca.test"}))
    assert permits(("issue", "ca.test"), request=bare)
    assert not permits(("issue", "ca.test; accounturi=x"), request=bare)
    assert not permits(("issue", "ca.test; validationmethods=dns-01"), request=bare)


@pytest.mark.parametrize("domains", [set(), {"CA.test"}, {"ca.test."}, {"ca test"}, {""}])
def test_an_issuer_needs_a_domain(domains: set[str]) -> None:
    with pytest.raises(ValueError, match="issuer_domains"):
        CAARequest(frozenset(domains))


@given(
    st.lists(
        st.tuples(st.sampled_from(["issue", "issuewild", "iodef", "x"]), st.text(max_size=30)), max_size=5
    )
)
def test_nothing_else_is_raised_and_strangers_get_nothing(records: list[tuple[str, str]]) -> None:
    stranger = CAARequest(frozenset({"not-in-any-of-these.test"}))
    assert permits(*records, request=stranger) is not any(tag == "issue" for tag, _ in records)
