"""parse_csr is total: a request or CsrRefused, whatever the octets are, and never a warning."""

import contextlib
from functools import lru_cache

from hypothesis import example, given, settings
from hypothesis import strategies as st

from ca import der
from ca.csr import CertificateRequest, CsrRefused, parse_csr
from ca.keys import KeyAlgorithm
from tests.ca.factories import (
    NO_NAME,
    common_name,
    make_request,
    raw_extension,
    raw_extension_request,
    raw_request,
    spki,
)

ALGORITHMS = st.sampled_from([kind for kind in KeyAlgorithm if not kind.startswith("ml-dsa-8")])


def read(data: bytes) -> CertificateRequest | None:
    with contextlib.suppress(CsrRefused):
        return parse_csr(data)
    return None


@lru_cache(maxsize=8)
def real(algorithm: KeyAlgorithm) -> bytes:
    return make_request("a.example", "*.b.example", algorithm=algorithm, subject=common_name("a.example"))


@given(st.binary(max_size=400))
@example(b"")
@example(b"\x30\x00")
@example(b"\x30\x80\x00\x00")
def test_any_octets(data: bytes) -> None:
    assert read(data) is None


@settings(max_examples=400)
@given(ALGORITHMS, st.data())
def test_real_requests_with_octets_changed(algorithm: KeyAlgorithm, data: st.DataObject) -> None:
    request = bytearray(real(algorithm))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(request) - 1))
        length = data.draw(st.integers(0, 3))
        request[at : at + length] = data.draw(st.binary(max_size=4))
    if bytes(request) != real(algorithm):
        found = read(bytes(request))
        # ECDSA signatures are malleable, so a change there may pass: the names cannot have changed.
        assert found is None or found.identifiers == parse_csr(real(algorithm)).identifiers


# Octets that look like DER, signed properly: these get past the signature to everything behind it.
UNIVERSAL = bytes.fromhex("0102030405060c131416171c1e3031")
CONTEXT = bytes.fromhex("80818286878889a0a3a4a5")
TAGS = st.sampled_from(UNIVERSAL + CONTEXT)
OIDS = st.sampled_from(
    (
        *("2.5.4.3", "2.5.4.6", "2.5.4.5", "2.5.4.45"),
        *("2.5.29.17", "2.5.29.15", "2.5.29.37", "2.5.29.19", "1.3.6.1.5.5.7.1.24"),
        *("1.2.840.113549.1.9.14", "1.3.6.1.4.1.311.2.1.14", "1.2.840.113549.1.9.7", "2.999.1"),
    )
).map(der.oid)
LEAVES = st.builds(der.tlv, TAGS, st.binary(max_size=20)) | OIDS | st.binary(max_size=6)
ELEMENTS = st.recursive(
    LEAVES,
    lambda inner: st.builds(
        lambda tag, parts: der.tlv(tag, b"".join(parts)), TAGS, st.lists(inner, max_size=4)
    ),
    max_leaves=12,
)
SOUP = st.lists(ELEMENTS, max_size=3).map(b"".join)


@settings(max_examples=400)
@given(SOUP)
def test_any_attributes(attributes: bytes) -> None:
    read(raw_request(attributes=attributes))


@given(st.lists(st.tuples(OIDS, ELEMENTS), max_size=3))
def test_any_extensions(extensions: list[tuple[bytes, bytes]]) -> None:
    listed = [der.extension(kind, value) for kind, value in extensions]
    read(raw_request(attributes=raw_extension_request(*listed)))


@given(st.lists(st.tuples(TAGS, st.binary(max_size=40)), min_size=1, max_size=4))
def test_any_alternative_names(names: list[tuple[int, bytes]]) -> None:
    san = der.sequence(*[der.tlv(tag, octets) for tag, octets in names])
    read(raw_request(attributes=raw_extension_request(raw_extension("2.5.29.17", san))))


@given(SOUP.map(lambda body: der.tlv(0x30, body)) | ELEMENTS)
def test_any_subject(subject: bytes) -> None:
    read(raw_request(subject))


@given(
    st.lists(
        st.tuples(OIDS, st.sampled_from([0x0C, 0x13, 0x14, 0x16, 0x1C, 0x1E, 0x03]), st.binary(max_size=70)),
        max_size=3,
    )
)
def test_any_attributes_of_a_subject(attributes: list[tuple[bytes, int, bytes]]) -> None:
    rdns = [der.tlv(0x31, der.sequence(kind, der.tlv(tag, octets))) for kind, tag, octets in attributes]
    found = read(raw_request(der.sequence(*rdns)))
    if found is not None:
        found.subject.public_bytes()


@given(
    ELEMENTS
    | st.builds(
        lambda at, octet: spki()[:at] + octet + spki()[at + 1 :],
        st.integers(0, 90),
        st.binary(min_size=1, max_size=1),
    )
)
def test_any_key(spki_der: bytes) -> None:
    found = read(raw_request(spki_der=spki_der))
    assert found is None or found.spki == spki()


@given(st.lists(OIDS | ELEMENTS, max_size=3))
def test_any_signature_algorithm(parts: list[bytes]) -> None:
    assert read(raw_request(NO_NAME, algorithm=der.sequence(*parts))) is None
