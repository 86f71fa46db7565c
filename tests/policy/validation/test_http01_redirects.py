"""http-01 redirects, followed by hand: where to, how often, and with which address (RFC 8555 8.3)."""

import asyncio
import os
import ssl
import time
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.validation import NetworkRules, Problem, ValidationFailed, ValidationSettings
from policy.validation.hosts import as_address
from policy.validation.http01 import Place, target_of
from tests.common.responders import HTTP01Responder, Recipe, make_certificate, redirect, reply
from tests.common.responders.tls_alpn01_server import context_for
from tests.policy.validation.stage import KEY_AUTHORIZATION, PATH, Stage


def tls_context() -> ssl.SSLContext:
    return context_for(*make_certificate(Recipe(["other.invalid"], "", with_proof=False)), alpn=None)


GOOD = reply(KEY_AUTHORIZATION.encode())


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See", "307 Temp", "308 Perm"])
async def test_another_path_and_name(stage: Stage, status: str) -> None:
    stage.http.scripts[PATH] = redirect(f"http://b.test:{stage.http.port}/elsewhere?x=y#part", status)
    stage.http.scripts["/elsewhere?x=y"] = GOOD
    record = await stage.validate("http-01", "a.test")
    assert stage.http.requests[1].headers["host"] == f"b.test:{stage.http.port}"
    assert [lookup.name for lookup in record.lookups] == ["a.test", "a.test", "b.test", "b.test"]
    assert record.connections[1].purpose == f"http://b.test:{stage.http.port}/elsewhere?x=y"


@pytest.mark.parametrize(
    "target",
    ["/there", "there/../../../there", "//a.test:{port}/there", "?q", "http:/there", "http:///there"],
)
async def test_relative_targets(stage: Stage, target: str) -> None:
    stage.http.scripts[PATH] = redirect(target.format(port=stage.http.port))
    stage.http.scripts["/there"] = stage.http.scripts[PATH + "?q"] = GOOD
    await stage.validate("http-01", "a.test")


async def test_an_https_target_needs_no_trusted_certificate(stage: Stage) -> None:
    async with HTTP01Responder(tls=tls_context()) as https:
        https.scripts["/secure"] = GOOD
        stage.http.scripts[PATH] = redirect(f"https://a.test:{https.port}/secure")
        record = await stage.validate("http-01", "a.test", tlsalpn01_port=https.port)
        assert https.requests[0].headers["host"] == f"a.test:{https.port}"
        assert record.connections[1].port == https.port


async def test_an_https_target_that_talks_no_tls(stage: Stage) -> None:
    stage.http.scripts[PATH] = redirect(f"https://a.test:{stage.http.port}/secure")
    await stage.refused(
        "http-01", "a.test", Problem.TLS, "did not finish the TLS handshake for a.test", timeout=0.4
    )


async def test_an_https_target_by_address(stage: Stage) -> None:
    async with HTTP01Responder(tls=tls_context()) as https:
        https.scripts["/secure"] = GOOD
        stage.http.scripts[PATH] = redirect(f"https://127.0.0.1:{https.port}/secure")
        await stage.validate("http-01", "a.test", tlsalpn01_port=https.port)


async def test_tls_that_breaks_after_the_handshake(stage: Stage) -> None:
    async def spoil(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        os.write(writer.get_extra_info("socket").fileno(), b"\x17\x03\x03\x00\x20" + b"\xff" * 32)

    async with HTTP01Responder(tls=tls_context()) as https:
        https.scripts["/secure"] = spoil
        stage.http.scripts[PATH] = redirect(f"https://a.test:{https.port}/secure")
        failure = await stage.refused("http-01", "a.test", Problem.TLS, tlsalpn01_port=https.port)
    assert "TLS broke off" in failure.detail


async def test_as_many_as_are_allowed(stage: Stage) -> None:
    stage.http.scripts[PATH] = redirect("/1")
    for number in range(1, 5):
        stage.http.scripts[f"/{number}"] = redirect(f"/{number + 1}")
    stage.http.scripts["/5"] = GOOD
    await stage.validate("http-01", "a.test")
    await stage.refused("http-01", "a.test", Problem.CONNECTION, "more than 4 redirects", max_redirects=4)
    await stage.refused("http-01", "a.test", Problem.CONNECTION, "more than 0 redirects", max_redirects=0)


async def test_in_a_circle(stage: Stage) -> None:
    stage.http.scripts[PATH] = redirect("/1")
    stage.http.scripts["/1"] = redirect(PATH)
    await stage.refused("http-01", "a.test", Problem.CONNECTION, "in a circle")
    assert stage.http.connections == 2


async def test_without_a_target(stage: Stage) -> None:
    stage.http.scripts[PATH] = reply(b"", status="302 Found")
    await stage.refused("http-01", "a.test", Problem.CONNECTION, "in a circle")


BAD_TARGETS = {
    "ftp://a.test/": "only http and https",
    "file:///etc/passwd": "only http and https",
    "javascript:alert(1)": "only http and https",
    "http://a.test:22/": "only the ports",
    "http://a.test:99999/": "no web address",
    "http://a.test:x/": "no web address",
    "http://[::1/": "no web address",
    "http://user@a.test/": "user name",
    "http://user:secret@a.test/": "user name",
    "http://a..test/": "no host",
    "http://-a.test/": "no host",
    "http://[fe80::1%25eth0]/": "no host",
    "http://[::1]@169.254.169.254/": "redirects to",  # Pythons differ in what is wrong with it, not in refusing it
    "http://a test/": "a space, a control",
    "http://a.test/\tx": "a space, a control",
    "http://a.test/" + "x" * 3000: "too long",
    "http://ä.test/": "other than ASCII",
}


@pytest.mark.parametrize(("target", "words"), BAD_TARGETS.items(), ids=[t[:24] for t in BAD_TARGETS])
async def test_targets_that_are_not_followed(stage: Stage, target: str, words: str) -> None:
    wire = "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + target + "\r\n\r\n"
    stage.http.scripts[PATH] = wire.encode()
    await stage.refused("http-01", "a.test", Problem.CONNECTION, words, "redirects to")
    assert stage.http.connections == 1


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "127.1", "0177.0.0.1"])
async def test_disguised_addresses_are_names_and_do_not_resolve(stage: Stage, host: str) -> None:
    stage.http.scripts[PATH] = redirect(f"http://{host}:{stage.http.port}{PATH}x")
    await stage.refused("http-01", "a.test", Problem.DNS)
    assert stage.http.connections == 1


async def test_each_target_is_checked_against_the_networks(stage: Stage) -> None:
    stage.dns.zone.add("inside.test", "A", "127.0.0.9")
    stage.dns.zone.add("meta.test", "A", "169.254.169.254")
    rules = NetworkRules(denied=(ip_network("127.0.0.9/32"), ip_network("169.254.0.0/16")))
    for target in ("inside.test", "127.0.0.9", "[::ffff:127.0.0.9]", "meta.test", "169.254.169.254"):
        stage.http.scripts[PATH] = redirect(f"http://{target}:{stage.http.port}/")
        with pytest.raises(ValidationFailed, match="may not connect to") as caught:
            await stage.validate("http-01", "a.test", rules)
        assert caught.value.problem is Problem.CONNECTION
        assert caught.value.record is not None
        assert len(caught.value.record.connections) == 1


async def test_redirects_share_one_time_limit(stage: Stage) -> None:
    async def slowly(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.25)
        writer.write(redirect(f"/{time.monotonic_ns()}"))

    class Everywhere(dict):  # type: ignore[type-arg]
        def get(self, *_: object) -> object:
            return slowly

    stage.http.scripts = Everywhere()
    began = time.monotonic()
    await stage.refused("http-01", "a.test", Problem.CONNECTION, timeout=0.6)
    assert time.monotonic() - began < 2


@given(st.one_of(st.binary(max_size=60), st.from_regex(rb"https?://[!-~]{0,40}", fullmatch=True)))
def test_a_target_is_harmless_or_refused(target: bytes) -> None:
    settings = ValidationSettings(http01_port=8080, tlsalpn01_port=8443)
    try:
        place = target_of(settings, "http://a.test/x", target)
    except ValueError:
        return
    assert isinstance(place, Place)
    assert place.port in (80, 443, 8080, 8443)
    assert as_address(place.host) is not None or set(place.host) <= set(
        "abcdefghijklmnopqrstuvwxyz0123456789-_."
    )
    assert place.path.startswith("/")
    assert all("!" <= char <= "~" for char in place.path)
