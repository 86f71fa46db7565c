"""Account keys (RFC 7517, 7518, 7638, 8037), with josepy as the judge of the thumbprint."""

import base64
import contextlib
import json
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st
from josepy.jwk import JWK

from ca.csr import parse_csr
from servers.acme.jwk import load_public_jwk, stands_for
from servers.acme.refusals import BadPublicKey
from servers.web.strict_json import JsonObject, JsonValue
from tests.servers.acme.signing import ALGORITHMS, b64, key, new_key, number

P256 = key("ES256").jwk
RSA = key("RS256").jwk
ED25519 = key("EdDSA").jwk


def octets(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def judge(jwk: dict[str, Any]) -> bytes:
    """The thumbprint as josepy sees it."""
    loaded: Any = JWK.from_json(jwk)
    return bytes(loaded.thumbprint())


class TestAccepted:
    @pytest.mark.parametrize("alg", ALGORITHMS)
    def test_each_kind_is_for_one_algorithm(self, alg: str) -> None:
        loaded = load_public_jwk(key(alg).jwk)
        assert loaded.algorithms == (alg,)
        assert loaded.public_key == key(alg).private.public_key()

    @pytest.mark.parametrize("alg", ["RS256", "ES256", "ES384", "ES512"])
    def test_thumbprint_is_josepys(self, alg: str) -> None:
        for which in range(3):
            jwk = key(alg, which).jwk
            assert octets(load_public_jwk(jwk).thumbprint) == judge(jwk)

    def test_thumbprint_of_the_rfc_8037_example(self) -> None:
        """Appendix A.3; josepy knows no Ed25519."""
        jwk: JsonObject = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
        assert load_public_jwk(jwk).thumbprint == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"

    @pytest.mark.parametrize("alg", ALGORITHMS)
    def test_other_members_do_not_count(self, alg: str) -> None:
        plain = load_public_jwk(key(alg).jwk)
        more: dict[str, Any] = {"kid": "x", "use": "sig", "key_ops": ["verify"], "ext": True, "alg": alg}
        assert load_public_jwk(more | dict(reversed(key(alg).jwk.items()))) == plain

    @pytest.mark.parametrize("alg", ALGORITHMS)
    def test_what_is_kept_comes_back_the_same(self, alg: str) -> None:
        loaded = load_public_jwk(key(alg).jwk | {"kid": "x"})
        assert json.loads(loaded.jwk) == key(alg).jwk
        assert list(json.loads(loaded.jwk)) == sorted(key(alg).jwk)
        back = load_public_jwk(json.loads(loaded.jwk))
        assert (back, back.jwk, back.public_key) == (loaded, loaded.jwk, loaded.public_key)

    @pytest.mark.parametrize("alg", ["RS256", "ES256", "EdDSA"])
    def test_spki_is_that_of_a_certificate_request(self, alg: str) -> None:
        """An account key must not come back as a certificate key (RFC 8555 section 11.1); this is how it is known."""
        names = x509.SubjectAlternativeName([x509.DNSName("a.test")])
        builder = (
            x509.CertificateSigningRequestBuilder()
            .subject_name(x509.Name([]))
            .add_extension(names, critical=False)
        )
        csr = builder.sign(key(alg).private, None if alg == "EdDSA" else SHA256())
        parsed = parse_csr(csr.public_bytes(Encoding.DER))
        assert load_public_jwk(key(alg).jwk).spki_sha256 == parsed.spki_sha256.hex()

    def test_a_larger_rsa_key(self) -> None:
        assert load_public_jwk(new_key("RS256", 3072).jwk).algorithms == ("RS256",)

    @pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512"])
    def test_a_coordinate_that_starts_with_zero(self, alg: str) -> None:
        """RFC 7518 section 6.2.1.2: the leading zeros stay. Without them it is another text, and refused."""
        size = {"ES256": 32, "ES384": 48, "ES512": 66}[alg]
        curve: Any = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}[alg]
        for secret in range(1, 5000):
            point = ec.derive_private_key(secret, curve).public_key().public_numbers()
            x = point.x.to_bytes(size, "big")
            if x[0] == 0 and (size < 66 or x[1] == 0):
                break
        jwk = key(alg).jwk | {"x": b64(x), "y": b64(point.y.to_bytes(size, "big"))}
        assert octets(load_public_jwk(jwk).thumbprint) == judge(jwk)
        with pytest.raises(BadPublicKey, match="octets"):
            load_public_jwk(jwk | {"x": b64(x.lstrip(b"\0"))})


class TestRefused:
    @pytest.mark.parametrize(
        "jwk", [None, [], "", 1, True, {}, {"kty": "EC"}, {"kty": None}, {"kty": ["RSA"]}]
    )
    def test_no_jwk(self, jwk: Any) -> None:
        with pytest.raises(BadPublicKey):
            load_public_jwk(jwk)

    @pytest.mark.parametrize("kty", ["oct", "rsa", "", "AKP", "x" * 1000])
    def test_other_key_types(self, kty: str) -> None:
        with pytest.raises(BadPublicKey) as caught:
            load_public_jwk(P256 | {"kty": kty})
        assert len(str(caught.value)) < 200

    @pytest.mark.parametrize("member", ["d", "p", "q", "dp", "dq", "qi", "oth", "k"])
    @pytest.mark.parametrize("alg", ALGORITHMS)
    def test_private_members(self, alg: str, member: str) -> None:
        with pytest.raises(BadPublicKey, match="private") as caught:
            load_public_jwk(key(alg).jwk | {member: "c2VjcmV0"})
        assert "c2VjcmV0" not in str(caught.value)

    @pytest.mark.parametrize("alg", ALGORITHMS)
    def test_every_member_is_needed_and_is_text(self, alg: str) -> None:
        jwk = key(alg).jwk
        values: list[Any] = [..., None, 1, [], {}, True]
        for member in jwk:
            for value in values:
                wrong = {name: v for name, v in (jwk | {member: value}).items() if v is not ...}
                with pytest.raises(BadPublicKey):
                    load_public_jwk(wrong)

    @pytest.mark.parametrize(("alg", "members"), [("RS256", "ne"), ("ES256", "xy"), ("EdDSA", "x")])
    def test_every_octet_string_has_one_spelling(self, alg: str, members: str) -> None:
        jwk = key(alg).jwk
        for member in members:
            for value in (
                "",
                "=",
                jwk[member] + "=",
                jwk[member] + " ",
                jwk[member] + "A",
                "+" + jwk[member][1:],
                "é" * 43,
            ):
                with pytest.raises(BadPublicKey):
                    load_public_jwk(jwk | {member: value})
            with pytest.raises(BadPublicKey):
                load_public_jwk(jwk | {member: b64(b"\0" + octets(jwk[member]))})

    @pytest.mark.parametrize("crv", ["P-192", "secp256k1", "p-256", "Ed25519", "", "x" * 1000])
    def test_other_curves(self, crv: str) -> None:
        with pytest.raises(BadPublicKey, match="curve"):
            load_public_jwk(P256 | {"crv": crv})

    @pytest.mark.parametrize("crv", ["Ed448", "X25519", "ed25519", "P-256"])
    def test_other_edwards_curves(self, crv: str) -> None:
        with pytest.raises(BadPublicKey, match="Ed25519"):
            load_public_jwk(ED25519 | {"crv": crv})

    @pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512"])
    def test_points_off_the_curve(self, alg: str) -> None:
        jwk = key(alg).jwk
        size = len(octets(jwk["x"]))
        for x in (bytes(size), b"\xff" * size, octets(jwk["y"])):
            with pytest.raises(BadPublicKey, match="not a point"):
                load_public_jwk(jwk | {"x": b64(x)})

    def test_a_point_of_another_curve(self) -> None:
        with pytest.raises(BadPublicKey, match="octets"):
            load_public_jwk(key("ES384").jwk | {"crv": "P-256"})

    @pytest.mark.parametrize("bits", [512, 1024, 2047, 8193, 16384])
    def test_rsa_sizes(self, bits: int) -> None:
        with pytest.raises(BadPublicKey):
            load_public_jwk(RSA | {"n": number(2 ** (bits - 1) + 1)})

    @pytest.mark.parametrize("e", [1, 2, 4, 65536, 2**64 + 1, 2**2047 + 1])
    def test_rsa_exponents(self, e: int) -> None:
        with pytest.raises(BadPublicKey):
            load_public_jwk(RSA | {"e": number(e)})

    def test_an_even_modulus(self) -> None:
        with pytest.raises(BadPublicKey):
            load_public_jwk(RSA | {"n": number(int.from_bytes(octets(RSA["n"]), "big") + 1)})

    def test_weak_keys_are_found(self) -> None:
        """The modulus has the factor 3; `ca.weak_keys` knows more such things, and its tests prove them."""
        with pytest.raises(BadPublicKey, match="weak"):
            load_public_jwk(RSA | {"n": number(3 * (2**2046 + 2**1000 + 1))})


class TestEd25519:
    """A "public key" of small order verifies signatures that anybody can make."""

    PRIME = 2**255 - 19
    ORDER = 2**252 + 27742317777372353535851937790883648493

    def small_order(self) -> set[int]:
        """The y of every point whose order divides 8, by the curve's own arithmetic (RFC 8032 section 5.1)."""
        p = self.PRIME
        d = -121665 * pow(121666, -1, p) % p

        def add(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
            k = d * a[0] * b[0] * a[1] * b[1] % p
            x = (a[0] * b[1] + b[0] * a[1]) * pow(1 + k, -1, p)
            return x % p, (a[1] * b[1] + a[0] * b[0]) * pow(1 - k, -1, p) % p

        found = set()
        for y in range(2, 40):
            square = (y * y - 1) * pow(d * y * y + 1, -1, p) % p
            x = pow(square, (p + 3) // 8, p)
            if x * x % p != square:
                x = x * pow(2, (p - 1) // 4, p) % p
            if x * x % p != square:
                continue  # no point has this y
            total, addend = (0, 1), (x, y)
            for bit in range(self.ORDER.bit_length()):
                if self.ORDER >> bit & 1:
                    total = add(total, addend)
                addend = add(addend, addend)
            found.add(total[1])  # the prime part is gone, what is left has small order
        return found

    def test_all_of_them_are_refused(self) -> None:
        found = self.small_order()
        assert len(found) == 5
        for y in found | {y + self.PRIME for y in found if y + self.PRIME < 2**255}:
            for sign in (0, 1 << 255):
                x = (y | sign).to_bytes(32, "little")
                with pytest.raises(BadPublicKey, match=r"canonical|small order"):
                    load_public_jwk(ED25519 | {"x": b64(x)})

    def test_a_point_has_one_encoding(self) -> None:
        """The y from 2 to 18 could also be written as y + p, and the same key would have two thumbprints."""
        for y in range(2, 19):
            with pytest.raises(BadPublicKey, match="canonical"):
                load_public_jwk(ED25519 | {"x": b64((y + self.PRIME).to_bytes(32, "little"))})

    def test_such_a_key_would_verify_what_nobody_signed(self) -> None:
        """Why it matters: with the neutral element as key, a signature of somebody's fits every message."""
        neutral = ed25519.Ed25519PublicKey.from_public_bytes((1).to_bytes(32, "little"))
        forged = (1).to_bytes(32, "little") + bytes(32)
        neutral.verify(forged, b"any message")

    @pytest.mark.parametrize("length", [0, 31, 33, 57])
    def test_lengths(self, length: int) -> None:
        with pytest.raises(BadPublicKey, match="octets"):
            load_public_jwk(ED25519 | {"x": b64(b"\x09" * length)})


def test_stands_for() -> None:
    mine = load_public_jwk(P256)
    assert stands_for(P256 | {"kid": "x"}, mine)
    others: list[JsonValue] = [key("ES256", 1).jwk, RSA, P256 | {"d": "AA"}, {}, [], None, "x"]
    for other in others:
        assert not stands_for(other, mine)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=50),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
MEMBERS = ("kty", "crv", "x", "y", "n", "e", "d")
TEXTS = st.sampled_from(
    ["RSA", "EC", "OKP", "P-256", "P-521", "Ed25519", *P256.values(), *RSA.values(), *ED25519.values()]
)


@given(st.dictionaries(st.sampled_from(MEMBERS), TEXTS | JSON | st.binary(max_size=70).map(b64)))
def test_any_jwk_is_loaded_or_refused(jwk: dict[str, Any]) -> None:
    try:
        loaded = load_public_jwk(jwk)
    except BadPublicKey as refusal:
        words = str(refusal)
    else:
        words = loaded.thumbprint
        assert load_public_jwk(json.loads(loaded.jwk)) == loaded
    assert 0 < len(words) < 400


@given(st.sampled_from(ALGORITHMS), st.data())
def test_changed_octets_are_another_key_or_refused(alg: str, data: st.DataObject) -> None:
    jwk = key(alg).jwk
    member = data.draw(st.sampled_from([name for name in jwk if name not in ("kty", "crv")]))
    raw = bytearray(octets(jwk[member]))
    bit = data.draw(st.integers(0, 8 * len(raw) - 1))
    raw[bit // 8] ^= 1 << bit % 8
    with contextlib.suppress(BadPublicKey):
        assert load_public_jwk(jwk | {member: b64(bytes(raw))}) != load_public_jwk(jwk)
