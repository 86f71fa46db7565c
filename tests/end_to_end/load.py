"""ACME clients that never give up: whatever the server forgets or refuses while it dies, they ask again.

They write down what they were told. What the server says when it is back is held against that.
"""

import asyncio
import itertools
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from tests.common.acme_client import AcmeClient, Answer
from tests.common.responders import HTTP01Responder
from tests.servers.acme.signing import b64

T = TypeVar("T")
_PAUSE = 0.2
_LOST = (aiohttp.ClientError, ConnectionError, TimeoutError)


class Surprise(AssertionError):
    """The server said something that no crash excuses."""


@dataclass
class Ledger:
    """What clients were told."""

    valid: dict[str, str] = field(default_factory=dict)
    """Orders that were called valid: order URL -> certificate URL."""
    downloaded: dict[str, bytes] = field(default_factory=dict)
    """DER of the leaf, by order URL."""
    begun: int = 0
    interrupted: int = 0
    """Requests whose answer was lost."""

    def add(self, other: "Ledger") -> "Ledger":
        """Both together."""
        return Ledger(
            self.valid | other.valid,
            self.downloaded | other.downloaded,
            self.begun + other.begun,
            self.interrupted + other.interrupted,
        )


@dataclass
class Applicant:
    """One account that orders certificates under one profile, one after the other, until it is told to stop."""

    number: int
    profile: str
    http01: HTTP01Responder
    client: AcmeClient
    stopping: asyncio.Event
    up: asyncio.Event
    """Whether it is worth while to ask."""
    ledger: Ledger = field(default_factory=Ledger)
    name: str = ""
    """What it orders at the moment."""
    complaints: list[str] = field(default_factory=list)
    """What should not have happened to it: sentences."""

    async def run(self) -> None:
        """Order until `stopping` is set, and see the last order through; a surprise ends it."""
        with self._complaining():
            await self._run()

    async def collect_again(self) -> None:
        """Everything that this applicant was ever told of is still there."""
        with self._complaining():
            for order, certificate in self.ledger.valid.items():
                await self._collect(order, certificate)

    def complain(self, what: str) -> None:
        """Write down what should not have happened."""
        self.complaints.append(f"the applicant for {self.name or self.profile} {what}")

    @contextmanager
    def _complaining(self) -> Iterator[None]:
        try:
            yield
        except Surprise as surprise:
            self.complain(f"was told what no crash excuses: {surprise}")

    async def _run(self) -> None:
        await self._insist(self.client.start)
        answer = await self._ask(self.client.register, 200, 201)
        assert self.client.kid == answer.headers["Location"]
        for count in itertools.count():
            if self.stopping.is_set():
                return
            self.name = f"{count}.{self.number}.{self.profile}.test"
            await self._order(self.name)

    async def _order(self, name: str) -> None:
        self.ledger.begun += 1
        order = await self._ask(lambda: self.client.order(name), 201)
        url = order.headers["Location"]
        csr = _csr(name)
        while True:
            match order.json["status"]:
                case "pending":
                    await self._prove(order.json["authorizations"][0])
                case "ready":
                    # Its answer may have been lost: then it is processing by now, and this is refused.
                    await self._ask(partial(self.client.post, order.json["finalize"], csr), 200, 403)
                case "processing":
                    await asyncio.sleep(_PAUSE)
                case "valid":
                    await self._collect(url, order.json["certificate"])
                    return
                case _:
                    raise Surprise(f"order for {name}: {order.json}")
            order = await self._ask(lambda: self.client.post(url), 200)

    async def _prove(self, authorization: str) -> None:
        answer = await self._ask(lambda: self.client.post(authorization), 200)
        if answer.json["status"] != "pending":
            return
        challenge = next(one for one in answer.json["challenges"] if one["type"] == "http-01")
        if challenge["status"] == "pending":
            self.http01.tokens[challenge["token"]] = self.client.key_authorization(challenge)
            await self._ask(lambda: self.client.post(challenge["url"], {}), 200)
        else:
            await asyncio.sleep(_PAUSE)

    async def _collect(self, order: str, certificate: str) -> None:
        self.ledger.valid[order] = certificate
        answer = await self._ask(lambda: self.client.post(certificate), 200)
        leaf = x509.load_pem_x509_certificates(answer.body)[0].public_bytes(Encoding.DER)
        if self.ledger.downloaded.setdefault(order, leaf) != leaf:
            raise Surprise(f"another certificate for {order} than before")

    async def _ask(self, request: Callable[[], Awaitable[Answer]], *expected: int) -> Answer:
        """An answer with an expected status. Nonces that died with the process are refused once."""
        for _ in range(50):
            answer: Answer = await self._insist(request)
            if answer.status in expected:
                return answer
            if answer.status != 503 and not (answer.status == 400 and answer.problem == "badNonce"):
                raise Surprise(f"{answer.status}: {answer.body!r}")
            await asyncio.sleep(_PAUSE * (answer.status == 503))
        raise Surprise(f"again and again: {answer.status} {answer.body!r}")

    async def _insist(self, request: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await request()
            except _LOST:
                self.ledger.interrupted += 1
                self.client.nonce = None
                await asyncio.sleep(_PAUSE)
                with suppress(TimeoutError):  # now and then, while the server comes up
                    await asyncio.wait_for(self.up.wait(), 1)


def trusting(root: Path) -> aiohttp.ClientSession:
    """A session that believes the server of this CA and nobody else."""
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=root))
    return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=20))


def _csr(name: str) -> dict[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.DNSName(name)])
    made = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(names, critical=False)
    )
    return {"csr": b64(made.sign(key, hashes.SHA256()).public_bytes(Encoding.DER))}
