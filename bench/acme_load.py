"""A load of ACME orders against any directory: how many a second, how long each, what the server's CPU paid.

    python -m bench.acme_load --directory URL --cafile ROOT.pem --orders 600 --server-pid PID

Every worker has an account and a connection of its own and makes one order after the other, in the
fewest requests that the server allows: newOrder, authorization, challenge, authorization, finalize,
certificate; what is not ready is polled. Keys and requests are made before the clock starts.
Shares no code with the server.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import ssl
import time
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

POLL = 0.01
TICKS = os.sysconf("SC_CLK_TCK")
ES256 = ec.ECDSA(hashes.SHA256())


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


@dataclass
class Worker:
    """One account on one connection."""

    session: aiohttp.ClientSession
    directory: dict[str, str]
    challenge_type: str
    tokens: dict[str, str]
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    kid: str = ""
    nonce: str = ""
    requests: int = 0

    def __post_init__(self) -> None:
        numbers = self.key.public_key().public_numbers()
        self.jwk = {
            "crv": "P-256",
            "kty": "EC",
            "x": b64(numbers.x.to_bytes(32, "big")),
            "y": b64(numbers.y.to_bytes(32, "big")),
        }
        self.thumbprint = b64(sha256(compact(self.jwk)).digest())

    async def post(self, url: str, payload: object = None) -> tuple[dict[str, Any], str, bytes]:
        """JSON (if it is), Location and body of an answer; badNonce is tried again, any other problem ends it all."""
        while True:
            if not self.nonce:
                async with self.session.head(self.directory["newNonce"]) as response:
                    self.nonce = response.headers["Replay-Nonce"]
            who = {"kid": self.kid} if self.kid else {"jwk": self.jwk}
            head = b64(compact({"alg": "ES256", "nonce": self.nonce, "url": url, **who}))
            body = b64(b"" if payload is None else compact(payload))
            r, s = decode_dss_signature(self.key.sign(f"{head}.{body}".encode(), ES256))
            signature = b64(r.to_bytes(32, "big") + s.to_bytes(32, "big"))
            signed = compact({"protected": head, "payload": body, "signature": signature})
            self.requests += 1
            async with self.session.post(
                url, data=signed, headers={"Content-Type": "application/jose+json"}
            ) as response:
                raw = await response.read()
                self.nonce = response.headers.get("Replay-Nonce", "")
                found = json.loads(raw) if "json" in response.content_type else {}
                if response.status < 400:
                    return found, response.headers.get("Location", ""), raw
                if not found.get("type", "").endswith(":badNonce"):
                    raise RuntimeError(f"{url}: {response.status} {raw[:300]!r}")

    async def register(self) -> None:
        _, self.kid, _ = await self.post(self.directory["newAccount"], {"termsOfServiceAgreed": True})

    async def settle(self, url: str, status: str) -> dict[str, Any]:
        """The object at `url` once it has `status`."""
        while True:
            found, _, _ = await self.post(url)
            if found["status"] == status:
                return found
            if found["status"] == "invalid":
                raise RuntimeError(f"{url}: {found}")
            await asyncio.sleep(POLL)

    async def order(self, name: str, csr: str) -> float:
        """One certificate; the seconds that it took."""
        start = time.perf_counter()
        order, location, _ = await self.post(
            self.directory["newOrder"], {"identifiers": [{"type": "dns", "value": name}]}
        )
        for url in order["authorizations"]:
            authorization, _, _ = await self.post(url)
            if authorization["status"] == "valid":
                continue
            challenge = next(c for c in authorization["challenges"] if c["type"] == self.challenge_type)
            self.tokens[challenge["token"]] = f"{challenge['token']}.{self.thumbprint}"
            await self.post(challenge["url"], {})
            await self.settle(url, "valid")
        order, _, _ = await self.post(order["finalize"], {"csr": csr})
        if order["status"] != "valid":
            order = await self.settle(location, "valid")
        _, _, chain = await self.post(order["certificate"])
        taken = time.perf_counter() - start
        assert chain.startswith(b"-----BEGIN CERTIFICATE-----")
        return taken


def make_request(name: str) -> str:
    """The base64url CSR for one name and a new P-256 key."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    csr = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return b64(csr.public_bytes(serialization.Encoding.DER))


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and all its descendants, as of now."""
    parents, used = {}, {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        parents[int(entry.name)] = int(fields[1])
        used[int(entry.name)] = sum(map(int, fields[11:15])) / TICKS
    family = {pid}
    for _ in range(8):
        family |= {child for child, parent in parents.items() if parent in family}
    return sum(used.get(member, 0.0) for member in family)


async def answer_http01(port: int, tokens: dict[str, str]) -> web.ServerRunner:
    """Serve key authorizations by token, for servers that look."""

    async def handle(request: web.BaseRequest) -> web.Response:
        return web.Response(text=tokens.get(request.path.rsplit("/", 1)[-1], ""))

    runner = web.ServerRunner(web.Server(handle, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return runner


async def run(options: argparse.Namespace) -> dict[str, float]:
    """The measured figures."""
    context = ssl.create_default_context(cafile=options.cafile)
    tokens: dict[str, str] = {}
    responder = await answer_http01(options.http01_port, tokens) if options.http01_port else None
    stamp = f"{os.getpid():x}-{time.time_ns():x}"
    names = [f"n{i}-{stamp}.{options.domain}" for i in range(options.orders + options.warmup)]
    requests = iter([(name, make_request(name)) for name in names])
    connector = aiohttp.TCPConnector(limit=options.concurrency, ssl=context)
    async with aiohttp.ClientSession(connector=connector) as session:
        async with session.get(options.directory) as response:
            directory = await response.json()
        workers = [Worker(session, directory, options.challenge, tokens) for _ in range(options.concurrency)]
        for worker in workers:
            await worker.register()

        async def phase(total: int) -> list[float]:
            left, times = iter(range(total)), []

            async def work(worker: Worker) -> None:
                times.extend([await worker.order(*next(requests)) for _ in left])

            await asyncio.gather(*[work(worker) for worker in workers])
            return times

        await phase(options.warmup)
        for worker in workers:
            worker.requests = 0
        before, start, own = cpu_seconds(options.server_pid), time.perf_counter(), time.process_time()
        times = sorted(await phase(options.orders))
        after, end = cpu_seconds(options.server_pid), time.perf_counter()
        own = time.process_time() - own
    if responder is not None:
        await responder.cleanup()
    return {
        "orders": options.orders,
        "orders_per_s": round(options.orders / (end - start), 1),
        "p50_ms": round(times[len(times) // 2] * 1e3, 1),
        "p99_ms": round(times[int(len(times) * 0.99)] * 1e3, 1),
        "requests_per_order": round(sum(worker.requests for worker in workers) / options.orders, 2),
        "client_cpu_ms": round(own / options.orders * 1e3, 2),
        "server_cpu_ms": round((after - before) / options.orders * 1e3, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--directory", required=True)
    parser.add_argument("--cafile", required=True)
    parser.add_argument("--server-pid", type=int, required=True)
    parser.add_argument("--orders", type=int, default=600)
    parser.add_argument("--warmup", type=int, default=50)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--challenge", default="http-01")
    parser.add_argument("--domain", default="load.test")
    parser.add_argument("--http01-port", type=int, default=0, help="answer http-01 here; 0: do not")
    print(json.dumps(uvloop.run(run(parser.parse_args()))))


if __name__ == "__main__":
    main()
