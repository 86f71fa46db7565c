"""What clients do again and again: prove names, get orders ready, get certificates, bind accounts."""

import json
import sqlite3
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy.engine import make_url

from policy.profile_gates import ACMERules
from policy.profiles import DEFAULT, Profile
from store import approvals
from store.ids import ApprovalId
from store.records import ApprovalStatus
from store.schema import metadata
from tests.common.acme_client import AcmeClient, Answer
from tests.common.acme_server import AcmeServer
from tests.common.world import make_csr
from tests.servers.acme.signing import binding, new_key

SECRET = b"k" * 32


async def prove(server: AcmeServer, client: AcmeClient, order: dict[str, Any]) -> None:
    """Answer every authorization of `order` by http-01."""
    for url in order["authorizations"]:
        challenge = await client.challenge(url)
        server.http01.tokens[challenge["token"]] = client.key_authorization(challenge)
        answer = await client.post(challenge["url"], {})
        assert answer.status == 200, answer.body
        authorization = (await client.post(url)).json
        assert authorization["status"] == "valid", authorization


async def ordered(server: AcmeServer, client: AcmeClient, *names: str, **fields: Any) -> dict[str, Any]:
    """An order that is ready, with its URL under `url`."""
    answer = await client.order(*names, **fields)
    assert answer.status == 201, answer.body
    await prove(server, client, answer.json)
    ready = (await client.post(answer.headers["Location"])).json
    assert ready["status"] == "ready", ready
    return {**ready, "url": answer.headers["Location"]}


async def issued(
    server: AcmeServer, client: AcmeClient, *names: str, key: Any = None
) -> tuple[dict[str, Any], x509.Certificate]:
    """A valid order with its URL under `url`, and its certificate."""
    order = await ordered(server, client, *names)
    done = await client.finalize(order, make_csr(*names, key=key))
    assert done.json["status"] == "valid", done.json
    chain = await client.post(done.json["certificate"])
    return {**done.json, "url": order["url"]}, x509.load_pem_x509_certificates(chain.body)[0]


def csr(names: list[x509.GeneralName] | None = None, common_name: str | None = None) -> bytes:
    """A request with these alternative names, None for no such extension."""
    subject = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else []
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    if names is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    key = ec.generate_private_key(ec.SECP256R1())
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


async def question(server: AcmeServer) -> ApprovalId:
    """The one open approval."""
    found = await server.world.database.read(lambda tx: approvals.in_status(tx, ApprovalStatus.PENDING))
    assert len(found) == 1
    return found[0].id


async def another(server: AcmeServer, client: AcmeClient, profile: str | None = None) -> AcmeClient:
    """A client with a new key and no account, at the same directory or at that of a profile."""
    url = client.directory_url if profile is None else server.directory_of(profile)
    return await AcmeClient(client.session, url, new_key("ES256")).start()


async def bind(
    client: AcmeClient, kid: str, *, secret: bytes = SECRET, digest: str = "sha256", **changes: Any
) -> Answer:
    """NewAccount with an external account binding; `changes` replace parameters of its protected header."""
    url = client.directory["newAccount"]
    value = binding(
        secret, changes.pop("bound", client.key.jwk), digest, **({"kid": kid, "url": url} | changes)
    )
    return await client.register(externalAccountBinding=value)


def profile(
    name: str, *, base: Profile = DEFAULT, acme: dict[str, Any] | None = None, **fields: Any
) -> Profile:
    """A profile like `base` under another name, with members of it and of its ACME section replaced."""
    values = json.loads(base.model_dump_json(exclude_none=True)) | {"name": name} | fields
    values["acme"] = values["acme"] | (acme or {})
    return Profile.model_validate_json(json.dumps(values))


def rules(**fields: Any) -> dict[str, Any]:
    """ACME rules as they are written in a profile, checked."""
    ACMERules.model_validate_json(json.dumps(fields))
    return fields


class RowCounter:
    """Counts the rows of every table, again only when somebody has written."""

    def __init__(self, url: str) -> None:
        path = make_url(url).database
        assert path is not None
        self._connection = sqlite3.connect(path)
        self._version = -1
        self._rows: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def rows(self) -> dict[str, int]:
        version = self._connection.execute("PRAGMA data_version").fetchone()[0]
        if version != self._version:
            self._version = version
            self._rows = {
                table: self._connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
                for table in metadata.tables
            }
        return self._rows


def rows(url: str) -> dict[str, int]:
    """How many rows every table holds."""
    with RowCounter(url) as counter:
        return counter.rows()
