"""Whole orders, as a client sees them (RFC 8555 section 7.1.6 and 7.4)."""

from cryptography import x509

from store.records import Verdict
from tests.common.acme_client import AcmeClient, Answer
from tests.common.acme_server import AcmeServer
from tests.common.world import make_csr
from tests.servers.acme.steps import ordered, question


async def test_a_certificate_in_six_requests(server: AcmeServer, client: AcmeClient) -> None:
    await client.register()
    order = (await client.order("a.example.test")).json  # 1
    url = order["authorizations"][0]
    challenge = await client.challenge(url)  # 2
    server.http01.tokens[challenge["token"]] = client.key_authorization(challenge)
    await client.post(challenge["url"], {})  # 3
    assert (await client.post(url)).json["status"] == "valid"  # 4
    done = await client.finalize(order, make_csr("a.example.test"))  # 5
    assert done.status == 200
    assert done.json["status"] == "valid"
    chain = await client.post(done.json["certificate"])  # 6
    assert chain.headers["Content-Type"] == "application/pem-certificate-chain"
    leaf, issuing = x509.load_pem_x509_certificates(chain.body)
    leaf.verify_directly_issued_by(issuing)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["a.example.test"]
    assert chain.body.endswith(b"-----END CERTIFICATE-----\n")
    assert b"\n\n" not in chain.body
    assert b"\r" not in chain.body


async def test_a_gated_order_is_processing_until_somebody_approves(
    server: AcmeServer, gated: AcmeClient
) -> None:
    order = await ordered(server, gated, "a.example.test")
    waiting = await gated.finalize(order, make_csr("a.example.test"))
    assert waiting.json["status"] == "processing"
    assert int(waiting.headers["Retry-After"]) > 0
    assert "certificate" not in waiting.json
    assert (await gated.post(order["url"])).json["status"] == "processing"
    await server.world.decide(await question(server), "alice", Verdict.APPROVE)
    done = await gated.post(order["url"])
    assert done.json["status"] == "valid"
    assert (await gated.post(done.json["certificate"])).status == 200


async def test_a_rejected_order_is_invalid_and_says_who_and_why(
    server: AcmeServer, gated: AcmeClient
) -> None:
    order = await ordered(server, gated, "a.example.test")
    await gated.finalize(order, make_csr("a.example.test"))
    await server.world.decide(await question(server), "alice", Verdict.REJECT, "not one of our hosts")
    refused = (await gated.post(order["url"])).json
    assert refused["status"] == "invalid"
    assert refused["error"]["type"] == "urn:ietf:params:acme:error:unauthorized"
    assert "refused by alice: not one of our hosts" in refused["error"]["detail"]
    assert "certificate" not in refused
    again = await gated.finalize(order, make_csr("a.example.test"))
    assert again.problem == "orderNotReady"


async def test_a_client_that_comes_back_with_a_new_key_is_served_once(
    server: AcmeServer, gated: AcmeClient
) -> None:
    first = await ordered(server, gated, "a.example.test")
    await gated.finalize(first, make_csr("a.example.test"))
    await server.world.decide(await question(server), "alice", Verdict.APPROVE)
    second = await ordered(server, gated, "a.example.test")
    done = await gated.finalize(second, make_csr("a.example.test"))
    assert done.json["status"] == "valid", done.json
    assert (await gated.post(first["url"])).json["status"] == "invalid"
    third = await ordered(server, gated, "a.example.test")
    assert (await gated.finalize(third, make_csr("a.example.test"))).json["status"] == "processing"


async def test_the_wrong_key_authorization_makes_the_order_invalid(
    server: AcmeServer, client: AcmeClient
) -> None:
    await client.register()
    answer: Answer = await client.order("a.example.test", "b.example.test")
    challenge = await client.challenge(answer.json["authorizations"][0])
    server.http01.tokens[challenge["token"]] = "something else"
    assert (await client.post(challenge["url"], {})).json["status"] == "invalid"
    order = (await client.post(answer.headers["Location"])).json
    assert order["status"] == "invalid"
    assert order["error"]["subproblems"][0]["identifier"] == {"type": "dns", "value": "a.example.test"}
