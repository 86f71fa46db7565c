"""Questions to real resolvers on loopback: good ones, broken ones, and none at all."""

import asyncio
import contextlib
import itertools
import secrets
import socket
from collections.abc import AsyncIterator, Callable

import pytest

from policy.validation import Problem
from policy.validation.dns_client import MOST_CNAMES, Answer, DNSClient, Outcome
from policy.validation.dns_wire import RRType, text_of
from policy.validation.records import Trail
from tests.common.responders import TCPResponder
from tests.policy.validation.stage import Stage

Datagram = Callable[[bytes], list[bytes]]


async def ask(
    resolvers: list[tuple[str, int]],
    name: str,
    rrtype: RRType = RRType.TXT,
    *,
    dns_timeout: float = 1.0,
    seconds: float = 5.0,
    most_bytes: int = 16384,
    trail: Trail | None = None,
) -> Answer:
    client = DNSClient(dns_timeout=dns_timeout, most_bytes=most_bytes)
    deadline = asyncio.get_running_loop().time() + seconds
    answers = await client.ask(resolvers, name, (rrtype,), deadline=deadline, trail=trail or Trail())
    assert answers[rrtype].rrtype is rrtype
    return answers[rrtype]


def texts(answer: Answer) -> list[bytes]:
    return [text_of(rdata) for rdata in answer.records]


@contextlib.asynccontextmanager
async def resolver(replies: Datagram) -> AsyncIterator[tuple[str, int]]:
    """A resolver that answers each datagram with whatever `replies` makes of it."""

    class Peer(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            for reply in replies(data):
                self.transport.sendto(reply, addr)  # type: ignore[attr-defined]

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Peer, local_addr=("127.0.0.1", 0))
    try:
        yield transport.get_extra_info("sockname")[:2]
    finally:
        transport.close()


def txt_reply(asked: bytes, value: bytes, flags: bytes = b"\x81\x80") -> bytes:
    end = asked.index(b"\0", 12) + 5
    record = b"\xc0\x0c\0\x10\0\1\0\0\0\0" + (len(value) + 1).to_bytes(2, "big") + bytes([len(value)]) + value
    return asked[:2] + flags + b"\0\1\0\1\0\0\0\0" + asked[12:end] + record


def error_reply(asked: bytes, rcode: int) -> bytes:
    end = asked.index(b"\0", 12) + 5
    return asked[:2] + bytes([0x81, 0x80 | rcode]) + b"\0\1\0\0\0\0\0\0" + asked[12:end]


def unused_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


async def test_several_values(stage: Stage) -> None:
    for value in ("one", "two", "x" * 600):
        stage.dns.zone.add_txt("a.test", value)
    answer = await ask([stage.dns.address], "a.test")
    assert answer.outcome is Outcome.FOUND
    assert sorted(texts(answer)) == [b"one", b"two", b"x" * 600]


async def test_addresses_of_both_families_in_one_go(stage: Stage) -> None:
    stage.dns.zone.add("a.test", "A", "10.0.0.1", "10.0.0.2")
    stage.dns.zone.add("a.test", "AAAA", "fd00::1")
    client = DNSClient(dns_timeout=1, most_bytes=1000)
    answers = await client.ask(
        [stage.dns.address],
        "a.test",
        (RRType.AAAA, RRType.A),
        deadline=asyncio.get_running_loop().time() + 5,
        trail=Trail(),
    )
    assert sorted(answers[RRType.A].records) == [b"\x0a\0\0\1", b"\x0a\0\0\2"]
    assert answers[RRType.AAAA].records == (b"\xfd" + bytes(14) + b"\1",)


async def test_no_name_and_no_records_are_told_apart(stage: Stage) -> None:
    assert (await ask([stage.dns.address], "a.example")).outcome is Outcome.NO_NAME
    assert (await ask([stage.dns.address], "a.test")).outcome is Outcome.NO_RECORDS
    assert "does not exist" in (await ask([stage.dns.address], "a.example")).failure().detail
    assert "has no TXT record" in (await ask([stage.dns.address], "a.test")).failure().detail


async def test_no_name_is_final(stage: Stage) -> None:
    """A second resolver is for resolvers that fail, not for shopping until one knows the name."""
    async with resolver(lambda asked: [txt_reply(asked, b"surprise")]) as second:
        answer = await ask([stage.dns.address, second], "a.example")
    assert answer.outcome is Outcome.NO_NAME


@pytest.mark.parametrize("rcode", [2, 5, 9])
async def test_a_failing_resolver_is_not_the_last_word(stage: Stage, rcode: int) -> None:
    stage.dns.zone.add_txt("a.test", "value")
    trail = Trail()
    async with resolver(lambda asked: [error_reply(asked, rcode)]) as first:
        assert texts(await ask([first, stage.dns.address], "a.test", trail=trail)) == [b"value"]
    outcomes = [lookup.outcome for lookup in trail.lookups]
    assert outcomes == [{2: "SERVFAIL", 5: "REFUSED", 9: "RCODE 9"}[rcode], "NOERROR"]


async def test_a_silent_resolver_is_not_the_last_word(stage: Stage) -> None:
    stage.dns.zone.add_txt("a.test", "value")
    async with resolver(lambda _: []) as first:
        answer = await ask([first, stage.dns.address], "a.test", dns_timeout=0.2)
    assert texts(answer) == [b"value"]


async def test_a_dead_resolver_is_not_the_last_word(stage: Stage) -> None:
    stage.dns.zone.add_txt("a.test", "value")
    dead = ("127.0.0.1", unused_port())
    assert texts(await ask([dead, stage.dns.address], "a.test")) == [b"value"]


async def test_a_resolver_that_cannot_be_one() -> None:
    answer = await ask([("255.255.255.255", 53)], "a.test")
    assert "255.255.255.255:53: no DNS server answers there" in answer.failure().detail


async def test_a_dead_resolver_alone_is_named() -> None:
    port = unused_port()
    answer = await ask([("127.0.0.1", port)], "a.test")
    assert answer.outcome is Outcome.FAILED
    assert f"127.0.0.1:{port}: no DNS server answers there" in answer.failure().detail


async def test_a_lost_datagram_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    drawn = itertools.count(1)
    monkeypatch.setattr(secrets, "randbits", lambda _: next(drawn))

    def second_time(asked: bytes) -> list[bytes]:
        seen.append(asked)
        return [txt_reply(asked, b"value")] if len(seen) == 2 else []

    async with resolver(second_time) as only:
        assert texts(await ask([only], "a.test", dns_timeout=0.2)) == [b"value"]
    assert [question[:2] for question in seen] == [b"\0\1", b"\0\2"], "the second question is a new one"


async def test_silence_ends_in_time() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with resolver(lambda _: []) as only:
        answer = await ask([only], "a.test", dns_timeout=5, seconds=0.4)
    assert loop.time() - began < 2
    assert answer.outcome is Outcome.FAILED
    assert "no answer in time" in answer.failure().detail


async def test_no_resolver_at_all() -> None:
    answer = await ask([], "a.test")
    assert "no DNS resolver configured" in answer.failure().detail


async def test_an_ipv6_resolver() -> None:
    answer = await ask([("::1", unused_port())], "a.test", dns_timeout=0.2)
    assert "[::1]:" in answer.failure().detail


async def test_forged_answers_are_waited_out() -> None:
    """Wrong ids, wrong names and garbage before the true answer (RFC 5452 9.1)."""

    def forged(asked: bytes) -> list[bytes]:
        other = (int.from_bytes(asked[:2], "big") ^ 1).to_bytes(2, "big")
        return [
            txt_reply(other + asked[2:], b"forged"),
            txt_reply(asked.replace(b"\1a\4test", b"\1b\4test"), b"forged"),
            b"",
            asked,
            b"\xff" * 40,
            txt_reply(asked, b"true"),
        ]

    async with resolver(forged) as only:
        assert texts(await ask([only], "a.test")) == [b"true"]


async def test_a_flood_of_strays_ends() -> None:
    async with resolver(lambda _: [b"stray" * 3] * 64) as only:
        answer = await ask([only], "a.test", dns_timeout=0.3)
    assert answer.outcome is Outcome.FAILED


async def test_a_broken_answer_is_named() -> None:
    async with resolver(lambda asked: [txt_reply(asked, b"value")[:-3]]) as only:
        answer = await ask([only], "a.test", dns_timeout=0.2)
    assert "its answer is broken: a record is cut off" in answer.failure().detail


async def test_a_resolver_from_before_edns() -> None:
    def old(asked: bytes) -> list[bytes]:
        return [error_reply(asked, 1) if asked[11] else txt_reply(asked, b"value")]

    async with resolver(old) as only:
        assert texts(await ask([only], "a.test")) == [b"value"]


async def test_a_long_answer_comes_over_tcp(stage: Stage) -> None:
    for number in range(60):
        stage.dns.zone.add_txt("a.test", f"{number:043}")
    answer = await ask([stage.dns.address], "a.test", dns_timeout=10, seconds=20)
    assert len(answer.records) == 60
    assert [query.transport for query in stage.dns.zone.asked("a.test")] == ["udp", "tcp"]


async def test_too_long_an_answer(stage: Stage) -> None:
    for number in range(600):
        stage.dns.zone.add_txt("a.test", f"{number:043}")
    answer = await ask([stage.dns.address], "a.test", dns_timeout=10, seconds=20)
    assert "more than 16384; remove old records" in answer.failure().detail


async def _hang_up(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.readexactly(2)


async def _half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readexactly(20)
    writer.write(b"\1\0half")


async def _garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readexactly(20)
    writer.write(b"\0\x14" + b"\xff" * 20)


async def _nothing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


@pytest.mark.parametrize("handler", [_hang_up, _half, _garbage, _nothing, None])
async def test_tcp_that_goes_wrong(handler: Callable[..., None] | None) -> None:
    async with contextlib.AsyncExitStack() as stack:
        tcp = TCPResponder(handler)  # type: ignore[arg-type]  # None: nobody listens there
        udp = await stack.enter_async_context(resolver(lambda asked: [txt_reply(asked, b"", b"\x83\x80")]))
        if handler is not None:
            tcp.port = udp[1]
            await stack.enter_async_context(tcp)
        answer = await ask([udp], "a.test", dns_timeout=0.4)
    assert answer.outcome is Outcome.FAILED
    assert "TCP" in answer.failure().detail


async def test_an_alias_is_followed(stage: Stage) -> None:
    stage.dns.zone.add("_acme-challenge.a.test", "CNAME", "a.hub.example.")
    stage.dns.zone.add_txt("a.hub.example", "value")
    answer = await ask([stage.dns.address], "_acme-challenge.a.test")
    assert (answer.name, texts(answer)) == ("a.hub.example", [b"value"])


async def test_an_alias_alone_is_asked_on() -> None:
    """An authoritative server that gives the alias and not what lies behind it."""

    def alias_only(asked: bytes) -> list[bytes]:
        if b"\1b\4test" in asked:
            return [txt_reply(asked, b"value")]
        end = asked.index(b"\0", 12) + 5
        record = b"\xc0\x0c\0\5\0\1\0\0\0\0\0\x08\1b\4test\0"
        return [asked[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + asked[12:end] + record]

    trail = Trail()
    async with resolver(alias_only) as only:
        answer = await ask([only], "a.test", trail=trail)
    assert (answer.asked, answer.name, texts(answer)) == ("a.test", "b.test", [b"value"])
    assert [(lookup.name, lookup.answers) for lookup in trail.lookups] == [
        ("a.test", ("CNAME b.test",)),
        ("b.test", ('"value"',)),
    ]


async def test_an_alias_to_nowhere_says_so(stage: Stage) -> None:
    stage.dns.zone.add("a.test", "CNAME", "gone.example.")
    answer = await ask([stage.dns.address], "a.test")
    assert answer.outcome is Outcome.NO_NAME
    assert answer.failure().detail.startswith("the name gone.example does not exist")
    assert "a.test is a CNAME that leads there" in answer.failure().detail


async def test_aliases_in_a_circle(stage: Stage) -> None:
    stage.dns.zone.add("a.test", "CNAME", "b.test.")
    stage.dns.zone.add("b.test", "CNAME", "a.test.")
    answer = await ask([stage.dns.address], "a.test")
    assert answer.outcome is Outcome.FAILED
    assert "circle" in answer.failure().detail


async def test_a_chain_without_end() -> None:
    """Each answer is one more alias: asked on a bounded number of times."""
    count = 0

    def onward(asked: bytes) -> list[bytes]:
        nonlocal count
        count += 1
        end = asked.index(b"\0", 12) + 5
        record = b"\xc0\x0c\0\5\0\1\0\0\0\0\0\x09\2" + f"{count:02}".encode() + b"\4test\0"
        return [asked[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + asked[12:end] + record]

    async with resolver(onward) as only:
        answer = await ask([only], "a.test")
    assert count == MOST_CNAMES + 1
    assert f"more than {MOST_CNAMES} CNAME" in answer.failure().detail


async def test_records_of_other_names_and_types_do_not_count() -> None:
    """A value for a neighbour in the same answer is no value for us."""

    def neighbourly(asked: bytes) -> list[bytes]:
        end = asked.index(b"\0", 12) + 5
        ours, theirs = b"\xc0\x0c", b"\1b\4test\0"
        txt, a = b"\0\x10\0\1\0\0\0\0", b"\0\1\0\1\0\0\0\0"
        records = [theirs + txt + b"\0\7\6theirs", ours + a + b"\0\4\4abc", ours + txt + b"\0\5\4ours"]
        return [asked[:2] + b"\x81\x80\0\1\0\3\0\0\0\0" + asked[12:end] + b"".join(records)]

    trail = Trail()
    async with resolver(neighbourly) as only:
        assert texts(await ask([only], "a.test", trail=trail)) == [b"ours"]
    assert trail.lookups[0].answers == ('"theirs"', "4.97.98.99", '"ours"')


async def test_a_name_that_does_not_exist_has_no_records() -> None:
    async with resolver(lambda asked: [txt_reply(asked, b"value", b"\x81\x83")]) as only:
        assert (await ask([only], "a.test")).outcome is Outcome.NO_NAME


async def test_the_second_resolver_is_not_troubled_without_need(stage: Stage) -> None:
    asked = []

    def noted(message: bytes) -> list[bytes]:
        asked.append(message)
        return []

    async with resolver(noted) as second:
        await ask([stage.dns.address, second], "a.test")
    assert asked == []


async def test_an_address_of_the_wrong_length_is_none(stage: Stage) -> None:
    def odd(asked: bytes) -> list[bytes]:
        end = asked.index(b"\0", 12) + 5
        kind = asked[end - 4 : end - 2]
        record = b"\xc0\x0c" + kind + b"\0\1\0\0\0\0\0\5\x7f\0\0\1\1"
        return [asked[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + asked[12:end] + record]

    async with resolver(odd) as only:
        failure = await stage.refused("http-01", "a.test", Problem.DNS, "neither an A nor", resolvers=(only,))
    assert failure.record is not None
    assert failure.record.lookups[0].answers == ('"\\x7f\\x00\\x00\\x01\\x01"',)


async def test_case_does_not_matter(stage: Stage) -> None:
    def shouting(asked: bytes) -> list[bytes]:
        return [txt_reply(asked.replace(b"\1a\4test", b"\1A\4TeSt"), b"value")]

    async with resolver(shouting) as only:
        assert texts(await ask([only], "a.test")) == [b"value"]
