"""The server as a process: starts, serves, drains, starts again, and says in one line why it does not."""

import itertools
import json
import os
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import threading
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.common.ca_process import CERTCTL, Directory, Served, certctl, environment, free_port, wait_until
from tests.common.postgres import postgres_url


def start_and_end(directory: Directory, *arguments: str, **env: str) -> tuple[int, str]:
    """The exit code and the one line of a server that does not come up."""
    free = [(flag, f"127.0.0.1:{free_port()}") for flag in ("--https", "--http") if flag not in arguments]
    done = certctl("serve", "--data", directory.path, *itertools.chain(*free), *arguments, env=env)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.returncode, lines[0]


def test_an_empty_directory_becomes_a_ca_and_is_served(tmp_path: Path) -> None:
    directory = Directory(tmp_path / "data")
    with Served(directory) as server:
        assert server.greeting["directory"] == f"{server.url}/acme/directory"
        assert server.greeting["root_certificate"] == str(directory.root)
        assert server.greeting["made"] is True
        status, body, headers = server.get("/healthz")
        assert (status, json.loads(body)) == (200, {"status": "ok"})
        assert headers["Server"] == "certctl"
        assert server.get("/readyz")[0] == 200
        assert server.get("/healthz", plain=True)[0] == 200
        assert server.get("/acme/directory")[0] == 200
        assert b"certctl_request_seconds_count" in server.get("/metrics")[1]
        issuing = tmp_path / "issuing.pem"
        issuing.write_bytes(server.get("/ca/issuing.pem", plain=True)[1])
        first = server.peer_serial()
    assert "certctl_" not in server.log.read_text() + json.dumps(server.greeting)
    verify(directory, issuing)

    with Served(directory, https=server.https, http=server.http) as again:
        assert again.greeting["made"] is False
        assert again.peer_serial() == first, "a restart keeps the certificate"
    assert directory.ok("audit", "verify")["intact"] is True


def verify(directory: Directory, issuing: Path) -> None:
    """The server's certificate stands before OpenSSL in its strictest mood."""
    leaf = directory.path.parent / "leaf.pem"
    text = (directory.path / "server.pem").read_text()
    leaf.write_text(text[text.index("-----BEGIN CERTIFICATE") :])
    command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", "localhost"]
    done = subprocess.run(
        [*command, "-CAfile", str(directory.root), "-untrusted", str(issuing), str(leaf)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_aia_of_its_certificate_leads_to_the_issuer(directory: Directory) -> None:
    (directory.path / "server.pem").unlink()
    with Served(directory) as server:
        leaf = x509.load_pem_x509_certificates((directory.path / "server.pem").read_bytes())[0]
        access = leaf.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
        (url,) = [one.access_location.value for one in access if "ca/issuing" in one.access_location.value]
        assert url == f"http://localhost:{server.http}/ca/issuing.cer"
        status, der, headers = server.get("/ca/issuing.cer", plain=True)
        assert (status, headers["Content-Type"]) == (200, "application/pkix-cert")
        issuer = x509.load_der_x509_certificate(der)
        leaf.verify_directly_issued_by(issuer)
        root = x509.load_der_x509_certificate(server.get("/ca/root.cer", plain=True)[1])
        assert root.public_bytes(Encoding.PEM) == directory.root.read_bytes()
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert {"localhost", "127.0.0.1", "::1"} <= {str(name.value) for name in names}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_well(directory: Directory, number: signal.Signals) -> None:
    with Served(directory) as server:
        assert server.get("/healthz")[0] == 200
        assert server.stop(number) == 0
    assert [line["event"] for line in server.logged("server.stopped")] == ["server.stopped"]


def test_a_request_under_way_is_answered_before_it_ends(directory: Directory) -> None:
    with Served(directory) as server:
        with (
            socket.create_connection(("127.0.0.1", server.https), 30) as raw,
            server.context().wrap_socket(raw, server_hostname="localhost") as client,
        ):
            head = f"POST /acme/default/new-order HTTP/1.1\r\nHost: localhost:{server.https}\r\n"
            client.sendall(
                f"{head}Content-Type: application/jose+json\r\nContent-Length: 4\r\n\r\n{{}}".encode()
            )
            wait_until("the request is there", lambda: len(metric(server, "certctl_connections_https")) > 0)
            time.sleep(0.3)
            stopped: list[int] = []
            waiter = threading.Thread(target=lambda: stopped.append(server.stop()))
            waiter.start()
            wait_until("draining", lambda: server.logged("server.draining"))
            with pytest.raises(OSError, match="refused"):
                socket.create_connection(("127.0.0.1", server.https), 5)
            client.sendall(b"{}")
            answer = client.recv(65536)
            assert answer.startswith(b"HTTP/1.1 400"), answer
            assert b"application/problem+json" in answer
        waiter.join(30)
        assert stopped == [0]


def metric(server: Served, name: str) -> list[str]:
    return [line for line in server.get("/metrics")[1].decode().splitlines() if line.startswith(name + "{")]


def test_a_new_certificate_is_taken_without_dropping_anybody(directory: Directory) -> None:
    with Served(directory) as server:
        first = server.peer_serial()
        with (
            socket.create_connection(("127.0.0.1", server.https), 30) as raw,
            server.context().wrap_socket(raw, server_hostname="localhost") as client,
        ):
            request = f"GET /healthz HTTP/1.1\r\nHost: localhost:{server.https}\r\n\r\n".encode()
            client.sendall(request)
            assert client.recv(65536).startswith(b"HTTP/1.1 200")
            renew_by_another_process(directory, server)
            wait_until("the new certificate is shown", lambda: server.peer_serial() != first)
            client.sendall(request)
            assert client.recv(65536).startswith(b"HTTP/1.1 200"), "the old connection goes on"
        assert server.logged("tls.reloaded")
        (directory.path / "server.pem").write_text("damaged")
        wait_until("the damage is noticed", lambda: server.logged("tls.not_reloaded"))
        assert server.get("/healthz")[0] == 200, "what was good stays in use"


def renew_by_another_process(directory: Directory, server: Served) -> None:
    """Another node at the same directory finds no certificate and gets one."""
    (directory.path / "server.pem").rename(directory.path / "old.pem")
    other = Served(directory, env={"CERTCTL_SERVER__EXTERNAL_URL": server.url})
    with other:
        assert other.peer_serial()


def test_only_modern_tls_is_spoken(directory: Directory) -> None:
    with Served(directory) as server:
        for version, spoken in (("TLSv1_2", True), ("TLSv1_3", True)):
            context = server.context()
            context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
            context.set_alpn_protocols(["h2", "http/1.1"])
            with (
                socket.create_connection(("127.0.0.1", server.https), 30) as raw,
                context.wrap_socket(raw, server_hostname="localhost") as client,
            ):
                assert spoken
                assert client.selected_alpn_protocol() == "http/1.1"
                cipher = client.cipher()
                assert cipher is not None
                assert "GCM" in cipher[0] or "CHACHA" in cipher[0]
        old = subprocess.run(
            [
                "openssl",
                "s_client",
                "-connect",
                f"127.0.0.1:{server.https}",
                "-tls1_1",
                "-cipher",
                "ALL:@SECLEVEL=0",
            ],
            input=b"",
            capture_output=True,
            check=False,
            timeout=30,
        )
        assert b"BEGIN CERTIFICATE" not in old.stdout


def test_errors_are_problem_documents_on_every_path(directory: Directory) -> None:
    with Served(directory) as server:
        for plain in (False, True):
            for path, method, status in (
                ("/nowhere", "GET", 404),
                ("/healthz", "DELETE", 405),
                ("/ca/nobody.cer", "GET", 404),
                ("/ca/../passphrase", "GET", 404),
                ("/", "POST", 404),
            ):
                answered, body, headers = server.get(path, plain=plain, method=method)
                assert (answered, json.loads(body)["status"]) == (status, status), path
                assert headers["Content-Type"] == "application/problem+json"


# --- several processes ---


def children(server: Served) -> list[int]:
    found = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text()
    return [int(word) for word in found.split()]


def test_several_processes_share_the_work_and_a_crashed_one_comes_back(directory: Directory) -> None:
    with Served(directory, ("--processes", "2")) as server:
        first = children(server)
        assert len(first) == 2
        for _ in range(20):
            assert server.get("/healthz")[0] == 200
        os.kill(first[0], signal.SIGKILL)
        wait_until("a successor", lambda: len(children(server)) == 2 and children(server) != first)
        assert first[1] in children(server)
        wait_until("both count", lambda: len(metric(server, "certctl_connections_https")) == 2)
        assert server.stop() == 0
    assert [line["code"] for line in server.logged("process.ended")] == [-9]
    assert not [pid for pid in first if Path(f"/proc/{pid}").exists()]


def test_the_children_do_not_outlive_their_parent(directory: Directory) -> None:
    server = Served(directory, ("--processes", "2"))
    server.start()
    pids = children(server)
    assert server.stop(signal.SIGKILL) == -9
    wait_until("the children are gone", lambda: not [pid for pid in pids if Path(f"/proc/{pid}").exists()])


def test_processes_that_cannot_start_are_not_started_for_ever(directory: Directory) -> None:
    with Served(directory):
        pass
    (directory.path / "server.pem").chmod(0o644)
    code, line = start_and_end(directory, "--processes", "2")
    assert code == 6
    assert "chmod 600" in line


# --- PostgreSQL ---


@pytest.mark.postgres
def test_a_ca_on_postgresql_shared_by_two_nodes(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    env = {"CERTCTL_DATABASE__URL": postgres_url(request)}
    one = Directory(tmp_path / "one" / "data")
    with Served(one, env=env) as server:
        assert server.get("/readyz")[0] == 200
        assert one.ok("audit", "verify", env=env)["intact"]
        assert not (one.path / "certctl.db").exists()
        two = Directory(tmp_path / "two" / "data")
        assert "another" in two.refused(1, "init", env=env)
        two.path.mkdir(parents=True, exist_ok=True)
        for name in ("passphrase", "secret.key", "root.pem"):
            shutil.copy(one.path / name, two.path / name)
        with Served(two, ("--no-worker",), env=env) as front:
            assert front.get("/acme/directory")[0] == 200
            assert front.peer_serial() != server.peer_serial(), (
                "its certificate was issued by the other's worker"
            )


# --- a node without workers ---


def test_a_node_without_workers_opens_no_ca_key(directory: Directory) -> None:
    with Served(directory):
        pass
    (directory.path / "issuing.key").rename(directory.path / "elsewhere.key")
    with Served(directory, ("--no-worker",)) as server:
        assert server.get("/readyz")[0] == 200
    code, line = start_and_end(directory)
    assert code == 6
    assert "issuing.key" in line


# --- what stops a start ---


def test_an_address_in_use_is_named_with_the_remedy(directory: Directory) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, line = start_and_end(directory, "--https", f"127.0.0.1:{port}")
        assert (code, f"127.0.0.1:{port} is in use" in line, "--https" in line) == (6, True, True)
        code, line = start_and_end(directory, "--http", f"127.0.0.1:{port}", "--processes", "2")
        assert (code, "--http" in line) == (6, True)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("issuing.key", "others can reach the key"),
        ("passphrase", "chmod 600"),
        ("secret.key", "chmod 600"),
    ],
)
def test_a_secret_that_others_can_read_stops_the_start(directory: Directory, name: str, words: str) -> None:
    (directory.path / name).chmod(0o640)
    code, line = start_and_end(directory)
    assert (code, words in line, name in line) == (6, True, True), line


def test_so_does_the_wrong_passphrase(directory: Directory) -> None:
    code, line = start_and_end(directory, CERTCTL_KEYS__PASSPHRASE="open-sesame")
    assert code == 6
    assert "passphrase does not open" in line
    assert "open-sesame" not in line


def test_and_a_key_of_another_authority(directory: Directory, tmp_path: Path) -> None:
    other = Directory(tmp_path / "other")
    passphrase = (directory.path / "passphrase").read_text().strip()
    other.starts = True
    assert other.run("init", env={"CERTCTL_KEYS__PASSPHRASE": passphrase}).returncode == 0
    (other.path / "issuing.key").replace(directory.path / "issuing.key")
    code, line = start_and_end(directory)
    assert (code, "does not belong" in line) == (6, True), line


def test_and_a_lost_master_secret(directory: Directory) -> None:
    (directory.path / "secret.key").unlink()
    code, line = start_and_end(directory)
    assert (code, "restore it from a backup" in line) == (6, True)


def test_and_a_schema_of_a_later_version(directory: Directory) -> None:
    with sqlite3.connect(directory.path / "certctl.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    code, line = start_and_end(directory)
    assert (code, "9999" in line) == (5, True)


def test_and_a_misspelt_setting(directory: Directory) -> None:
    (directory.path / "certctl.toml").write_text("[server]\nprocceses = 2\n")
    code, line = start_and_end(directory)
    assert (code, "procceses" in line, '"processes"' in line) == (6, True, True)


def test_and_a_database_that_is_none(directory: Directory) -> None:
    code, line = start_and_end(directory, CERTCTL_DATABASE__URL="mysql://h/n")
    assert (code, "[database] url" in line) == (6, True)
    (directory.path / "certctl.db").write_bytes(b"this is no database" * 100)
    code, line = start_and_end(directory)
    assert code == 5, line


def test_a_person_is_shown_a_line_that_can_be_pasted(directory: Directory) -> None:
    https, http = free_port(), free_port()
    process = subprocess.Popen(
        [
            *(CERTCTL, "serve", "--data", str(directory.path)),
            *("--https", f"127.0.0.1:{https}", "--http", f"127.0.0.1:{http}"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment(CERTCTL_ACME__HTTP01_PORT="5002"),
    )
    assert process.stdout is not None
    with process.stdout:
        text = ""
        while "certbot certonly" not in text:
            line = process.stdout.readline()
            assert line
            text += line
        process.terminate()
        assert process.wait(30) == 0
    assert f"https://localhost:{https}/acme/directory" in text
    assert str(directory.root) in text
    assert "--http-01-port 5002" in text
    assert "sudo" not in text


def test_a_service_prints_no_token(tmp_path: Path) -> None:
    """Without a terminal somebody keeps what is printed; the pages' tests see the token at one."""
    https, http = free_port(), free_port()
    process = subprocess.Popen(
        [
            *(CERTCTL, "serve", "--data", str(tmp_path / "data")),
            *("--https", f"127.0.0.1:{https}", "--http", f"127.0.0.1:{http}"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(),
    )
    assert process.stdout is not None
    with process.stdout:
        text = ""
        while "certbot certonly" not in text:
            line = process.stdout.readline()
            assert line, text
            text += line
        process.terminate()
        text += process.stdout.read()
        assert process.wait(60) == 0
    token = (tmp_path / "data" / "admin.token").read_text().strip()
    assert token.startswith("certctl_")
    assert token not in text
    assert "admin.token" in text
