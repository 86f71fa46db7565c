"""A tour of certctl with real processes and real output: issue, gate, approve, collect, reject, revoke.

Everything happens in a directory that is gone afterwards. Run it with `make demo`.
"""

import asyncio
import json
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import aiohttp
from cryptography import x509

from tests.common.acme_client import AcmeClient, Answer
from tests.common.ca_process import CERTCTL, environment, free_port
from tests.common.responders import HTTP01Responder
from tests.common.world import make_csr

NAME = "localhost"


def title(words: str) -> None:
    print(f"\n--- {words}\n", flush=True)


def tell(words: str) -> None:
    print(f"# {words}", flush=True)


class Tour:
    """One CA, one approver, and clients that come along."""

    def __init__(self, folder: Path, http01: HTTP01Responder) -> None:
        self.folder = folder
        self.http01 = http01
        self.https, self.http = free_port(), free_port()
        self.env = environment(CERTCTL_DATA="data", CERTCTL_ACME__HTTP01_PORT=str(http01.port), COLUMNS="110")

    def run(self, *words: str, expect: int = 0) -> str:
        """Show a command and what it says."""
        print("$ " + " ".join(["certctl", *(f'"{w}"' if " " in w else w for w in words)]), flush=True)
        done = subprocess.run(
            [CERTCTL, *words], cwd=self.folder, env=self.env, capture_output=True, text=True, check=False
        )
        print((done.stdout + done.stderr).rstrip(), flush=True)
        if done.returncode:
            print(f"(exit code {done.returncode})", flush=True)
        assert done.returncode == expect, done.stderr
        return done.stdout

    def ask(self, *words: str) -> Any:
        """What a command says with --json, unseen."""
        done = subprocess.run(
            [CERTCTL, *words, "--json"], cwd=self.folder, env=self.env, capture_output=True, check=True
        )
        return json.loads(done.stdout)

    def serve(self) -> subprocess.Popen[str]:
        """Start the server and show what it says first."""
        words = ["serve", "--https", f"127.0.0.1:{self.https}", "--http", f"127.0.0.1:{self.http}"]
        print("$ certctl " + " ".join(words) + " &", flush=True)
        with (self.folder / "log").open("w") as log:
            process = subprocess.Popen(
                [CERTCTL, *words],
                cwd=self.folder,
                env=self.env,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert process.stdout is not None
        for line in process.stdout:
            print(line.rstrip(), flush=True)
            if line.lstrip().startswith("REQUESTS_CA_BUNDLE"):
                return process
        raise SystemExit((self.folder / "log").read_text())

    async def client(self, session: aiohttp.ClientSession, profile: str) -> AcmeClient:
        """A client with a new account."""
        made = AcmeClient(session, f"https://localhost:{self.https}/acme/{profile}/directory")
        await made.start()
        await made.register()
        return made

    async def order(self, client: AcmeClient) -> Answer:
        """Order, prove, finalize; the order as it stands then."""
        ordered = await client.order(NAME)
        url = ordered.headers["Location"]
        for authorization in ordered.json["authorizations"]:
            challenge = await client.challenge(authorization)
            self.http01.tokens[challenge["token"]] = client.key_authorization(challenge)
            await client.post(challenge["url"], {})
        await settled(client, url, "pending")
        await client.finalize(ordered.json, make_csr(NAME))
        return await client.post(url)


async def settled(client: AcmeClient, url: str, *waiting: str) -> Answer:
    """The order, once it is in none of the states that are waited for."""
    async with asyncio.timeout(30):
        while (answer := await client.post(url)).json["status"] in waiting:
            await asyncio.sleep(0.2)
    return answer


async def walk(tour: Tour, session: aiohttp.ClientSession) -> None:
    title("a profile that asks nobody: the certificate comes with the order")
    plain = await tour.client(session, "default")
    done = await tour.order(plain)
    tell(f"the order for {NAME} is {done.json['status']}")
    chain = (await plain.post(done.json["certificate"])).body
    (tour.folder / "chain.pem").write_bytes(chain)
    verify = [
        "openssl",
        "verify",
        "-x509_strict",
        "-CAfile",
        "data/root.pem",
        "-untrusted",
        "chain.pem",
        "chain.pem",
    ]
    print("$ " + " ".join(verify), flush=True)
    subprocess.run(verify, cwd=tour.folder, check=True)

    title("a profile that asks: no certificate before somebody says yes")
    gated = await tour.client(session, "gated")
    waiting = await tour.order(gated)
    tell(f"the order is {waiting.json['status']}, Retry-After: {waiting.headers['Retry-After']}")
    tour.run("approval", "list")
    approval = tour.ask("approval", "list")[0]["id"]
    tour.run("approval", "approve", approval, expect=4)
    tour.run("principal", "create", "alice", "--role", "approver", "--out", "alice.token")
    tour.run("approval", "approve", approval, "--note", "known host", "--token-file", "alice.token")
    collected = await settled(gated, waiting.headers["Location"], "processing")
    tell(f"the same client asks again: its order is {collected.json['status']}")

    title("a no is a no, and says why")
    refused = await tour.client(session, "gated")
    waiting = await tour.order(refused)
    approval = tour.ask("approval", "list")[0]["id"]
    tour.run("approval", "reject", approval, "--note", "not on my watch", "--token-file", "alice.token")
    ended = await settled(refused, waiting.headers["Location"], "processing")
    tell(f"the order is {ended.json['status']}: {ended.json['error']['detail']}")

    title("what was issued can be revoked, and all of it is on the record")
    serial = f"{x509.load_pem_x509_certificates(chain)[0].serial_number:x}"
    tour.run("certificate", "revoke", serial, "--reason", "superseded")
    tour.run("certificate", "list")
    tour.run("audit", "verify")


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="certctl-demo-") as folder:
        async with HTTP01Responder() as http01:
            tour = Tour(Path(folder), http01)
            title("a directory becomes a certificate authority")
            server = tour.serve()
            try:
                context = ssl.create_default_context(cafile=str(tour.folder / "data" / "root.pem"))
                connector = aiohttp.TCPConnector(ssl=context)
                async with aiohttp.ClientSession(connector=connector) as session:
                    await walk(tour, session)
            finally:
                server.terminate()
                code = server.wait(60)
                assert server.stdout is not None
                server.stdout.close()
            title(f"SIGTERM: the server has ended with {code}")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
