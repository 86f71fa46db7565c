"""No signature without a claim and a ticket; nothing leaves that was not prepared."""

import copy
import gc
import pickle
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
from cryptography import x509

from ca import der
from ca import signer as signing
from ca.certificate import to_be_signed
from ca.keys import KeyAlgorithm, PublicKey
from ca.names import Identifier, IdentifierType
from ca.signer import Signer, SigningRefused, Ticket
from tests.ca.factories import (
    DAY,
    NO_NAME,
    NOW,
    Claim,
    authority,
    common_name,
    content,
    key,
    make_issuer,
    spki,
)


class Watched:
    """A KeyHandle that counts what it signs, and may do it wrong."""

    def __init__(
        self, algorithm: KeyAlgorithm = KeyAlgorithm.P256, change: Callable[[bytes], bytes] | None = None
    ) -> None:
        self.inner = key(algorithm, "issuing")
        self.change = change
        self.signed: list[bytes] = []

    @property
    def algorithm(self) -> KeyAlgorithm:
        return self.inner.algorithm

    @property
    def public_key(self) -> PublicKey:
        return self.inner.public_key

    @property
    def signature_algorithm(self) -> bytes:
        return self.inner.signature_algorithm

    def sign(self, data: bytes) -> bytes:
        self.signed.append(data)
        signature = self.inner.sign(data)
        return self.change(signature) if self.change else signature


def make_signer(handle: Any = None, **options: Any) -> Signer[Claim]:
    return Signer(authority().issuer, handle or key(which="issuing"), Claim, **options)


@pytest.mark.parametrize("algorithm", KeyAlgorithm)
def test_prepare_then_issue(algorithm: KeyAlgorithm) -> None:
    handle = Watched(algorithm)
    issuer = authority(algorithm).issuer
    signer = Signer(issuer, handle, Claim)
    said = content()
    ticket = signer.prepare(Claim("job-7"), said)
    assert handle.signed == []
    assert (ticket.job_id, ticket.serial) == ("job-7", said.serial)
    tbs = to_be_signed(issuer, said)
    assert ticket.tbs_sha256 == sha256(tbs).hexdigest()
    certificate = x509.load_der_x509_certificate(signer.issue(ticket))
    assert handle.signed == [tbs] == [certificate.tbs_certificate_bytes]
    certificate.verify_directly_issued_by(issuer.certificate)
    assert signer.issuer is issuer


def test_a_ticket_is_spent_once() -> None:
    handle = Watched()
    signer = make_signer(handle)
    ticket = signer.prepare(Claim(), content())
    signer.issue(ticket)
    with pytest.raises(SigningRefused, match="spent"):
        signer.issue(ticket)
    assert len(handle.signed) == 1


def test_a_ticket_is_spent_once_by_many_threads() -> None:
    handle = Watched()
    signer = make_signer(handle)
    for _ in range(20):
        ticket = signer.prepare(Claim(), content())
        handle.signed.clear()
        outcomes: list[str] = []
        start = threading.Barrier(8)

        def spend(ticket: Ticket = ticket, outcomes: list[str] = outcomes, start: Any = start) -> None:
            start.wait()
            try:
                signer.issue(ticket)
                outcomes.append("issued")
            except SigningRefused:
                outcomes.append("refused")

        threads = [threading.Thread(target=spend) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["issued"] + ["refused"] * 7
        assert len(handle.signed) == 1


def test_a_ticket_of_another_signer_is_worth_nothing() -> None:
    handle = Watched()
    ticket = make_signer().prepare(Claim(), content())
    with pytest.raises(SigningRefused, match="never this signer's"):
        make_signer(handle).issue(ticket)
    assert handle.signed == []


def test_tickets_are_not_made_by_hand() -> None:
    with pytest.raises(TypeError, match=r"Signer\.prepare"):
        Ticket()
    with pytest.raises(TypeError, match=r"Signer\.prepare"):
        Ticket(object(), job_id="j", serial=1, tbs_sha256="")

    class Forged(Ticket):
        pass

    with pytest.raises(TypeError, match=r"Signer\.prepare"):
        Forged(signing._MINT, job_id="j", serial=1, tbs_sha256="")
    for bare in (object.__new__(Ticket), object(), None, "ticket"):
        with pytest.raises(SigningRefused):
            make_signer().issue(bare)  # type: ignore[arg-type]  # what a careless caller might pass


def test_a_minted_ticket_that_no_signer_prepared() -> None:
    """Even with the mint at hand, a ticket says nothing about what is signed: that lies in the signer."""
    forged = Ticket(signing._MINT, job_id="j", serial=1, tbs_sha256="")
    with pytest.raises(SigningRefused):
        make_signer().issue(forged)


def test_an_object_that_claims_to_be_equal_to_a_ticket() -> None:
    handle = Watched()
    signer = make_signer(handle)
    ticket = signer.prepare(Claim(), content())

    class Double:
        def __hash__(self) -> int:
            return hash(ticket)

        def __eq__(self, other: object) -> bool:
            return True

    with pytest.raises(SigningRefused):
        signer.issue(Double())  # type: ignore[arg-type]  # that is the attack
    assert handle.signed == []


def test_tickets_do_not_change_and_are_not_copied() -> None:
    ticket = make_signer().prepare(Claim(), content())
    for name in ("serial", "job_id", "tbs_sha256", "other"):
        with pytest.raises(AttributeError):
            setattr(ticket, name, "x")
    for duplicate in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="not copied"):
            duplicate(ticket)
    assert repr(ticket) == f"<Ticket job=job-1 serial={ticket.serial:x}>"


def test_forgotten_tickets_are_forgotten_by_the_signer() -> None:
    signer = make_signer()
    for _ in range(10):
        signer.prepare(Claim(), content())
    gc.collect()
    assert len(signer._prepared) == 0


@dataclass(frozen=True)
class LaterClaim(Claim):
    """A subclass: what a clever caller might derive."""


@dataclass(frozen=True)
class LooksLikeOne:
    job_id: str = "job-1"


@pytest.mark.parametrize("claim", [LaterClaim(), LooksLikeOne(), "job-1", None, Claim])
def test_only_a_claim_of_the_very_type_opens(claim: Any) -> None:
    with pytest.raises(SigningRefused, match="opens nothing"):
        make_signer().prepare(claim, content())


def test_a_key_of_another_authority_is_refused() -> None:
    with pytest.raises(SigningRefused, match="does not belong"):
        Signer(authority().issuer, key(which="root"), Claim)
    with pytest.raises(SigningRefused, match="does not belong"):
        Signer(authority().issuer, key(KeyAlgorithm.P384, "issuing"), Claim)


def test_a_key_that_signs_otherwise_than_the_issuer_states() -> None:
    class Sha1(Watched):
        @property
        def signature_algorithm(self) -> bytes:
            return der.sequence(der.oid("1.2.840.10045.4.1"))

    with pytest.raises(SigningRefused, match="another algorithm"):
        make_signer(Sha1())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"not_after": NOW + 1825 * DAY + timedelta(seconds=1)}, "outlive"),
        ({"not_before": NOW + 91 * DAY}, "ends before it begins"),
        ({"serial": 5}, "too short"),
        ({"serial": 1 << 160}, "20 octets"),
        ({"serial": -5}, "negative"),
        ({"identifiers": (Identifier(IdentifierType.DNS, "a_b.example"),)}, "well-formed"),
        ({"identifiers": ()}, "neither a subject nor"),
        ({"subject": common_name("other.example").public_bytes()}, "common name"),
        ({"key_usage": ("keyCertSign",)}, "neither certificates nor CRLs"),
        ({"key_usage": ("keyEncipherment",)}, "cannot be used for keyEncipherment"),
        ({"key_usage": ("digital",)}, "no key usage"),
        ({"not_after": NOW.replace(tzinfo=None)}, "time zone"),
    ],
)
def test_what_is_not_prepared(changes: dict[str, Any], words: str) -> None:
    handle = Watched()
    with pytest.raises(SigningRefused, match=words):
        make_signer(handle).prepare(Claim(), content(**changes))
    assert handle.signed == []


def test_findings_come_with_the_refusal() -> None:
    with pytest.raises(SigningRefused) as refused:
        make_signer().prepare(Claim(), content(serial=5, key_usage=("cRLSign",)))
    assert {finding.rule for finding in refused.value.findings} >= {
        "house/serial_entropy",
        "house/subscriber",
    }


def test_the_last_second_of_the_issuer_is_allowed() -> None:
    signer = make_signer()
    signer.issue(signer.prepare(Claim(), content(not_after=NOW + 1825 * DAY)))


@pytest.mark.parametrize(
    "spoil",
    [lambda whole: whole[:-1] + bytes((whole[-1] ^ 1,)), lambda whole: whole[:-1], lambda _whole: b""],
)
@pytest.mark.parametrize("algorithm", KeyAlgorithm)
def test_a_wrong_signature_stays_here(algorithm: KeyAlgorithm, spoil: Callable[[bytes], bytes]) -> None:
    handle = Watched(algorithm, spoil)
    signer = Signer(authority(algorithm).issuer, handle, Claim)
    ticket = signer.prepare(Claim(), content())
    with pytest.raises(SigningRefused, match="does not verify"):
        signer.issue(ticket)
    with pytest.raises(SigningRefused, match="spent"):
        signer.issue(ticket)


def test_verification_can_be_left_to_the_key() -> None:
    handle = Watched(change=lambda _signature: b"no signature")
    signer = make_signer(handle, verify_signature=False)
    certificate = x509.load_der_x509_certificate(signer.issue(signer.prepare(Claim(), content())))
    assert certificate.signature == b"no signature"


def test_what_was_signed_is_compared_with_what_was_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the assembly ever wrong, the certificate would not leave."""
    prepared = make_signer()
    ticket = prepared.prepare(Claim(), content())
    other = to_be_signed(authority().issuer, content(serial=1 << 126))
    really = der.sequence

    def swapped(*parts: bytes) -> bytes:
        return really(other, *parts[1:])

    monkeypatch.setattr(der, "sequence", swapped)
    with pytest.raises(SigningRefused, match="not what was prepared"):
        prepared.issue(ticket)
    monkeypatch.setattr(der, "sequence", lambda *_parts: b"\x30\x00")
    ticket = make_signer_ticket(prepared, monkeypatch)
    with pytest.raises(SigningRefused, match="not what was prepared"):
        prepared.issue(ticket)


def make_signer_ticket(prepared: Signer[Claim], monkeypatch: pytest.MonkeyPatch) -> Ticket:
    """A ticket made while the encoder works; the patch is put back behind it."""
    broken = der.sequence
    monkeypatch.undo()
    ticket = prepared.prepare(Claim(), content())
    monkeypatch.setattr(der, "sequence", broken)
    return ticket


def test_a_key_that_fails_spends_the_ticket() -> None:
    def broken(_signature: bytes) -> bytes:
        raise OSError("the token is gone")

    signer = make_signer(Watched(change=broken))
    ticket = signer.prepare(Claim(), content())
    with pytest.raises(OSError, match="token is gone"):
        signer.issue(ticket)
    with pytest.raises(SigningRefused, match="spent"):
        signer.issue(ticket)


def test_issuers_without_pointers_sign_too() -> None:
    bare = make_issuer(authority().certificate, ocsp_url=None, ca_issuers_url=None, crl_url=None)
    signer = Signer(bare, key(which="issuing"), Claim)
    said = content(spki=spki(KeyAlgorithm.ED25519), subject=NO_NAME)
    certificate = x509.load_der_x509_certificate(signer.issue(signer.prepare(Claim(), said)))
    with pytest.raises(x509.ExtensionNotFound):
        certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess)
