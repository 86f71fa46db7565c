"""Health and publication: what monitors and relying parties fetch."""

from hashlib import sha256

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from cryptography.hazmat.primitives.serialization import Encoding

from servers.web.health import add_health
from servers.web.metrics import Metrics
from servers.web.publication import add_certificates
from tests.common.world import make_issuer


async def test_ready_says_what_is_not() -> None:
    trouble: dict[str, str | None] = {"storage": None, "certificate": None}

    async def storage() -> str | None:
        return trouble["storage"]

    async def certificate() -> str | None:
        return trouble["certificate"]

    app = web.Application()
    add_health(app, {"storage": storage, "certificate": certificate}, Metrics())
    async with TestClient(TestServer(app)) as client:
        assert (await client.get("/readyz")).status == 200
        trouble["storage"] = "the database does not answer"
        answer = await client.get("/readyz")
        assert answer.status == 503
        assert await answer.json() == {
            "status": "not ready",
            "checks": {"storage": "the database does not answer", "certificate": "ok"},
        }
        assert answer.headers["Cache-Control"] == "no-store"
        assert (await client.get("/healthz")).status == 200, "alive all the same"
        scraped = await client.get("/metrics")
        assert scraped.headers["Content-Type"].startswith("text/plain; version=0.0.4")


async def test_certificates_are_published_and_cached() -> None:
    issuer, _ = make_issuer()
    app = web.Application()
    add_certificates(app, {"issuing": issuer.certificate})
    async with TestClient(TestServer(app)) as client:
        answer = await client.get("/ca/issuing.cer")
        der = await answer.read()
        assert der == issuer.certificate.public_bytes(Encoding.DER)
        assert answer.headers["Content-Type"] == "application/pkix-cert"
        assert answer.headers["ETag"] == f'"{sha256(der).hexdigest()[:32]}"'
        again = await client.get("/ca/issuing.cer", headers={"If-None-Match": answer.headers["ETag"]})
        assert (again.status, await again.read()) == (304, b"")
        text = await client.get("/ca/issuing.pem")
        assert text.headers["Content-Type"] == "application/pem-certificate-chain"
        assert (await text.read()) == issuer.certificate.public_bytes(Encoding.PEM)
        for path in ("/ca/nobody.cer", "/ca/issuing.key", "/ca/issuing", "/ca/..%2fpassphrase"):
            assert (await client.get(path)).status == 404
        head = await client.head("/ca/issuing.cer")
        assert head.headers["Content-Length"] == str(len(der))
