"""An ACME client for tests: it can do everything right, and anything wrong. Shares no code with servers.acme."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import aiohttp
from yarl import URL

from tests.servers.acme.signing import Key, b64, compact, new_key

JOSE = {"Content-Type": "application/jose+json"}


@dataclass(frozen=True)
class Answer:
    """A response, read to its end."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def problem(self) -> str:
        """The last part of the problem's type; fails if this is no problem document."""
        assert self.headers["Content-Type"] == "application/problem+json", (self.status, self.body)
        assert self.json["status"] == self.status
        return str(self.json["type"]).rpartition(":")[2]


def sign(key: Key, protected: dict[str, Any], payload: bytes) -> bytes:
    """A flattened JWS."""
    head, body = b64(compact(protected)), b64(payload)
    return compact(
        {"protected": head, "payload": body, "signature": b64(key.sign(f"{head}.{body}".encode()))}
    )


@dataclass
class AcmeClient:
    """One account key against one directory."""

    session: aiohttp.ClientSession
    directory_url: str
    key: Key = field(default_factory=lambda: new_key("ES256"))
    directory: dict[str, Any] = field(default_factory=dict)
    kid: str | None = None
    nonce: str | None = None

    @property
    def thumbprint(self) -> str:
        members = {name: self.key.jwk[name] for name in sorted(self.key.jwk)}
        return b64(sha256(compact(members)).digest())

    async def start(self) -> AcmeClient:
        """Fetch the directory."""
        async with self.session.get(self.directory_url) as response:
            assert response.status == 200, await response.text()
            self.directory = await response.json()
        return self

    async def fresh_nonce(self) -> str:
        async with self.session.head(self.directory["newNonce"]) as response:
            return response.headers["Replay-Nonce"]

    async def send(self, url: str, body: bytes, headers: dict[str, str] | None = None) -> Answer:
        """POST raw bytes."""
        target = URL(url, encoded=True)  # as it stands: it is what was signed
        async with self.session.post(target, data=body, headers=headers or JOSE) as response:
            self.nonce = response.headers.get("Replay-Nonce")
            return Answer(response.status, response.headers.copy(), await response.read())

    async def post(
        self,
        url: str,
        payload: Any = None,
        /,
        *,
        jwk: bool = False,
        key: Key | None = None,
        **protected: Any,
    ) -> Answer:
        """POST `payload` (None: POST-as-GET, bytes: as they are). Keywords replace protected header fields."""
        key = key or self.key
        nonce, self.nonce = self.nonce or await self.fresh_nonce(), None
        header: dict[str, Any] = {"alg": key.alg, "nonce": nonce, "url": url}
        if jwk or self.kid is None:
            header["jwk"] = key.jwk
        else:
            header["kid"] = self.kid
        header = {name: value for name, value in (header | protected).items() if value is not None}
        raw = b"" if payload is None else payload if isinstance(payload, bytes) else compact(payload)
        return await self.send(url, sign(key, header, raw))

    async def register(self, **fields: Any) -> Answer:
        """newAccount; the account is this client's from now on."""
        answer = await self.post(
            self.directory["newAccount"], {"termsOfServiceAgreed": True} | fields, jwk=True
        )
        if answer.status in (200, 201):
            self.kid = answer.headers["Location"]
        return answer

    async def order(self, *names: str, **fields: Any) -> Answer:
        """NewOrder for DNS names."""
        identifiers = [{"type": "dns", "value": name} for name in names]
        return await self.post(self.directory["newOrder"], {"identifiers": identifiers} | fields)

    async def challenge(self, authorization_url: str, method: str = "http-01") -> dict[str, Any]:
        """The challenge of that type in an authorization."""
        answer = await self.post(authorization_url)
        assert answer.status == 200, answer.body
        found: dict[str, Any] = next(c for c in answer.json["challenges"] if c["type"] == method)
        return found

    def key_authorization(self, challenge: dict[str, Any]) -> str:
        return f"{challenge['token']}.{self.thumbprint}"

    def dns_value(self, challenge: dict[str, Any]) -> str:
        """What the TXT record of a dns-01 challenge holds."""
        return b64(sha256(self.key_authorization(challenge).encode()).digest())

    async def finalize(self, order: dict[str, Any], csr: bytes) -> Answer:
        return await self.post(order["finalize"], {"csr": b64(csr)})
