"""What clients trip over with accounts: contacts, bindings, keys, lookups after a lost nonce."""

import base64
import re
from typing import Any

import pytest

from servers import app
from tests.common.acme_client import AcmeClient
from tests.common.acme_server import AcmeServer
from tests.servers.acme.signing import new_key
from tests.servers.acme.steps import SECRET, another, bind, issued
from tests.servers.acme.test_key_change import change


@pytest.mark.parametrize("fields", [{}, {"contact": []}, {"contact": None}])
async def test_no_contact_is_demanded(client: AcmeClient, fields: dict[str, Any]) -> None:
    """Routers and cluster controllers have none to give."""
    assert (await client.register(**fields)).status == 201
    assert (await client.order("a.example.test")).status == 201


async def test_a_new_account_comes_with_its_object(client: AcmeClient) -> None:
    """201 with an empty body makes typed clients throw."""
    made = await client.register()
    assert made.status == 201
    assert {"status", "contact", "orders"} <= set(made.json)
    assert type(made.json["orders"]) is str
    assert type((await client.post(made.json["orders"])).json["orders"]) is list


async def test_after_a_bad_nonce_the_wrong_kind_of_key_is_malformed(client: AcmeClient) -> None:
    """Clients that fall back from kid to jwk: refused, never accepted, never a failure of ours."""
    await client.register()
    fields = {"identifiers": [{"type": "dns", "value": "a.example.test"}]}
    refused = await client.post(client.directory["newOrder"], fields, nonce="AAAA")
    assert (refused.status, refused.problem) == (400, "badNonce")
    wrong = await client.post(client.directory["newOrder"], fields, jwk=True)
    assert (wrong.status, wrong.problem) == (400, "malformed")
    assert (await client.post(client.directory["newOrder"], fields)).status == 201


async def test_the_secret_of_a_binding_is_taken_as_base64url_without_padding(
    server: AcmeServer, client: AcmeClient
) -> None:
    """What is handed out, decoded as clients decode it, is the key."""
    secret = bytes(range(248, 256)) * 4  # has - and _ in its text
    text = base64.urlsafe_b64encode(secret).rstrip(b"=").decode()
    assert re.fullmatch("[A-Za-z0-9_-]+", text)
    decoded = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    kid = await server.external_key(secret=secret)
    assert (await bind(client, kid, secret=decoded)).status == 201


async def test_a_binding_is_echoed_if_it_was_verified_and_only_then(
    server: AcmeServer, client: AcmeClient
) -> None:
    made = await bind(client, await server.external_key())
    assert "externalAccountBinding" in made.json
    again = await bind(client, "nosuch", secret=b"x" * 32)
    assert again.status == 200
    assert "externalAccountBinding" not in again.json
    plain = await another(server, client)
    refused = await bind(plain, "nosuch", secret=SECRET)
    assert "externalAccountBinding" not in refused.json


async def test_a_key_is_changed_as_advertised(server: AcmeServer, client: AcmeClient) -> None:
    """What the directory lists must work: to another kind of key, and then everything with the new one."""
    await client.register()
    new = new_key("RS256")
    assert (await change(client, new)).status == 200
    client.key = new
    order, _ = await issued(server, client, "a.example.test")
    assert order["status"] == "valid"


async def test_the_addresses_of_objects_cannot_be_guessed(client: AcmeClient) -> None:
    """RFC 8555 section 10.5: each has an unpredictable part, and none tells of another."""
    await client.register()
    made = [await client.order("a.example.test") for _ in range(2)]
    ids = [str(client.kid).rpartition("/")[2]]
    for answer in made:
        ids += [answer.headers["Location"].rpartition("/")[2]]
        ids += [url.rpartition("/")[2] for url in answer.json["authorizations"]]
    chance = [one[11:] for one in ids]  # what is before is the time
    assert len(set(chance)) == len(ids)
    assert all(len(one) == 13 for one in chance)


def test_acme_is_served_over_tls_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 8555 section 6.1: what is in the clear is for relying parties."""
    monkeypatch.setattr(app, "_published", lambda _: {})
    plain = app._http([])
    assert not [resource for resource in plain.router.resources() if "acme" in resource.canonical]
