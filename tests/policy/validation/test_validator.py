"""The front: who may be checked how, how many at once, what is left behind."""

import asyncio
import contextlib
import json
import resource
from pathlib import Path

import pytest

from ca.names import Identifier, IdentifierType, parse_identifier
from policy.validation import Method, Problem, ValidationFailed, ValidationSettings, Validator
from tests.common.responders import TCPResponder
from tests.policy.validation.stage import KEY_AUTHORIZATION, RULES, TOKEN, TXT_VALUE, Stage


@pytest.mark.parametrize(
    ("method", "identifier", "words"),
    [
        ("http-01", parse_identifier("dns", "*.a.test"), "wildcard name; use dns-01"),
        ("tls-alpn-01", parse_identifier("dns", "*.a.test"), "wildcard name; use dns-01"),
        ("dns-01", parse_identifier("ip", "127.0.0.1"), "use http-01 or tls-alpn-01"),
        ("http-01", Identifier(IdentifierType.EMAIL, "a@a.test"), "of type email"),
        ("dns-01", Identifier(IdentifierType.URI, "spiffe://a.test/x"), "of type uri"),
    ],
)
async def test_what_a_method_cannot_show(method: str, identifier: Identifier, words: str) -> None:
    validator = Validator(ValidationSettings())
    with pytest.raises(ValidationFailed, match=words) as caught:
        await validator.validate(method, identifier, TOKEN, KEY_AUTHORIZATION, RULES)
    assert caught.value.problem is Problem.REJECTED_IDENTIFIER


@pytest.mark.parametrize(
    ("method", "token", "key_authorization"),
    [
        ("email-reply-00", TOKEN, KEY_AUTHORIZATION),
        ("http-01", "../../etc/passwd", KEY_AUTHORIZATION),
        ("http-01", "a b", KEY_AUTHORIZATION),
        ("http-01", "", KEY_AUTHORIZATION),
        ("http-01", TOKEN, TOKEN),
        ("http-01", TOKEN, KEY_AUTHORIZATION + "\n"),
        ("http-01", TOKEN + "\n", KEY_AUTHORIZATION),
    ],
)
async def test_what_only_a_mistake_of_ours_could_ask(method: str, token: str, key_authorization: str) -> None:
    validator = Validator(ValidationSettings())
    with pytest.raises(ValueError, match=r"is not a valid|base64url"):
        await validator.validate(method, parse_identifier("dns", "a.test"), token, key_authorization, RULES)


async def test_a_record_of_each_outcome_is_plain_json(stage: Stage) -> None:
    stage.http.tokens[TOKEN] = KEY_AUTHORIZATION
    stage.dns.zone.add_txt("_acme-challenge.a.test", "\x07 bell \\ and " + TXT_VALUE)
    good = await stage.validate("http-01", "a.test")
    bad = (await stage.refused("dns-01", "a.test", Problem.INCORRECT_RESPONSE)).record
    assert bad is not None
    for record, method in ((good, Method.HTTP_01), (bad, Method.DNS_01)):
        plain = json.loads(json.dumps(record.as_json()))
        assert plain["method"] == method
        assert set(plain) == {"method", "identifier", "lookups", "connections", "seconds"}
        assert "\\u0000" not in json.dumps(plain)
        assert 0 <= plain["seconds"] < 5
    assert bad.lookups[0].answers[0].isprintable()


async def test_no_more_at_once_than_allowed(stage: Stage) -> None:
    now = most = 0

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.05)
        writer.write(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")
        now -= 1

    async with TCPResponder(slow) as server:
        validator = stage.validator(http01_port=server.port, max_concurrent=3)
        identifier = parse_identifier("ip", "127.0.0.1")
        results = await asyncio.gather(
            *(validator.validate("http-01", identifier, TOKEN, KEY_AUTHORIZATION, RULES) for _ in range(12)),
            return_exceptions=True,
        )
    assert all(isinstance(result, ValidationFailed) for result in results)
    assert most == 3


async def test_closing_waits_and_then_refuses(stage: Stage) -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.2)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + KEY_AUTHORIZATION.encode())

    identifier = parse_identifier("ip", "127.0.0.1")
    async with TCPResponder(slow) as server:
        validator = stage.validator(http01_port=server.port, max_concurrent=2)
        running = [
            asyncio.ensure_future(validator.validate("http-01", identifier, TOKEN, KEY_AUTHORIZATION, RULES))
            for _ in range(3)
        ]
        await asyncio.sleep(0.05)
        await validator.close()
        await validator.close()
        assert [task.done() for task in running[:2]] == [True, True]
        await asyncio.gather(*running[:2])
        with pytest.raises(RuntimeError, match="closed"):
            await running[2]
    with pytest.raises(RuntimeError, match="closed"):
        await validator.validate("http-01", identifier, TOKEN, KEY_AUTHORIZATION, RULES)


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_no_descriptor_is_left_behind(stage: Stage) -> None:
    """After every kind of end: success, refusal, timeout, reset, cancellation, in each method."""
    stage.http.tokens[TOKEN] = KEY_AUTHORIZATION
    stage.tls.answer("a.test", KEY_AUTHORIZATION)
    stage.dns.zone.silence("silent.test")
    stage.dns.zone.silence("_acme-challenge.silent.test")

    async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async def once(server: TCPResponder) -> None:
        short = {"timeout": 0.4, "dns_timeout": 0.15}
        await stage.validate("http-01", "a.test")
        await stage.validate("tls-alpn-01", "a.test")
        await stage.refused("tls-alpn-01", "b.test", Problem.INCORRECT_RESPONSE)
        await stage.refused("http-01", "silent.test", Problem.DNS, **short)
        await stage.refused("http-01", "127.0.0.1", Problem.CONNECTION, http01_port=server.port, **short)
        await stage.refused("tls-alpn-01", "127.0.0.1", Problem.TLS, tlsalpn01_port=server.port, **short)
        await stage.refused("tls-alpn-01", "127.0.0.1", Problem.TLS, tlsalpn01_port=stage.http.port, **short)
        for method in Method:
            validator = stage.validator(http01_port=server.port, tlsalpn01_port=server.port)
            name = parse_identifier("dns", "silent.test" if method is Method.DNS_01 else "a.test")
            task = asyncio.ensure_future(validator.validate(method, name, TOKEN, KEY_AUTHORIZATION, RULES))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    async with TCPResponder(hang) as server:
        await once(server)
        await asyncio.sleep(0.2)
        before = _descriptors()
        for _ in range(3):
            await once(server)
        await asyncio.sleep(0.2)
        assert _descriptors() <= before


async def test_many_checks_whose_sockets_come_and_go(stage: Stage) -> None:
    """Descriptor numbers are reused at once: a stale registration would hang or mix up two checks."""
    stage.http.tokens[TOKEN] = KEY_AUTHORIZATION
    stage.tls.answer("a.test", KEY_AUTHORIZATION)
    stage.dns.zone.add_txt("_acme-challenge.a.test", TXT_VALUE)

    async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with TCPResponder(hang) as server:
        good = stage.validator(timeout=30.0)
        bad = stage.validator(http01_port=server.port, tlsalpn01_port=server.port, timeout=0.05)
        name = parse_identifier("dns", "a.test")
        outcomes = await asyncio.gather(
            *(
                validator.validate(method, name, TOKEN, KEY_AUTHORIZATION, RULES)
                for _ in range(15)
                for validator, method in ((good, m) for m in Method)
            ),
            *(
                bad.validate(method, name, TOKEN, KEY_AUTHORIZATION, RULES)
                for _ in range(15)
                for method in (Method.HTTP_01, Method.TLS_ALPN_01)
            ),
            return_exceptions=True,
        )
    assert [type(o).__name__ for o in outcomes[:45]] == ["ValidationRecord"] * 45
    assert [type(o).__name__ for o in outcomes[45:]] == ["ValidationFailed"] * 30


@pytest.mark.parametrize("name", ["a.test", "127.0.0.1"])
async def test_no_socket_to_spare(stage: Stage, name: str) -> None:
    """A machine out of descriptors must not tell users that their web server is broken."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
    with contextlib.ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, limits[1]))
        with contextlib.suppress(OSError):
            while True:
                stack.enter_context(open("/dev/null", "rb"))  # noqa: PTH123 - fills the gaps below
        await stage.refused("http-01", name, Problem.SERVER_INTERNAL, "no free sockets; try again")


def test_the_package_says_what_it_exports() -> None:
    import policy.validation as package  # noqa: PLC0415

    folder = Path(package.__file__).parent
    assert all(len(path.read_text().splitlines()) <= 400 for path in folder.glob("*.py"))
    assert all(hasattr(package, name) for name in package.__all__)
