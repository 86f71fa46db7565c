"""Whatever arrives as a body: a signed request, or a refusal of ours. josepy judges every signature."""

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from josepy.errors import Error
from josepy.jwk import JWK
from josepy.jws import JWS

from servers.acme.jwk import load_public_jwk
from servers.acme.jws import (
    check_url,
    parse,
    parse_binding,
    parse_key_change,
    verify,
    verify_eab,
)
from servers.acme.problems import problem_of
from servers.acme.refusals import WireRefused
from tests.servers.acme.signing import (
    ALGORITHMS,
    NONCE,
    URL,
    b64,
    binding,
    compact,
    flattened,
    header,
    key,
    request,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
OUTER = st.sampled_from(["protected", "payload", "signature", "header", "signatures"])
INNER = st.sampled_from(["alg", "nonce", "url", "jwk", "kid", "crit", "b64"])
VALUES = JSON | st.sampled_from(
    [*ALGORITHMS, URL, NONCE, "HS256", "none", key("ES256").jwk, key("RS256").jwk]
)
KEYS = {alg: load_public_jwk(key(alg).jwk) for alg in ALGORITHMS}
MAC_KEY = bytes(range(32))


def digest(body: bytes) -> bool:
    """Put a body through everything: only a WireRefused may come out of it, and each has a short answer.

    Returns whether the body is a signed request at all.
    """
    refusals: list[WireRefused] = []
    is_request = False
    try:
        parsed = parse(body)
        is_request = True
        check_url(parsed, URL)
        verify(parsed, load_public_jwk(parsed.jwk) if parsed.jwk is not None else KEYS[parsed.alg])
    except WireRefused as refusal:
        refusals.append(refusal)
    try:
        parse_key_change(body)
    except WireRefused as refusal:
        refusals.append(refusal)
    assert all(len(problem_of(refusal).problem.to_bytes()) < 1500 for refusal in refusals)
    return is_request


@given(st.binary(max_size=300))
def test_octets(body: bytes) -> None:
    assert not digest(body)


@given(JSON | st.dictionaries(OUTER, JSON | st.binary(max_size=60).map(b64)))
def test_json(value: Any) -> None:
    digest(json.dumps(value).encode())


@given(st.sampled_from(ALGORITHMS), st.dictionaries(INNER, VALUES, max_size=3), st.sets(INNER, max_size=2))
def test_a_signed_header_of_any_shape(alg: str, changes: dict[str, Any], without: set[str]) -> None:
    by = key(alg)
    protected = {name: value for name, value in (header(by) | changes).items() if name not in without}
    digest(compact(flattened(json.dumps(protected).encode(), b"{}", by)))


@given(st.sampled_from(ALGORITHMS), st.binary(max_size=200))
def test_a_signed_header_of_any_octets(alg: str, protected: bytes) -> None:
    digest(compact(flattened(protected, b"{}", key(alg))))


def mutated(body: bytes, data: st.DataObject) -> bytes:
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body)))
        piece = data.draw(
            st.sampled_from([b"", b'"', b"\\", b"{", b"}", b",", b"A", b"=", b"-", b" ", b"\0", b"\xff"])
        )
        body = body[:at] + piece + body[at + data.draw(st.integers(0, 3)) :]
    return body


@given(st.sampled_from(ALGORITHMS), st.data())
def test_a_request_with_a_few_octets_changed_is_the_same_request_or_refused(
    alg: str, data: st.DataObject
) -> None:
    original = request(key(alg))
    by = load_public_jwk(key(alg).jwk)
    try:
        parsed = parse(mutated(original, data))
        verify(parsed, by)
    except WireRefused:
        return
    assert parsed == parse(original)


def accepted(body: bytes, jwk: dict[str, Any]) -> bool | None:
    """Our word on a signature; None if the body is not even a request."""
    try:
        parsed = parse(body)
    except WireRefused:
        return None
    try:
        verify(parsed, load_public_jwk(jwk))
    except WireRefused:
        return False
    return True


def judged(body: bytes, jwk: dict[str, Any]) -> bool:
    try:
        return bool(JWS.json_loads(body.decode()).verify(JWK.from_json(jwk)))
    except (Error, ValueError, KeyError, TypeError, AttributeError):
        return False


JOSEPY_KNOWS = st.sampled_from(["RS256", "ES256", "ES384", "ES512"])


@given(
    JOSEPY_KNOWS,
    JOSEPY_KNOWS,
    st.integers(0, 1),
    st.sampled_from(["protected", "payload", "signature"]),
    st.data(),
)
@example("ES256", "ES256", 0, "signature", None)
@example("RS256", "RS256", 0, "payload", None)
def test_we_and_josepy_agree_about_every_signature(
    alg: str, other: str, which: int, member: str, data: st.DataObject | None
) -> None:
    """On every body that is a request at all, with the right key, another one, or another kind."""
    members = json.loads(request(key(alg)))
    if data is not None and data.draw(st.booleans()):
        members[member] = b64(data.draw(st.binary(max_size=140)))
    body, jwk = compact(members), key(other, which).jwk
    ours = accepted(body, jwk)
    if ours is not None:
        assert ours == judged(body, jwk)
    if data is None:
        assert ours


@given(st.dictionaries(OUTER | INNER, VALUES), st.dictionaries(INNER, VALUES, max_size=2), JSON)
def test_bindings_of_any_shape(members: dict[str, Any], changes: dict[str, Any], bound: Any) -> None:
    account = load_public_jwk(key("ES256").jwk)
    for value in (members, binding(MAC_KEY, bound, **changes)):
        try:
            verify_eab(parse_binding(value), MAC_KEY, URL, account)
        except WireRefused as refusal:
            problem_of(refusal).problem.to_bytes()
        else:
            assert bound == key("ES256").jwk
