"""Making a CA: what lies in the directory afterwards, and that no interruption leaves half of one."""

import asyncio
import stat
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import AuthorityInformationAccessOID

from ca.certificate import Issuer
from ca.keys import KeyAlgorithm, pkcs8
from ca.keys.file import FileKey, KeyRefused, open_key
from policy.profile_cache import ProfileCache
from servers import ceremony, secret_files, setup
from servers.authorities import NoAuthority, load_authorities, open_keys
from servers.ceremony import CeremonyRefused, Constraints, Import, Plan
from servers.files import FileRefused, write_private
from servers.settings import Settings, load_settings
from servers.setup import AlreadyThere, Made, SetupRefused, alone, initialise
from store import audit, clock, listings, principals, profiles
from store.database import Database
from store.ids import ProfileName
from store.open import open_database
from tests.common.world import make_issuer

T = TypeVar("T")


@pytest.fixture(autouse=True)
def _cheap_passphrases(monkeypatch: pytest.MonkeyPatch) -> None:
    """That a stolen file is dear to guess at is tested in ca; here it would be most of the time."""
    monkeypatch.setattr(pkcs8, "ROUNDS", 1000)


def settings_for(path: Path, **environment: str) -> Settings:
    return load_settings(path, environment)


async def with_database(settings: Settings, work: Callable[[Database], Awaitable[T]]) -> T:
    database = await open_database(settings.database_url)
    try:
        return await work(database)
    finally:
        await database.close()


async def make(path: Path, plan: Plan | Import | None = None, **environment: str) -> Made:
    settings = settings_for(path, **environment)
    with alone(settings.directory):
        return await with_database(
            settings, lambda database: initialise(database, settings, plan or Plan(), clock.now())
        )


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_what_lies_in_the_directory(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "data"
    made = await make(path)
    assert mode(path) == 0o700
    found = {one.name: mode(one) for one in path.iterdir()}
    assert found.pop("root.pem") == 0o644
    assert set(found.values()) == {0o600}, found
    assert set(found) >= {"root.key", "issuing.key", "passphrase", "secret.key", "admin.token", "certctl.db"}
    assert made.admin_token not in repr(made)
    assert (path / "admin.token").read_text().strip() == made.admin_token
    assert made.admin_token.encode() not in (path / "certctl.db").read_bytes()


async def test_what_the_database_knows(tmp_path: Path) -> None:
    made = await make(tmp_path)
    settings = settings_for(tmp_path)

    async def look(database: Database) -> None:
        admin = await database.read(lambda tx: principals.authenticate(tx, made.admin_token, clock.now()))
        assert admin is not None
        assert await database.read(lambda tx: principals.roles(tx, admin.id)) == {"admin"}
        people = await database.read(lambda tx: listings.latest_principals(tx, 10, accounts=True))
        assert {(one.name, one.kind.value) for one in people} == {("admin", "person"), ("system", "machine")}
        cache = ProfileCache()
        versions = await database.read(profiles.every)
        parsed = {str(version.name): cache.read(version) for version in versions}
        assert set(parsed) == {"default", "gated", "server-tls"}
        assert parsed["gated"].requires_approval
        assert not parsed["server-tls"].acme.enabled
        assert await database.read(audit.verify) > 5
        (authority,) = await load_authorities(database, settings)
        ((issuer, key),) = open_keys([authority], secret_files.passphrase(settings))
        assert key.public_key == issuer.public_key

    await with_database(settings, look)


def authority_url(certificate: x509.Certificate) -> str:
    access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    (found,) = [one for one in access if one.access_method == AuthorityInformationAccessOID.CA_ISSUERS]
    location: str = found.access_location.value
    return location


async def test_what_the_authorities_say(tmp_path: Path) -> None:
    environment = {
        "CERTCTL_SERVER__EXTERNAL_URL": "https://ca.example",
        "CERTCTL_SERVER__HTTP": "127.0.0.1:8081",
    }
    plan = Plan("p384", "Example", "Example Root", "Example Issuing", 4000, 2000)
    await make(tmp_path, plan, **environment)

    async def look(database: Database) -> tuple[x509.Certificate, Issuer]:
        (authority,) = await load_authorities(database, settings_for(tmp_path, **environment))
        return authority.root, authority.issuer

    root, issuer = await with_database(settings_for(tmp_path), look)
    issuing = issuer.certificate
    assert root.subject.rfc4514_string() == "CN=Example Root,O=Example"
    assert issuing.subject.rfc4514_string() == "CN=Example Issuing,O=Example"
    assert root == x509.load_pem_x509_certificate((tmp_path / "root.pem").read_bytes())
    assert issuing.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0
    assert authority_url(issuing) == "http://ca.example:8081/ca/root.cer"
    assert issuer.ca_issuers_url == "http://ca.example:8081/ca/issuing.cer"
    assert issuer.ocsp_url == "http://ca.example:8081/ocsp/issuing"
    assert issuer.crl_url == "http://ca.example:8081/crl/issuing.crl"
    assert issuer.chain == (issuing,)
    assert (root.not_valid_after_utc - root.not_valid_before_utc).days == 4000
    assert (issuing.not_valid_after_utc - issuing.not_valid_before_utc).days == 2000
    assert (
        open_key(tmp_path / "root.key", secret_files.passphrase(settings_for(tmp_path))).algorithm == "p384"
    )


@pytest.mark.parametrize("algorithm", ["p256", "p521", "ed25519", "rsa-2048"])
async def test_every_key_algorithm(tmp_path: Path, algorithm: str) -> None:
    made = await make(tmp_path, Plan(algorithm))
    key = open_key(
        made.root_certificate.with_name("issuing.key"), secret_files.passphrase(settings_for(tmp_path))
    )
    assert key.algorithm == algorithm.partition("-")[0]


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (Plan("dsa"), "no key algorithm"),
        (Plan(root_days=10, issuing_days=20), "outlive the root"),
        (Plan(root_name="Same", issuing_name="Same"), "different names"),
        (Plan(root_name=""), "name"),
        (Plan(root_days=10**9), "calendar"),
        (Plan(constraints=Constraints(permitted_dns=("bad name",))), "name constraints"),
        (Plan(constraints=Constraints(permitted_ip=("10.0.0.1/8",))), "name constraints"),
    ],
)
async def test_a_plan_that_makes_no_sense_leaves_nothing_that_is_in_the_way(
    tmp_path: Path, plan: Plan, words: str
) -> None:
    with pytest.raises(CeremonyRefused, match=words):
        await make(tmp_path, plan)
    await make(tmp_path)


async def test_a_directory_with_a_ca_is_left_as_it_is(tmp_path: Path) -> None:
    await make(tmp_path)
    before = {
        path.name: path.read_bytes()
        for path in tmp_path.iterdir()
        if path.suffix in (".key", ".pem", ".token")
    }
    with pytest.raises(AlreadyThere):
        await make(tmp_path)
    assert before == {name: (tmp_path / name).read_bytes() for name in before}


async def test_keys_whose_database_is_lost_are_not_overwritten(tmp_path: Path) -> None:
    await make(tmp_path)
    key = (tmp_path / "root.key").read_bytes()
    for path in tmp_path.glob("certctl.db*"):
        path.unlink()
    with pytest.raises(SetupRefused, match="restore the database"):
        await make(tmp_path)
    assert (tmp_path / "root.key").read_bytes() == key


class Interrupted(BaseException):
    """As when the power fails: nobody catches it."""


STEPS = 12


@pytest.mark.parametrize("step", range(STEPS))
async def test_an_interrupted_run_can_be_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Cut off before its nth change of the directory or the database, for every n that there is, and after the last."""
    count = 0

    def cut_off(real: Callable[..., Any]) -> Callable[..., Any]:
        def maybe(*arguments: Any, **named: Any) -> Any:
            nonlocal count
            count += 1
            if count == step + 1:
                raise Interrupted
            return real(*arguments, **named)

        return maybe

    settings = settings_for(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(setup, "write_private", cut_off(write_private))
        patched.setattr(FileKey, "save", cut_off(FileKey.save))
        patched.setattr(setup, "_record", cut_off(setup._record))
        patched.setattr(Path, "unlink", cut_off(Path.unlink))
        try:
            database = await open_database(settings.database_url)
            try:
                await initialise(database, settings, Plan(), clock.now())
            finally:
                await database.close()
        except (Interrupted, asyncio.CancelledError):
            pass
        else:
            assert step >= count, "STEPS is too small to cut off the last step"
            return
    try:
        made = await make(tmp_path, Plan("p384"))
    except AlreadyThere:
        # Cut off after the commit: the CA was complete, and its token is where it should be.
        made = Made(tmp_path / "root.pem", None, "", (tmp_path / "admin.token").read_text().strip())

    async def look(database: Database) -> None:
        (authority,) = await load_authorities(database, settings)
        open_keys([authority], secret_files.passphrase(settings))
        assert authority.root == x509.load_pem_x509_certificate((tmp_path / "root.pem").read_bytes())
        authority.issuer.certificate.verify_directly_issued_by(authority.root)
        assert await database.read(lambda tx: principals.authenticate(tx, made.admin_token, clock.now()))

    await with_database(settings, look)


async def test_there_are_no_more_steps_than_are_tested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []

    def counting(path: Path, *rest: Any, **named: Any) -> None:
        written.append(path)
        write_private(path, *rest, **named)

    monkeypatch.setattr(setup, "write_private", counting)
    await make(tmp_path)
    assert len(written) + len(("root.key", "issuing.key", "record", "marker")) < STEPS


async def test_what_is_offered_is_what_the_authority_may_issue(tmp_path: Path) -> None:
    constraints = Constraints(("example.com",), ("10.0.0.0/8",), ("bad.example.com",))
    await make(tmp_path, Plan(constraints=constraints))

    async def look(database: Database) -> None:
        settings = settings_for(tmp_path)
        (authority,) = await load_authorities(database, settings)
        assert authority.issuer.name_constraints
        cache = ProfileCache()
        _, default = await database.read(lambda tx: cache.current(tx, ProfileName("default")))
        assert default.identifiers.dns.suffixes == ("example.com",)
        assert not default.identifiers.dns.any
        assert [str(network) for network in default.identifiers.ip.networks] == ["10.0.0.0/8"]

    await with_database(settings_for(tmp_path), look)


# --- import ---


def exported(
    folder: Path, issuer: Issuer, root: x509.Certificate, key: FileKey, passphrase: bytes | None
) -> Import:
    chain, key_file = folder / "chain.pem", folder / "import.key"
    chain.write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in (*issuer.chain, root)))
    if passphrase is None:
        text = key._private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    else:
        text = key._private_key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase)
        )
    key_file.write_bytes(text)
    key_file.chmod(0o600)
    return Import(chain, key_file)


def authority_of_others(folder: Path, passphrase: bytes | None = None) -> Import:
    begin = ceremony.make(Plan("rsa-2048"), "http://ca.example/root.cer", clock.to_datetime(clock.now()))
    issuer = Issuer(name="theirs", certificate=begin.chain[0], chain=begin.chain[:1])
    return exported(folder, issuer, begin.root, begin.key, passphrase)


async def test_an_existing_authority_is_taken_in(tmp_path: Path) -> None:
    source = authority_of_others(tmp_path)
    made = await make(tmp_path / "data", source)
    assert made.root_key is None
    assert not (tmp_path / "data" / "root.key").exists()

    async def look(database: Database) -> None:
        settings = settings_for(tmp_path / "data")
        (authority,) = await load_authorities(database, settings)
        ((issuer, key),) = open_keys([authority], secret_files.passphrase(settings))
        assert key.public_key == issuer.public_key
        assert issuer.algorithm is KeyAlgorithm.RSA
        rows = await database.read(lambda tx: listings.latest_audit(tx, 100))
        assert "ca.imported" in {row.action for row in rows}

    await with_database(settings_for(tmp_path / "data"), look)
    assert b"ENCRYPTED" in (tmp_path / "data" / "issuing.key").read_bytes()


async def test_its_key_may_be_encrypted(tmp_path: Path) -> None:
    source = authority_of_others(tmp_path, b"theirs")
    with pytest.raises(CeremonyRefused, match="--import-passphrase-file"):
        await make(tmp_path / "data", source)
    phrase = tmp_path / "phrase"
    phrase.write_text("theirs\n")
    phrase.chmod(0o600)
    await make(tmp_path / "data", replace(source, passphrase_file=phrase))
    phrase.write_text("wrong\n")
    with pytest.raises(KeyRefused, match="passphrase does not open"):
        await make(tmp_path / "other", replace(source, passphrase_file=phrase))


async def test_what_cannot_be_taken_in(tmp_path: Path) -> None:
    source = authority_of_others(tmp_path)
    with pytest.raises(CeremonyRefused, match="cannot read"):
        await make(tmp_path / "data", replace(source, chain=tmp_path / "gone"))
    (tmp_path / "no.pem").write_text("nothing")
    with pytest.raises(CeremonyRefused, match="no certificates"):
        await make(tmp_path / "data", replace(source, chain=tmp_path / "no.pem"))
    expired, key = make_issuer()
    _, other = make_issuer()
    begin = ceremony.make(Plan(), "http://ca.example/root.cer", clock.to_datetime(clock.now()))
    foreign = exported(tmp_path, expired, begin.root, key, None)
    with pytest.raises(CeremonyRefused, match=r"not issued by|not signed by"):
        await make(tmp_path / "data", foreign)
    stranger = exported(
        tmp_path, Issuer(name="x", certificate=begin.chain[0], chain=begin.chain[:1]), begin.root, other, None
    )
    with pytest.raises(CeremonyRefused, match="does not belong"):
        await make(tmp_path / "data", stranger)
    source.key.chmod(0o644)
    with pytest.raises(FileRefused, match="chmod 600"):
        await make(tmp_path / "data", source)


# --- secrets ---


async def test_a_passphrase_from_the_environment_is_written_nowhere(tmp_path: Path) -> None:
    environment = {"CERTCTL_KEYS__PASSPHRASE": "open-sesame"}
    await make(tmp_path, None, **environment)
    assert not (tmp_path / "passphrase").exists()
    assert open_key(tmp_path / "issuing.key", b"open-sesame").algorithm == "p256"
    with pytest.raises(FileRefused, match="cannot open"):
        secret_files.passphrase(settings_for(tmp_path))


async def test_a_passphrase_file_of_the_operators_is_used(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("open-sesame\n")
    mine.chmod(0o600)
    await make(tmp_path / "data", CERTCTL_KEYS__PASSPHRASE_FILE=str(mine))
    assert open_key(tmp_path / "data" / "issuing.key", b"open-sesame").algorithm == "p256"
    assert mine.read_text() == "open-sesame\n"


@pytest.mark.parametrize("content", ["", "zz", "00" * 31])
async def test_a_damaged_master_secret_is_noticed_at_once(tmp_path: Path, content: str) -> None:
    (tmp_path / "secret.key").write_text(content)
    (tmp_path / "secret.key").chmod(0o600)
    with pytest.raises(FileRefused, match="damaged"):
        await make(tmp_path)


async def test_a_database_without_a_ca_says_what_to_do(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    with pytest.raises(NoAuthority, match="certctl init"):
        await with_database(settings, lambda database: load_authorities(database, settings))
