"""The server's own certificate: asked for like any other, renewed in time, never at the price of the one there is."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from ca.keys import pkcs8
from ca.names import IdentifierType
from policy.profiles import Profile
from servers import own_certificate
from servers.own_certificate import CertificateUnavailable, OwnCertificate
from servers.own_profile import NAME, allowing, own_names, own_profile
from servers.settings import load_settings
from store import listings, principals, profiles
from store.ids import PrincipalId, ProfileName
from store.records import Principal, PrincipalKind
from tests.common.world import World, make_world, sqlite_url


@pytest.fixture(autouse=True)
def _cheap_passphrases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pkcs8, "ROUNDS", 1000)


@dataclass
class Own:
    """A world whose server keeps a certificate of its own."""

    world: World
    folder: Path

    def at(self, url: str = "https://ca.example:8443") -> OwnCertificate:
        """The keeper, for a server that is called `url`."""
        settings = load_settings(self.folder, {"CERTCTL_SERVER__EXTERNAL_URL": url})
        world = self.world
        return OwnCertificate(
            settings, world.database, world.gate, world.cache, world.issuer, b"phrase", lambda: world.now
        )

    async def obtain(self, keeper: OwnCertificate, patience: float = 10.0) -> None:
        """Let it ask, while a worker works."""
        ended = asyncio.Event()
        work = asyncio.ensure_future(self.world.worker.run(ended))
        try:
            await keeper.obtain(patience)
        finally:
            ended.set()
            await work

    def certificate(self) -> x509.Certificate:
        return x509.load_pem_x509_certificates((self.folder / "server.pem").read_bytes())[0]


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[Own]:
    async with make_world(sqlite_url(tmp_path)) as world:
        system = Principal(PrincipalId("system"), "system", PrincipalKind.MACHINE, world.now, None, None)
        await world.write(lambda tx: principals.insert(tx, system))
        yield Own(world, tmp_path)


async def test_it_is_a_job_asked_for_by_system(own: Own) -> None:
    keeper = own.at()
    assert keeper.due()
    assert not keeper.usable()
    await own.obtain(keeper)
    assert not keeper.due()
    assert keeper.usable()
    names = own.certificate().extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {"ca.example", "localhost", "127.0.0.1", "::1"} <= {str(name.value) for name in names}
    (job,) = await own.world.write(lambda tx: listings.latest_jobs(tx, 10))
    assert job.status == "completed"
    rows = await own.world.write(lambda tx: listings.latest_audit(tx, 100, job.id))
    assert {row.action: row.actor for row in rows}["request.accepted"] == "system"
    text = (own.folder / "server.pem").read_bytes()
    assert b"ENCRYPTED PRIVATE KEY" in text
    assert text.count(b"BEGIN CERTIFICATE") == 1 + len(own.world.issuer.chain)


async def test_it_is_due_when_two_thirds_of_its_life_are_over(own: Own) -> None:
    keeper = own.at()
    await own.obtain(keeper)
    first = own.certificate()
    life = first.not_valid_after_utc - first.not_valid_before_utc
    own.world.pass_time(seconds=(life * 2 / 3 - timedelta(hours=2)).total_seconds())
    assert not keeper.due()
    own.world.pass_time(hours=2)
    assert keeper.due()
    assert keeper.usable()
    await own.obtain(keeper)
    second = own.certificate()
    assert second.public_key() != first.public_key(), "a new key each time"
    assert not keeper.due()
    own.world.pass_time(seconds=life.total_seconds())
    assert not keeper.usable()


async def test_another_name_is_another_certificate_and_a_wider_profile(own: Own) -> None:
    await own.obtain(own.at())
    renamed = own.at("https://pki.example")
    assert renamed.due()
    await own.obtain(renamed)
    assert not renamed.due()
    version, profile = await own.world.write(lambda tx: own.world.cache.current(tx, ProfileName(NAME)))
    assert version.version == 2
    assert {"ca.example", "pki.example"} <= set(profile.identifiers.dns.exact)
    history = await own.world.write(lambda tx: profiles.history(tx, ProfileName(NAME)))
    assert history[-1].created_by == "system"


async def test_what_the_operator_made_of_the_profile_stays(own: Own) -> None:
    await own.obtain(own.at())
    _, profile = await own.world.write(lambda tx: own.world.cache.current(tx, ProfileName(NAME)))
    mine = profile.validity.model_copy(update={"default": timedelta(days=7)})
    await own.world.put_profile(profile.model_copy(update={"validity": mine}))
    await own.obtain(own.at("https://pki.example"))
    certificate = own.certificate()
    assert (certificate.not_valid_after_utc - certificate.not_valid_before_utc).days == 7


async def test_a_gated_profile_makes_the_server_wait_like_anybody(own: Own) -> None:
    await own.obtain(own.at())
    before = own.certificate()
    _, profile = await own.world.write(lambda tx: own.world.cache.current(tx, ProfileName(NAME)))
    gated = Profile.model_validate(profile.model_dump(exclude_none=True) | {"requires_approval": True})
    await own.world.put_profile(gated)
    with pytest.raises(CertificateUnavailable, match="waits for approval"):
        await own.obtain(own.at())
    with pytest.raises(
        CertificateUnavailable, match="has to allow the server's names, which waits for approval"
    ):
        await own.obtain(own.at("https://pki.example"))
    assert own.certificate() == before, "and goes on with what it has"


async def test_without_a_worker_it_says_so(own: Own) -> None:
    with pytest.raises(CertificateUnavailable, match="start a node with workers"):
        await own.at().obtain(0.1)


async def test_a_refusal_is_said_in_words(own: Own) -> None:
    profile = own_profile(load_settings(own.folder, {})).model_copy(update={"issuer": "elsewhere"})
    await own.world.put_profile(profile)
    with pytest.raises(CertificateUnavailable, match=r"not issued: .*elsewhere"):
        await own.obtain(own.at())


async def test_the_keeper_renews_by_itself_and_survives_failure(
    own: Own, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_certificate, "_CHECK_EVERY", 0.05)
    monkeypatch.setattr(own_certificate, "_AFTER_FAILURE", 0.05)
    keeper = own.at()
    ended = asyncio.Event()
    running = asyncio.ensure_future(keeper.run(ended))
    await asyncio.sleep(0.3)
    assert not (own.folder / "server.pem").exists(), "no worker yet: it failed, and goes on"
    work = asyncio.ensure_future(own.world.worker.run(ended))
    async with asyncio.timeout(10):
        while not (own.folder / "server.pem").exists():
            await asyncio.sleep(0.05)
    assert not keeper.due()
    ended.set()
    await asyncio.gather(running, work)


def test_names(tmp_path: Path) -> None:
    settings = load_settings(
        tmp_path,
        {"CERTCTL_SERVER__HTTPS": "0.0.0.0:1", "CERTCTL_SERVER__EXTERNAL_URL": "https://[fd00::1]:8443"},
    )
    found = {(name.type, name.value) for name in own_names(settings)}
    assert (IdentifierType.IP, "fd00::1") in found
    assert (IdentifierType.IP, "0.0.0.0") not in found
    assert (IdentifierType.DNS, "localhost") in found
    profile = own_profile(settings)
    assert allowing(profile, own_names(settings)) is profile
    listening = load_settings(tmp_path, {"CERTCTL_SERVER__HTTPS": "10.0.0.5:1"})
    wider = allowing(profile, own_names(listening))
    assert "10.0.0.5/32" in {str(network) for network in wider.identifiers.ip.networks}
