"""Whatever strangers send: the right problem document, never a 500, nothing stored.

That nothing was unforeseen is checked after every test (conftest.py).
"""

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.common.acme_client import JOSE, AcmeClient, Answer, sign
from tests.common.acme_server import MAX_BODY, AcmeServer
from tests.common.world import make_csr
from tests.servers.acme.signing import b64, compact, new_key
from tests.servers.acme.steps import RowCounter, issued, ordered

quick = settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
# JSON that two readers could read differently, or that costs more than it is worth.
ODD_JSON = [
    b"",
    b" ",
    b"null",
    b"true",
    b"7",
    b'"text"',
    b"[]",
    b"{",
    b"{}x",
    b"{'a':1}",
    b'{"a":1,"a":2}',
    b'{"a":NaN}',
    b'{"a":Infinity}',
    b'{"a":1e999}',
    b'{"a":' + b"9" * 5000 + b"}",
    b'{"a":"\\ud800"}',
    b'{"a":"\\u0000"}',
    b'{"a":"\xff"}',
    b"\xef\xbb\xbf{}",
    '{"a":1}'.encode("utf-16"),
    b'{"a":' * 40 + b"1" + b"}" * 40,
    b"[" * 20_000,
    b'{"identifiers":' + b"[" * 100 + b"]" * 100 + b"}",
]
MEMBERS = [
    *("contact", "status", "orders", "onlyReturnExisting", "termsOfServiceAgreed", "externalAccountBinding"),
    *("identifiers", "notBefore", "notAfter", "csr", "certificate", "reason", "account", "oldKey"),
    *("type", "value", "payload", "protected", "signature", "alg", "kid", "url", "nonce", "jwk"),
]
fields = st.dictionaries(st.sampled_from(MEMBERS) | st.text(max_size=8), values, max_size=5)


@dataclass(frozen=True, repr=False)
class Stage:
    """A server, a client with an account, and one object of every kind."""

    server: AcmeServer
    client: AcmeClient
    counter: RowCounter
    resources: dict[str, str]

    def __repr__(self) -> str:
        """Short: it stands in every falsifying example."""
        return "<Stage>"

    def rows(self) -> dict[str, int]:
        return self.counter.rows()

    async def refused(self, answer: Answer, before: dict[str, int]) -> None:
        """The answer is a problem of the client's making, and nothing but the record of a refusal was stored."""
        assert 400 <= answer.status < 500, (answer.status, answer.body[:300])
        assert answer.problem
        assert answer.json["detail"]
        assert answer.headers["Replay-Nonce"]
        after = self.rows()
        assert {**after, "audit": 0} == {**before, "audit": 0}


@pytest.fixture
async def stage(server: AcmeServer, client: AcmeClient, fresh_url: str) -> AsyncIterator[Stage]:
    await client.register()
    valid, _ = await issued(server, client, "valid.test")
    ready = await ordered(server, client, "ready.test")
    pending = (await client.order("pending.test")).json
    authorization = pending["authorizations"][0]
    resources = {
        "newAccount": client.directory["newAccount"],
        "newOrder": client.directory["newOrder"],
        "revokeCert": client.directory["revokeCert"],
        "keyChange": client.directory["keyChange"],
        "newNonce": client.directory["newNonce"],
        "directory": client.directory_url,
        "account": str(client.kid),
        "orders": f"{client.kid}/orders",
        "order": ready["url"],
        "finalize": ready["finalize"],
        "authorization": authorization,
        "challenge": (await client.post(authorization)).json["challenges"][0]["url"],
        "certificate": valid["certificate"],
    }
    with RowCounter(fresh_url) as counter:
        yield Stage(server, client, counter, resources)


RESOURCES = [
    *("newAccount", "newOrder", "revokeCert", "keyChange", "newNonce", "directory", "account", "orders"),
    *("order", "finalize", "authorization", "challenge", "certificate"),
]


class TestBodies:
    @quick
    @given(name=st.sampled_from(RESOURCES), body=st.binary(max_size=300) | st.builds(compact, values))
    async def test_any_bytes(self, stage: Stage, name: str, body: bytes) -> None:
        before = stage.rows()
        answer = await stage.client.send(stage.resources[name], body)
        await stage.refused(answer, before)
        assert answer.problem == "malformed"

    @pytest.mark.parametrize("body", ODD_JSON, ids=lambda body: repr(body[:16]))
    async def test_odd_json(self, stage: Stage, body: bytes) -> None:
        before = stage.rows()
        answer = await stage.client.send(stage.resources["newOrder"], body)
        await stage.refused(answer, before)
        assert (answer.status, answer.problem) == (400, "malformed")

    async def test_too_large(self, stage: Stage) -> None:
        before = stage.rows()
        answer = await stage.client.send(stage.resources["newOrder"], b"x" * (MAX_BODY + 1))
        await stage.refused(answer, before)
        assert (answer.status, answer.problem) == (413, "malformed")

    @quick
    @given(
        content_type=st.sampled_from(
            ["", "text/plain", "application/json", "application/jose", "application/jose+json2", "*/*", "x"]
        )
    )
    async def test_other_media_types(self, stage: Stage, content_type: str) -> None:
        before = stage.rows()
        answer = await stage.client.send(
            stage.resources["newOrder"], b"{}", JOSE | {"Content-Type": content_type}
        )
        await stage.refused(answer, before)
        assert answer.status == 415


class TestEnvelopes:
    @quick
    @given(
        member=st.sampled_from(["protected", "payload", "signature", "header", "signatures"]), value=values
    )
    async def test_a_member_of_the_jws_is_anything(self, stage: Stage, member: str, value: Any) -> None:
        client, url = stage.client, stage.resources["order"]
        header = {"alg": client.key.alg, "kid": client.kid, "nonce": await client.fresh_nonce(), "url": url}
        members = json.loads(sign(client.key, header, b"")) | {member: value}
        before = stage.rows()
        answer = await client.send(url, compact(members))
        if member == "payload" and value == "":
            assert answer.status == 200
        else:
            await stage.refused(answer, before)

    @quick
    @given(
        parameter=st.sampled_from(["alg", "kid", "jwk", "nonce", "url", "crit", "b64"]),
        value=values,
    )
    async def test_a_header_parameter_is_anything(self, stage: Stage, parameter: str, value: Any) -> None:
        before = stage.rows()
        client, url = stage.client, stage.resources["order"]
        header: dict[str, Any] = {"alg": client.key.alg, "kid": client.kid, "url": url}
        header |= {"nonce": await client.fresh_nonce(), parameter: value}
        sent = {name: given for name, given in header.items() if given is not None}
        answer = await client.send(url, sign(client.key, sent, b""))
        if value is None and parameter in ("jwk", "crit", "b64"):
            assert answer.status == 200  # left out
        else:
            await stage.refused(answer, before)
        expected = {"alg": {"malformed", "badSignatureAlgorithm"}, "nonce": {"malformed", "badNonce"}}
        if answer.status != 200 and parameter in expected:
            assert answer.problem in expected[parameter]

    @quick
    @given(member=st.sampled_from(["kty", "crv", "x", "y", "n", "e", "d", "kid"]), value=values)
    async def test_a_member_of_the_jwk_is_anything(self, stage: Stage, member: str, value: Any) -> None:
        client, key = stage.client, new_key("ES256")
        before = stage.rows()
        answer = await send_with_jwk(client, stage.resources["newAccount"], key, key.jwk | {member: value})
        if answer.status != 201:
            await stage.refused(answer, before)
            assert answer.problem in ("malformed", "badPublicKey", "unauthorized")

    @quick
    @given(where=st.integers(0, 63), bit=st.integers(0, 7))
    async def test_a_bit_of_the_signature_is_wrong(self, stage: Stage, where: int, bit: int) -> None:
        client, url = stage.client, stage.resources["order"]
        header = {"alg": client.key.alg, "kid": client.kid, "nonce": await client.fresh_nonce(), "url": url}
        members = json.loads(sign(client.key, header, b""))
        raw = bytearray(base64.urlsafe_b64decode(members["signature"] + "=="))
        raw[where] ^= 1 << bit
        before = stage.rows()
        answer = await client.send(url, compact(members | {"signature": b64(bytes(raw))}))
        await stage.refused(answer, before)
        assert (answer.status, answer.problem) == (403, "unauthorized")

    @pytest.mark.parametrize(
        ("alg", "problem"),
        [
            ("none", "badSignatureAlgorithm"),
            ("HS256", "badSignatureAlgorithm"),
            ("RS1", "badSignatureAlgorithm"),
            ("PS256", "badSignatureAlgorithm"),
            ("ES256K", "badSignatureAlgorithm"),
            ("es256", "badSignatureAlgorithm"),
            ("ES384", "badPublicKey"),
            ("RS256", "badPublicKey"),
        ],
    )
    async def test_other_algorithms(self, stage: Stage, alg: str, problem: str) -> None:
        """RFC 8555 section 6.2: the answer lists what is supported."""
        before = stage.rows()
        answer = await stage.client.post(stage.resources["newOrder"], {}, alg=alg)
        await stage.refused(answer, before)
        assert (answer.status, answer.problem) == (400, problem)
        if problem == "badSignatureAlgorithm":
            assert answer.json["algorithms"] == ["RS256", "ES256", "ES384", "ES512", "EdDSA"]

    @pytest.mark.parametrize("bits", [512, 1024, 2040])
    async def test_weak_account_keys(self, stage: Stage, bits: int) -> None:
        if bits < 1024:
            key = new_key("RS256", 1024)
            jwk = key.jwk | {"n": b64(b"\xff" * (bits // 8))}
        else:
            key = new_key("RS256", bits)
            jwk = key.jwk
        before = stage.rows()
        answer = await send_with_jwk(stage.client, stage.resources["newAccount"], key, jwk)
        await stage.refused(answer, before)
        assert (answer.status, answer.problem) == (400, "badPublicKey")

    async def test_a_private_key_in_the_header(self, stage: Stage) -> None:
        key = new_key("ES256")
        private = key.private.private_numbers().private_value.to_bytes(32, "big")
        answer = await send_with_jwk(
            stage.client, stage.resources["newAccount"], key, key.jwk | {"d": b64(private)}
        )
        assert (answer.status, answer.problem) == (400, "badPublicKey")
        assert b64(private).encode() not in answer.body


class TestPayloads:
    @settings(quick, max_examples=150)
    @given(name=st.sampled_from(RESOURCES), payload=fields | values)
    async def test_any_json_to_any_resource(self, stage: Stage, name: str, payload: Any) -> None:
        before = stage.rows()
        client = stage.client
        answer = await client.post(stage.resources[name], compact(payload), jwk=name == "newAccount")
        if answer.status not in (200, 201):
            await stage.refused(answer, before)
            assert answer.problem not in ("serverInternal", "badNonce")

    @pytest.mark.parametrize(
        "payload",
        [payload for payload in ODD_JSON if payload],  # empty, it is a POST-as-GET
        ids=lambda payload: repr(payload[:16]),
    )
    async def test_odd_json_to_every_resource(self, stage: Stage, payload: bytes) -> None:
        for name, url in stage.resources.items():
            before = stage.rows()
            answer = await stage.client.post(url, payload, jwk=name == "newAccount")
            if name == "newAccount" and answer.status == 200:
                continue
            await stage.refused(answer, before)
            assert (answer.status, answer.problem) == (400, "malformed"), name

    @settings(quick, max_examples=80)
    @given(
        identifiers=values
        | st.lists(
            st.fixed_dictionaries({}, optional={"type": values | st.just("dns"), "value": values}),
            max_size=4,
        )
        | st.lists(
            st.fixed_dictionaries(
                {"type": st.sampled_from(["dns", "ip", "email", "uri"]), "value": st.text()}
            ),
            max_size=4,
        )
    )
    async def test_any_identifiers(self, stage: Stage, identifiers: Any) -> None:
        before = stage.rows()
        answer = await stage.client.post(stage.resources["newOrder"], {"identifiers": identifiers})
        if answer.status != 201:
            await stage.refused(answer, before)
            assert answer.problem in (
                *("malformed", "unsupportedIdentifier", "rejectedIdentifier", "compound"),
            )

    async def test_very_many_identifiers(self, stage: Stage) -> None:
        before = stage.rows()
        names = [{"type": "dns", "value": f"{number}.t"} for number in range(1001)]
        answer = await stage.client.post(stage.resources["newOrder"], {"identifiers": names})
        await stage.refused(answer, before)
        assert answer.problem == "malformed"
        assert len(answer.body) < 1000
        bad = [{"type": "dns", "value": f"-{number}.t"} for number in range(1000)]
        answer = await stage.client.post(stage.resources["newOrder"], {"identifiers": bad})
        await stage.refused(answer, before)

    async def test_members_that_nobody_knows_change_nothing(self, stage: Stage) -> None:
        """RFC 8555 section 7.3: in general, what is not recognised is ignored."""
        client = stage.client
        more = {"future": {"a": [1]}, "replaces": "x", "profile": "y", "resource": "new-order"}
        made = await client.order("a.test", **more)
        assert made.status == 201
        assert not set(more) & set(made.json)
        challenge = await client.challenge(made.json["authorizations"][0])
        stage.server.http01.tokens[challenge["token"]] = client.key_authorization(challenge)
        assert (await client.post(challenge["url"], more)).json["status"] == "valid"
        csr = b64(make_csr("a.test"))
        done = await client.post(made.json["finalize"], {"csr": csr} | more)
        assert done.json["status"] == "valid"


async def send_with_jwk(client: AcmeClient, url: str, key: Any, jwk: Any) -> Answer:
    """NewAccount with this JWK, signed by `key`."""
    header = {"alg": key.alg, "jwk": jwk, "nonce": await client.fresh_nonce(), "url": url}
    return await client.send(url, sign(key, header, b"{}"))
