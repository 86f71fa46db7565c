"""Root and issuing authority as they are made, and every reason why an existing one is not taken over."""

import subprocess
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any, TypeVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from ca import der
from ca.hierarchy import HierarchyRefused, Locations, check_import, create_issuing, create_root
from ca.keys import KeyAlgorithm
from ca.keys.file import FileKey
from tests.ca.factories import DAY, NOW, Authority, authority, common_name, key, make_authority, private

T = TypeVar("T", bound=x509.ExtensionType)


def extension(certificate: x509.Certificate, kind: type[T]) -> tuple[T, bool]:
    found = certificate.extensions.get_extension_for_class(kind)
    return found.value, found.critical


@pytest.mark.parametrize("algorithm", KeyAlgorithm)
def test_a_new_hierarchy(algorithm: KeyAlgorithm) -> None:
    made = authority(algorithm)
    made.root.verify_directly_issued_by(made.root)
    made.certificate.verify_directly_issued_by(made.root)
    for certificate, path_length in ((made.root, 1), (made.certificate, 0)):
        assert certificate.version is x509.Version.v3
        assert certificate.serial_number.bit_length() == 127
        assert extension(certificate, x509.BasicConstraints) == (
            x509.BasicConstraints(True, path_length),
            True,
        )
        usage, critical = extension(certificate, x509.KeyUsage)
        assert critical
        assert usage.key_cert_sign
        assert usage.crl_sign
        assert not any((usage.digital_signature, usage.key_encipherment, usage.key_agreement))
        aki, _ = extension(certificate, x509.AuthorityKeyIdentifier)
        assert aki.key_identifier == extension(made.root, x509.SubjectKeyIdentifier)[0].digest
    assert check_import(made.key, [made.certificate, made.root], at=NOW) == ((made.certificate,), made.root)


def test_pointers_to_the_root() -> None:
    places = Locations(
        "http://ca.example/ocsp/root", "http://ca.example/ca/root.cer", "http://ca.example/crl/root.crl"
    )
    certificate = make_authority(root_locations=places).certificate
    access, critical = extension(certificate, x509.AuthorityInformationAccess)
    assert [one.access_location.value for one in access] == [places.ocsp_url, places.ca_issuers_url]
    assert not critical
    points, critical = extension(certificate, x509.CRLDistributionPoints)
    assert [[name.value for name in point.full_name or ()] for point in points] == [[places.crl_url]]
    assert not critical


def test_name_constraints_are_critical() -> None:
    constraints = x509.NameConstraints(
        permitted_subtrees=[x509.DNSName("corp.example"), x509.IPAddress(ip_network("10.0.0.0/8"))],
        excluded_subtrees=[x509.DNSName("secret.corp.example")],
    )
    certificate = make_authority(name_constraints=constraints).certificate
    assert extension(certificate, x509.NameConstraints) == (constraints, True)


def test_an_unbounded_root() -> None:
    root = create_root(
        key(which="root"), subject=common_name("r"), not_before=NOW, not_after=NOW + DAY, path_length=None
    )
    assert extension(root, x509.BasicConstraints)[0] == x509.BasicConstraints(ca=True, path_length=None)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"not_after": NOW + 3650 * DAY + timedelta(seconds=1)}, "outlive the root"),
        ({"not_before": NOW + 1825 * DAY}, "before it begins"),
        ({"not_before": NOW.replace(tzinfo=None)}, "time zone"),
        ({"not_before": NOW.replace(microsecond=1)}, "whole seconds"),
        ({"subject": common_name("Test root")}, "different names"),
        ({"subject": x509.Name([])}, "needs a name"),
    ],
)
def test_authorities_that_are_not_made(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(HierarchyRefused, match=words):
        make_authority(**changes)


def test_a_root_that_may_not_have_authorities_below_it() -> None:
    root_key = key(which="root")
    arguments: dict[str, Any] = {
        "public_key": key(which="issuing").public_key,
        "subject": common_name("i"),
        "not_before": NOW,
        "not_after": NOW + DAY,
    }
    flat = create_root(
        root_key, subject=common_name("r"), not_before=NOW, not_after=NOW + 2 * DAY, path_length=0
    )
    with pytest.raises(HierarchyRefused, match="allows 0 authorities below it"):
        create_issuing(flat, root_key, **arguments)
    with pytest.raises(HierarchyRefused, match="does not belong to the root"):
        create_issuing(authority().root, key(which="other"), **arguments)
    with pytest.raises(HierarchyRefused, match="allows 0 authorities"):
        create_issuing(authority().certificate, key(which="issuing"), **arguments)


# --- import ---


def other_authority(
    made: Authority, *extensions: tuple[x509.ExtensionType, bool], digest: Any = None, **changes: Any
) -> x509.Certificate:
    """An issuing certificate under the root of `made` as another program might have made it."""
    signing = private(KeyAlgorithm.P256, "root")
    assert isinstance(signing, ec.EllipticCurvePrivateKey)
    builder = (
        x509.CertificateBuilder()
        .subject_name(common_name("Other issuing authority"))
        .issuer_name(made.root.subject)
        .public_key(changes.get("public_key", made.key.public_key))
        .serial_number(77)
        .not_valid_before(changes.get("not_before", NOW - DAY))
        .not_valid_after(changes.get("not_after", NOW + DAY))
    )
    for one, critical in extensions:
        builder = builder.add_extension(one, critical)
    return builder.sign(signing, digest or hashes.SHA256())


def usage(*, cert_sign: bool = True, crl_sign: bool = True) -> tuple[x509.ExtensionType, bool]:
    return (
        x509.KeyUsage(
            digital_signature=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=cert_sign,
            crl_sign=crl_sign,
            encipher_only=False,
            decipher_only=False,
        ),
        True,
    )


CA = (x509.BasicConstraints(ca=True, path_length=None), True)
SKI = (x509.SubjectKeyIdentifier(b"k" * 20), False)


def import_refused(
    *chain: x509.Certificate, handle: FileKey | None = None, **options: Any
) -> tuple[str, ...]:
    with pytest.raises(HierarchyRefused) as refused:
        check_import(handle or authority().key, chain, **{"at": NOW, **options})
    return refused.value.reasons


def test_an_authority_that_another_program_made() -> None:
    made = authority()
    certificate = other_authority(made, CA, usage(), SKI)
    imported = check_import(made.key, [certificate, made.root], at=NOW)
    assert imported.chain == (certificate,)
    assert imported.root == made.root


def test_three_levels() -> None:
    root_key, middle_key, issuing_key = key(which="root"), key(which="middle"), key(which="issuing")
    span: dict[str, Any] = {"not_before": NOW, "not_after": NOW + DAY}
    root = create_root(root_key, subject=common_name("r"), path_length=2, **span)
    middle = create_issuing(
        root, root_key, public_key=middle_key.public_key, subject=common_name("m"), path_length=1, **span
    )
    issuing = create_issuing(
        middle, middle_key, public_key=issuing_key.public_key, subject=common_name("i"), **span
    )
    imported = check_import(issuing_key, [issuing, middle, root], at=NOW)
    assert imported == ((issuing, middle), root)
    assert any("was not issued by" in reason for reason in import_refused(issuing, root, middle))
    narrow = create_root(root_key, subject=common_name("r"), path_length=1, **span)
    reasons = import_refused(issuing, middle, narrow)
    assert reasons == ("the certificate 'CN=r' allows 1 authorities below it, and there are 2",)


def test_a_root_that_issues_by_itself() -> None:
    made = authority()
    imported = check_import(made.root_key, [made.root], at=NOW)
    assert imported == ((made.root,), made.root)


def test_a_key_of_another_authority() -> None:
    made = authority()
    reasons = import_refused(made.certificate, made.root, handle=made.root_key)
    assert reasons == ("the key does not belong to the first certificate of the chain",)


@pytest.mark.parametrize(
    ("extensions", "words"),
    [
        ((usage(), SKI), "not a certificate authority"),
        (
            ((x509.BasicConstraints(ca=False, path_length=None), True), usage(), SKI),
            "not a certificate authority",
        ),
        ((CA, SKI), "no key usage"),
        ((CA, usage(cert_sign=False), SKI), "may not sign certificates"),
        ((CA, usage(crl_sign=False), SKI), "may not sign CRLs"),
        ((CA, usage()), "no subject key identifier"),
    ],
)
def test_certificates_that_are_no_authority(
    extensions: tuple[tuple[x509.ExtensionType, bool], ...], words: str
) -> None:
    reasons = import_refused(other_authority(authority(), *extensions), authority().root)
    assert len(reasons) == 1
    assert words in reasons[0]


@pytest.mark.parametrize("at", [NOW + 2 * DAY, NOW - 2 * DAY])
def test_an_authority_outside_its_validity(at: Any) -> None:
    certificate = other_authority(authority(), CA, usage(), SKI)
    reasons = import_refused(certificate, authority().root, at=at)
    assert len(reasons) == 1
    assert "Other issuing authority" in reasons[0]
    assert "is not valid at" in reasons[0]


def test_a_chain_without_its_root_or_with_another() -> None:
    made = authority()
    assert "not a self-signed root" in import_refused(made.certificate)[0]
    namesake = create_root(
        key(which="namesake"), subject=made.root.subject, not_before=NOW, not_after=NOW + DAY
    )
    assert "is not signed by" in import_refused(made.certificate, namesake)[0]
    stranger = create_root(
        key(which="namesake"), subject=common_name("stranger"), not_before=NOW, not_after=NOW + DAY
    )
    assert "was not issued by" in import_refused(made.certificate, stranger)[0]


def test_chains_that_are_too_short_or_too_long() -> None:
    assert "1 to 8" in import_refused()[0]
    assert "1 to 8" in import_refused(*[authority().root] * 9)[0]


def test_an_authority_with_a_weak_key() -> None:
    weak = rsa.generate_private_key(65537, 1024)
    certificate = other_authority(authority(), CA, usage(), SKI, public_key=weak.public_key())
    reasons = import_refused(certificate, authority().root)
    assert any("1024 bits" in reason for reason in reasons)


def test_an_authority_with_an_unknown_kind_of_key() -> None:
    odd = ec.generate_private_key(ec.SECP256K1())
    certificate = other_authority(authority(), CA, usage(), SKI, public_key=odd.public_key())
    assert any("secp256k1" in reason for reason in import_refused(certificate, authority().root))


def test_an_authority_signed_with_sha1(tmp_path: Path) -> None:
    """Made with openssl, because cryptography no longer signs with SHA-1."""
    config = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n"
    (tmp_path / "extensions").write_text(config)
    for command in (
        "req -x509 -newkey rsa:2048 -nodes -subj /CN=r -keyout r.key -out r.pem -days 3650",
        "req -new -newkey rsa:2048 -nodes -subj /CN=i -keyout i.key -out i.csr",
        "x509 -req -in i.csr -sha1 -CA r.pem -CAkey r.key -days 3650 -out i.pem -extfile extensions",
    ):
        subprocess.run(["openssl", *command.split()], cwd=tmp_path, check=True, capture_output=True)
    root, issuing = (x509.load_pem_x509_certificate((tmp_path / f"{name}.pem").read_bytes()) for name in "ri")
    at = issuing.not_valid_before_utc
    reasons = import_refused(issuing, root, at=at)
    assert "the certificate 'CN=i' is signed with a hash that can be collided" in reasons


def test_an_old_root_as_openssl_makes_it(tmp_path: Path) -> None:
    """No key usage, and SHA-1 in its signature on itself: relying parties that trust it do not mind."""
    key_path, root_path = tmp_path / "r.key", tmp_path / "r.pem"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -sha1 -subj /CN=r -keyout {key_path} -out {root_path} -days 9"
    subprocess.run(command.split(), check=True, capture_output=True)
    root = x509.load_pem_x509_certificate(root_path.read_bytes())
    root_key = load_pem_private_key(key_path.read_bytes(), None)
    assert isinstance(root_key, rsa.RSAPrivateKey)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(common_name("i"))
        .issuer_name(root.subject)
        .public_key(key().public_key)
        .serial_number(78)
        .not_valid_before(root.not_valid_before_utc)
        .not_valid_after(root.not_valid_after_utc)
        .add_extension(*CA)
        .add_extension(*usage())
        .add_extension(*SKI)
        .sign(root_key, hashes.SHA256())
    )
    imported = check_import(key(), [certificate, root], at=root.not_valid_before_utc)
    assert imported == ((certificate,), root)


def test_an_authority_whose_extensions_cannot_be_read() -> None:
    whole = other_authority(authority(), CA, usage(), SKI).public_bytes(Encoding.DER)
    ski, key_usage = der.oid("2.5.29.14"), der.oid("2.5.29.15")
    twice = x509.load_der_x509_certificate(whole.replace(ski, key_usage))
    assert any("unreadable extensions" in reason for reason in import_refused(twice, authority().root))


def test_an_authority_signed_with_an_unknown_algorithm() -> None:
    whole = other_authority(authority(), CA, usage(), SKI).public_bytes(Encoding.DER)
    unknown = x509.load_der_x509_certificate(
        whole.replace(der.oid("1.2.840.10045.4.3.2"), der.oid("1.2.840.10045.4.3.9"))
    )
    assert any("was not issued by" in reason for reason in import_refused(unknown, authority().root))


def test_all_reasons_are_given_at_once() -> None:
    certificate = other_authority(authority(), public_key=key(which="other").public_key)
    reasons = import_refused(certificate, authority().root, at=NOW + 5 * DAY)
    assert len(reasons) == 5
