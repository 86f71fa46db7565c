"""Signed requests as RFC 8555 section 6.2 demands them, with josepy as the judge of the signature."""

import base64
import hmac
import itertools
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA512
from josepy.jwa import JWASignature
from josepy.jwk import JWK, JWKEC, JWKRSA, JWKOct
from josepy.jws import JWS

from servers.acme.jwk import load_public_jwk
from servers.acme.jws import (
    MAC_ALGORITHMS,
    MAX_BODY,
    MAX_URL,
    SIGNATURE_ALGORITHMS,
    SignedRequest,
    check_url,
    dss_signature,
    parse,
    parse_binding,
    parse_key_change,
    verify,
    verify_eab,
)
from servers.acme.refusals import (
    BadNonce,
    BadPublicKey,
    BadSignature,
    BadSignatureAlgorithm,
    MalformedJws,
    WrongUrl,
)
from tests.servers.acme.signing import (
    ALGORITHMS,
    KID,
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

MAC_KEY = bytes(range(32))


def judge(body: bytes, jwk: dict[str, Any]) -> bool:
    """What josepy thinks of a signature. It knows no Ed25519."""
    return bool(JWS.json_loads(body.decode()).verify(JWK.from_json(jwk)))


def changed(body: bytes, **members: Any) -> bytes:
    values = json.loads(body) | members
    return compact({name: value for name, value in values.items() if value is not ...})


class TestAccepted:
    @pytest.mark.parametrize("alg", ALGORITHMS)
    def test_every_algorithm_verifies_and_josepy_agrees(self, alg: str) -> None:
        by = key(alg)
        body = request(by, b'{"identifiers":[]}')
        parsed = parse(body)
        verify(parsed, load_public_jwk(by.jwk))
        assert (parsed.alg, parsed.url, parsed.kid, parsed.jwk) == (alg, URL, KID, None)
        assert (parsed.nonce, parsed.payload) == (NONCE, b'{"identifiers":[]}')
        if alg != "EdDSA":
            assert judge(body, by.jwk)

    @pytest.mark.parametrize("alg", ALGORITHMS)
    def test_a_request_with_its_own_key(self, alg: str) -> None:
        by = key(alg)
        parsed = parse(request(by, kid=None, jwk=by.jwk))
        assert parsed.kid is None
        verify(parsed, load_public_jwk(parsed.jwk))

    @pytest.mark.parametrize("alg", ["RS256", "ES256", "ES384", "ES512"])
    def test_what_josepy_signs_is_accepted(self, alg: str) -> None:
        by = key(alg)
        wrapped = (JWKRSA if alg == "RS256" else JWKEC)(key=by.private)
        members = flattened(compact(header(by)), b"{}", by)
        signing_input = f"{members['protected']}.{members['payload']}".encode()
        members["signature"] = b64(JWASignature.from_json(alg).sign(wrapped.key, signing_input))
        verify(parse(compact(members)), load_public_jwk(by.jwk))

    def test_post_as_get_has_an_empty_payload(self) -> None:
        assert parse(request(key("ES256"), b"")).payload == b""

    def test_unknown_members_and_parameters_are_ignored(self) -> None:
        """RFC 7515 sections 4 and 7.2.2."""
        by = key("ES256")
        body = changed(request(by, typ="JOSE+json", cty={"a": [1]}), extra=[{}])
        verify(parse(body), load_public_jwk(by.jwk))

    def test_white_space_between_members(self) -> None:
        by = key("ES256")
        body = (
            json.dumps(flattened(json.dumps(header(by), indent=2).encode(), b"{}", by), indent=2).encode()
            + b"\n"
        )
        verify(parse(body), load_public_jwk(by.jwk))

    def test_a_request_of_the_largest_size(self) -> None:
        by = key("ES256")
        body = request(by, b"x" * 40_000)
        body += b" " * (MAX_BODY - len(body))
        verify(parse(body), load_public_jwk(by.jwk))
        with pytest.raises(MalformedJws, match="at most"):
            parse(body + b" ")


class TestEnvelope:
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"null",
            b"[]",
            b'"text"',
            b"{",
            b"{}",
            b"\xff\xfe{}",
            '{"protected":""}'.encode("utf-16"),
            b"\xef\xbb\xbf{}",
            b"{} {}",
            b'{"a":NaN}',
            b'{"a":-Infinity}',
            b'{"a":1e999}',
            b'{"a":1' + b"0" * 5000 + b"}",
            b'{"a":"\\ud800"}',
            b'{"a":"\\u0000"}',
            b"[" * 60_000,
            b'{"a":' * 10_000,
            b'{"a":' + b"[" * 17 + b"]" * 17 + b"}",
        ],
    )
    def test_not_one_strict_json_object(self, body: bytes) -> None:
        with pytest.raises(MalformedJws):
            parse(body)

    @pytest.mark.parametrize("member", ["protected", "payload", "signature"])
    @pytest.mark.parametrize(
        "value", [..., None, 1, [], {}, True, "=", "A", "AB+/", "AB", " AAA", "AAA\n", "é", "A==="]
    )
    def test_a_member_is_no_base64url_string(self, member: str, value: Any) -> None:
        with pytest.raises(MalformedJws):
            parse(changed(request(key("ES256")), **{member: value}))

    def test_padding_is_refused(self) -> None:
        body = request(key("ES256"), b"{} ")  # three octets need no padding
        parse(body)
        body = request(key("ES256"), b"{}")
        payload = json.loads(body)["payload"]
        with pytest.raises(MalformedJws, match="base64url"):
            parse(changed(body, payload=payload + "="))

    def test_one_spelling_per_octet_string(self) -> None:
        """Bits beyond the last octet must be zero, or a signature could be written in several ways."""
        body = request(key("ES256"))
        signature = json.loads(body)["signature"]
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        other = signature[:-1] + alphabet[alphabet.index(signature[-1]) + 1]
        with pytest.raises(MalformedJws, match="base64url"):
            parse(changed(body, signature=other))

    @pytest.mark.parametrize("value", [{}, {"kid": KID}, None])
    def test_an_unprotected_header(self, value: Any) -> None:
        with pytest.raises(MalformedJws, match="unprotected"):
            parse(changed(request(key("ES256")), header=value))

    def test_general_serialization(self) -> None:
        with pytest.raises(MalformedJws, match="general"):
            parse(changed(request(key("ES256")), signatures=[]))

    def test_compact_serialization(self) -> None:
        members = json.loads(request(key("ES256")))
        with pytest.raises(MalformedJws):
            parse(".".join(members[name] for name in ("protected", "payload", "signature")).encode())

    @pytest.mark.parametrize("name", ["payload", "protected", "other"])
    def test_a_member_twice(self, name: str) -> None:
        body = request(key("ES256"))[:-1] + f',"{name}":"","{name}":""}}'.encode()
        with pytest.raises(MalformedJws, match="twice"):
            parse(body)


class TestProtectedHeader:
    def test_a_parameter_twice(self) -> None:
        by = key("ES256")
        protected = compact(header(by))[:-1] + b',"alg":"none"}'
        with pytest.raises(MalformedJws, match="twice"):
            parse(compact(flattened(protected, b"{}", by)))

    @pytest.mark.parametrize("protected", [b"", b"[]", b"null", b"{", b"\xff", b'{"a":NaN}', b"[" * 30_000])
    def test_not_an_object(self, protected: bytes) -> None:
        by = key("ES256")
        with pytest.raises(MalformedJws, match="protected header"):
            parse(compact(flattened(protected, b"{}", by)))

    @pytest.mark.parametrize("changes", [{"crit": ["exp"]}, {"crit": []}, {"b64": False}, {"b64": True}])
    def test_extensions_are_refused(self, changes: dict[str, Any]) -> None:
        """RFC 7515 section 4.1.11 and RFC 7797; RFC 8555 section 6.2 forbids the unencoded payload."""
        with pytest.raises(MalformedJws, match="crit and b64"):
            parse(request(key("ES256"), **changes))

    def test_exactly_one_of_jwk_and_kid(self) -> None:
        by = key("ES256")
        with pytest.raises(MalformedJws, match="exactly one"):
            parse(request(by, jwk=by.jwk))
        with pytest.raises(MalformedJws, match="exactly one"):
            parse(request(by, kid=None))

    @pytest.mark.parametrize("jwk", [[], "key", 1, True])
    def test_jwk_is_an_object(self, jwk: Any) -> None:
        with pytest.raises(MalformedJws, match="jwk"):
            parse(request(key("ES256"), kid=None, jwk=jwk))

    def test_a_parameter_that_is_null(self) -> None:
        by = key("ES256")
        for name in ("alg", "kid", "nonce", "url"):
            with pytest.raises(MalformedJws):
                parse(compact(flattened(compact(header(by) | {name: None}), b"{}", by)))
        with pytest.raises(MalformedJws, match="exactly one"):
            parse(compact(flattened(compact(header(by) | {"jwk": None}), b"{}", by)))

    @pytest.mark.parametrize("name", ["url", "kid"])
    @pytest.mark.parametrize("value", [1, [], {}, True, "", "a\nb", "a\x7f", "é", "a" * (MAX_URL + 1)])
    def test_url_and_kid_are_lines(self, name: str, value: Any) -> None:
        with pytest.raises(MalformedJws, match=name):
            parse(request(key("ES256"), **{name: value}))

    def test_url_is_required(self) -> None:
        with pytest.raises(MalformedJws, match="url"):
            parse(request(key("ES256"), url=None))

    def test_a_request_without_nonce_may_try_again(self) -> None:
        """RFC 8555 section 6.5: "not present" is badNonce, not malformed, so that clients retry."""
        with pytest.raises(BadNonce):
            parse(request(key("ES256"), nonce=None))

    @pytest.mark.parametrize("nonce", ["", "=", "a+b/", "AB", "é", "a b ", 1, [], "A" * 260])
    def test_a_nonce_that_is_no_base64url_is_malformed(self, nonce: Any) -> None:
        """RFC 8555 section 6.5.2."""
        with pytest.raises(MalformedJws, match="nonce"):
            parse(request(key("ES256"), nonce=nonce))

    @pytest.mark.parametrize(
        "alg", ["none", "HS256", "HS512", "PS256", "RS384", "RS512", "ES256K", "es256", "", "x" * 999]
    )
    def test_other_algorithms_list_ours(self, alg: str) -> None:
        with pytest.raises(BadSignatureAlgorithm) as caught:
            parse(request(key("ES256"), alg=alg))
        assert caught.value.algorithms == SIGNATURE_ALGORITHMS
        assert len(str(caught.value)) < 200

    @pytest.mark.parametrize("alg", [..., 1, [], {}, True])
    def test_alg_is_a_string(self, alg: Any) -> None:
        with pytest.raises(MalformedJws, match="alg"):
            parse(request(key("ES256"), alg=None if alg is ... else alg))


class TestSignature:
    @pytest.mark.parametrize("alg", ALGORITHMS)
    def test_another_key_of_the_same_kind(self, alg: str) -> None:
        with pytest.raises(BadSignature):
            verify(parse(request(key(alg, 1))), load_public_jwk(key(alg).jwk))

    @pytest.mark.parametrize("alg", ALGORITHMS)
    @pytest.mark.parametrize("other", ALGORITHMS)
    def test_an_algorithm_that_the_key_is_not_for(self, alg: str, other: str) -> None:
        if alg == other:
            return
        with pytest.raises(BadPublicKey, match=alg):
            verify(parse(request(key(alg))), load_public_jwk(key(other).jwk))

    @pytest.mark.parametrize("alg", ALGORITHMS)
    @pytest.mark.parametrize("cut", [slice(0, 0), slice(0, -1), slice(1, None)])
    def test_a_signature_of_another_length(self, alg: str, cut: slice) -> None:
        by = key(alg)
        members = flattened(compact(header(by)), b"{}", by)
        raw = by.sign(f"{members['protected']}.{members['payload']}".encode())
        for wrong in (raw[cut], raw + b"\0", b"\0" + raw):
            with pytest.raises(BadSignature):
                verify(parse(compact(members | {"signature": b64(wrong)})), load_public_jwk(by.jwk))

    @pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512"])
    @pytest.mark.parametrize("r", [0, 1, -1])
    @pytest.mark.parametrize("s", [0, 1, -1])
    def test_r_and_s_out_of_range(self, alg: str, r: int, s: int) -> None:
        by = key(alg)
        octets = {"ES256": 32, "ES384": 48, "ES512": 66}[alg]
        raw = b"".join((value % 256**octets).to_bytes(octets, "big") for value in (r, s))
        with pytest.raises(BadSignature):
            verify(parse(changed(request(by), signature=b64(raw))), load_public_jwk(by.jwk))

    def test_s_keeps_its_leading_zeros(self) -> None:
        """Without them it is the same number, and would be a second spelling of the signature."""
        by = key("ES512")
        while True:  # the first octet of a 521-bit number is 0 or 1
            members = flattened(compact(header(by)), b"{}", by)
            raw = base64.urlsafe_b64decode(members["signature"] + "=" * (-len(members["signature"]) % 4))
            if raw[66] == 0:
                break
        verify(parse(compact(members)), load_public_jwk(by.jwk))
        with pytest.raises(BadSignature, match="octets"):
            verify(parse(compact(members | {"signature": b64(raw[:66] + raw[67:])})), load_public_jwk(by.jwk))

    @pytest.mark.parametrize("octets", [32, 48, 66])
    def test_the_der_of_r_and_s_is_the_library_s(self, octets: int) -> None:
        """With the fewest octets and no minus sign; two of 66 octets take a length of two octets."""
        top = 256**octets
        numbers = [0, 1, 127, 128, 255, 256, top // 256 - 1, top // 2 - 1, top // 2, top - 1]
        for r, s in itertools.product(numbers, repeat=2):
            raw = r.to_bytes(octets, "big") + s.to_bytes(octets, "big")
            assert dss_signature(raw, octets) == encode_dss_signature(r, s)

    def test_a_der_signature_is_not_a_jws_signature(self) -> None:
        """RFC 7518 section 3.4 wants r and s bare."""
        by = key("ES256")
        members = flattened(compact(header(by)), b"{}", by)
        der = by.private.sign(f"{members['protected']}.{members['payload']}".encode(), ec.ECDSA(SHA256()))
        with pytest.raises(BadSignature):
            verify(parse(compact(members | {"signature": b64(der)})), load_public_jwk(by.jwk))

    def test_a_changed_payload(self) -> None:
        by = key("ES256")
        with pytest.raises(BadSignature):
            verify(parse(changed(request(by), payload=b64(b"[]"))), load_public_jwk(by.jwk))

    def test_signed_with_another_hash(self) -> None:
        by = key("RS256")
        members = flattened(compact(header(by)), b"{}", by)
        data = f"{members['protected']}.{members['payload']}".encode()
        raw = by.private.sign(data, padding.PKCS1v15(), SHA512())
        with pytest.raises(BadSignature):
            verify(parse(compact(members | {"signature": b64(raw)})), load_public_jwk(by.jwk))


class TestUrl:
    def test_the_same_string_and_no_other(self) -> None:
        """RFC 8555 section 6.4: string equality, no normalisation."""
        parsed = parse(request(key("ES256")))
        check_url(parsed, URL)
        for other in (
            URL + "/",
            URL.upper(),
            URL.replace("https", "http"),
            URL + "?",
            URL.replace(".test", ".test:443"),
        ):
            with pytest.raises(WrongUrl):
                check_url(parsed, other)


class TestKeyChange:
    def inner(self, **changes: Any) -> bytes:
        by = key("ES384")
        return request(by, b"{}", **({"kid": None, "nonce": None, "jwk": by.jwk} | changes))

    def test_the_new_key_signs(self) -> None:
        inner = parse_key_change(self.inner())
        assert inner.jwk is not None
        verify(inner, load_public_jwk(inner.jwk))
        check_url(inner, URL)

    def test_kid_instead_of_jwk(self) -> None:
        with pytest.raises(MalformedJws, match="new key"):
            parse_key_change(self.inner(kid=KID, jwk=None))

    def test_a_nonce_inside(self) -> None:
        with pytest.raises(MalformedJws, match="nonce"):
            parse_key_change(self.inner(nonce=NONCE))

    def test_a_mac_is_no_signature(self) -> None:
        with pytest.raises(BadSignatureAlgorithm):
            parse_key_change(self.inner(alg="HS256"))

    @pytest.mark.parametrize("payload", [b"", b"{}", b"null", b"[]"])
    def test_no_jws_at_all(self, payload: bytes) -> None:
        with pytest.raises(MalformedJws):
            parse_key_change(payload)


class TestBinding:
    account = load_public_jwk(key("ES256").jwk)

    @pytest.mark.parametrize(
        ("alg", "digest"), [("HS256", "sha256"), ("HS384", "sha384"), ("HS512", "sha512")]
    )
    def test_every_mac(self, alg: str, digest: str) -> None:
        bound = parse_binding(binding(MAC_KEY, key("ES256").jwk, digest, alg=alg))
        assert bound.kid == "eab-1"
        verify_eab(bound, MAC_KEY, URL, self.account)

    def test_josepy_makes_the_same_mac(self) -> None:
        value = binding(MAC_KEY, key("ES256").jwk)
        assert JWS.from_json(value).verify(JWKOct(key=MAC_KEY))

    def test_members_of_the_jwk_in_another_order(self) -> None:
        jwk = dict(reversed(list(key("ES256").jwk.items()))) | {"use": "sig"}
        verify_eab(parse_binding(binding(MAC_KEY, jwk)), MAC_KEY, URL, self.account)

    @pytest.mark.parametrize("alg", ["ES256", "RS256", "none"])
    def test_a_signature_is_no_mac(self, alg: str) -> None:
        """certbot#10137: the alg is the MAC's, never the account key's."""
        with pytest.raises(BadSignatureAlgorithm) as caught:
            parse_binding(binding(MAC_KEY, key("ES256").jwk, alg=alg))
        assert caught.value.algorithms == MAC_ALGORITHMS

    def test_an_outer_request_is_no_binding(self) -> None:
        outer: SignedRequest = parse(request(key("ES256")))
        with pytest.raises(BadSignatureAlgorithm):
            verify_eab(outer, MAC_KEY, URL, self.account)

    def test_the_mac_is_of_another_key(self) -> None:
        with pytest.raises(BadSignature):
            verify_eab(parse_binding(binding(b"x" * 32, key("ES256").jwk)), MAC_KEY, URL, self.account)

    def test_a_cut_mac(self) -> None:
        value = binding(MAC_KEY, key("ES256").jwk)
        for signature in ("", value["signature"][:40]):
            with pytest.raises(BadSignature):
                verify_eab(parse_binding(value | {"signature": signature}), MAC_KEY, URL, self.account)

    def test_made_for_another_url(self) -> None:
        with pytest.raises(WrongUrl):
            verify_eab(parse_binding(binding(MAC_KEY, key("ES256").jwk)), MAC_KEY, URL + "x", self.account)

    def test_made_for_another_account(self) -> None:
        with pytest.raises(MalformedJws, match="another key"):
            verify_eab(parse_binding(binding(MAC_KEY, key("ES256", 1).jwk)), MAC_KEY, URL, self.account)

    def test_the_payload_is_no_json(self) -> None:
        value = binding(MAC_KEY, None)
        value["payload"] = b64(b"{")
        mac = hmac.digest(MAC_KEY, f"{value['protected']}.{value['payload']}".encode(), "sha256")
        with pytest.raises(MalformedJws, match="not a JWK"):
            verify_eab(parse_binding(value | {"signature": b64(mac)}), MAC_KEY, URL, self.account)

    @pytest.mark.parametrize("bound", [None, [], {}, {"kty": "oct", "k": "AAAA"}, "key"])
    def test_the_payload_is_no_key(self, bound: object) -> None:
        with pytest.raises(MalformedJws, match="another key"):
            verify_eab(parse_binding(binding(MAC_KEY, bound)), MAC_KEY, URL, self.account)

    @pytest.mark.parametrize(
        "changes", [{"nonce": NONCE}, {"kid": None}, {"kid": None, "jwk": {}}, {"url": None}]
    )
    def test_its_header(self, changes: dict[str, Any]) -> None:
        with pytest.raises(MalformedJws):
            parse_binding(binding(MAC_KEY, key("ES256").jwk, **changes))

    @pytest.mark.parametrize("value", [None, "", [], 1, {}])
    def test_no_jws_at_all(self, value: Any) -> None:
        with pytest.raises(MalformedJws):
            parse_binding(value)

    def test_a_short_mac_key_is_a_mistake_of_ours(self) -> None:
        with pytest.raises(ValueError, match="MAC key"):
            verify_eab(parse_binding(binding(b"", key("ES256").jwk)), b"", URL, self.account)
