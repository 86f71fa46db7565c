"""Certificates, issuers, accounts and the record at the command line."""

import base64
import json
import sqlite3
import subprocess
from pathlib import Path

import pytest

from servers.app import Node
from servers.cli.options import Exit
from servers.sealing import Sealer
from servers.secret_files import master_secret
from store import acme_accounts
from tests.common.ca_process import Directory
from tests.servers.cli.desk import ask, at, carry_out, issue


def test_a_certificate_is_listed_shown_and_written(directory: Directory, tmp_path: Path) -> None:
    serial = issue(directory, "www.example.com", "example.com")
    (row,) = directory.ok("certificate", "list", "--name", "WWW.example.com")
    assert row["names"] == ["example.com", "www.example.com"]
    assert row["status"] == "valid"
    shown = directory.ok("certificate", "show", serial.upper())
    assert (shown["serial"], shown["issuer"], shown["profile"]) == (serial, "issuing", "default/1")
    spaced = ":".join(serial[i : i + 2] for i in range(0, len(serial), 2))
    assert directory.ok("certificate", "show", spaced) == shown
    assert serial in directory.run("certificate", "show", serial).stdout

    chain = tmp_path / "chain.pem"
    directory.ok("certificate", "export", serial, "--chain", "-o", chain)
    done = subprocess.run(
        ["openssl", "verify", "-x509_strict", "-CAfile", directory.root, "-untrusted", chain, chain],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert chain.read_text().count("BEGIN CERTIFICATE") == 2
    assert (
        directory.run("certificate", "export", serial).stdout
        == chain.read_text()[: chain.read_text().index("-----END") + len("-----END CERTIFICATE-----\n")]
    )
    der = tmp_path / "leaf.der"
    directory.ok("certificate", "export", serial, "--der", "--out", der)
    assert (
        bytes.fromhex(directory.ok("certificate", "export", serial, "--der")["certificate"])
        == der.read_bytes()
    )
    assert directory.refused(Exit.USAGE, "certificate", "export", serial, "--der", "--chain")
    assert directory.refused(Exit.CONFIGURATION, "certificate", "export", serial, "--out", tmp_path)


def test_a_certificate_is_revoked_once(directory: Directory) -> None:
    serial = issue(directory, "www.example.com")
    assert directory.ok("certificate", "revoke", serial, "--reason", "superseded")["reason"] == "superseded"
    shown = directory.ok("certificate", "show", serial)
    assert (shown["status"], shown["revocation_reason"]) == ("revoked", 4)
    assert "revoked already" in directory.refused(Exit.REFUSED, "certificate", "revoke", serial)
    assert directory.refused(Exit.USAGE, "certificate", "revoke", serial, "--reason", "bored")
    assert directory.refused(Exit.NOT_FOUND, "certificate", "revoke", "abc123")
    assert directory.refused(Exit.USAGE, "certificate", "revoke", "no serial")


def test_a_compromised_key_is_blocked(directory: Directory) -> None:
    serial = issue(directory, "www.example.com")
    key = directory.ok("certificate", "show", serial)["key_sha256"]
    directory.ok("certificate", "revoke", serial, "--reason", "key-compromise")
    with sqlite3.connect(directory.path / "certctl.db") as connection:
        found = connection.execute("SELECT spki_sha256 FROM blocked_keys").fetchall()
    connection.close()
    assert found == [(key,)]


def test_issuers_are_listed(directory: Directory) -> None:
    (row,) = directory.ok("issuer", "list")
    assert (row["name"], row["key"], row["subject"]) == ("issuing", "p256", "CN=certctl Issuing CA")


# --- external account keys ---


def test_an_external_account_key_is_shown_once_ready_to_paste(directory: Directory) -> None:
    made = directory.ok(
        "account", "eab", "create", "--label", "web", "--names", "*.Example.com", "--expires", "7d"
    )
    key = base64.urlsafe_b64decode(made["hmac_key"] + "=")
    assert len(key) == 32
    assert "=" not in made["hmac_key"]

    async def stored(node: Node) -> bytes:
        row = await node.database.read(lambda tx: acme_accounts.external_key(tx, made["kid"]))
        assert row is not None
        assert row.name_patterns == '["*.example.com"]'
        assert key not in row.sealed_key
        return Sealer(master_secret(node.settings)).unseal(row.sealed_key, f"eab:{made['kid']}")

    assert at(directory, stored) == key
    (row,) = directory.ok("account", "eab", "list")
    assert (row["kid"], row["label"], row["status"], row["names"]) == (
        made["kid"],
        "web",
        "unused",
        ["*.example.com"],
    )
    assert made["hmac_key"] not in directory.run("account", "eab", "list").stdout
    assert made["hmac_key"] not in directory.run("audit", "list").stdout
    directory.ok("account", "eab", "revoke", made["kid"])
    assert directory.ok("account", "eab", "list")[0]["status"] == "revoked"
    assert directory.refused(Exit.NOT_FOUND, "account", "eab", "revoke", made["kid"])
    text = directory.run("account", "eab", "create", "--profile", "gated", "--reusable").stdout
    assert "--eab-kid" in text
    assert "/acme/gated/directory" in text


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--names", "not a name"), Exit.REFUSED),
        (("--profile", "nobody"), Exit.NOT_FOUND),
        (("--expires", "soon"), Exit.USAGE),
        (("--expires", "0s"), Exit.USAGE),
        (("--label", "x" * 101), Exit.USAGE),
    ],
)
def test_keys_that_make_no_sense(directory: Directory, arguments: tuple[str, ...], code: Exit) -> None:
    assert directory.refused(code, "account", "eab", "create", *arguments)


def test_accounts(directory: Directory) -> None:
    assert directory.ok("account", "list") == []
    assert "no accounts" in directory.run("account", "list").stdout
    assert directory.refused(Exit.NOT_FOUND, "account", "revoke", "nobody")


# --- the record ---


def test_the_record_tells_the_story_and_that_it_is_whole(directory: Directory) -> None:
    alice = directory.person("alice", "approver")
    submitted = ask(directory, "www.example.com")
    assert submitted.approval_id is not None
    directory.ok("approval", "approve", submitted.approval_id, "--note", "ok", token=alice)
    rows = directory.ok("audit", "list", "--subject", submitted.approval_id)
    assert {row["action"] for row in rows} == {"approval.given", "approval.complete"}
    assert [row["actor"] for row in rows if row["action"] == "approval.given"] == ["alice"]
    carry_out(directory)
    count = directory.ok("audit", "verify")["rows"]
    assert count > 10
    assert f"{count} rows" in directory.run("audit", "verify").stdout
    assert json.loads(directory.run("audit", "list", "--limit", "3", "--json").stdout)


def test_an_altered_row_is_found(directory: Directory) -> None:
    with sqlite3.connect(directory.path / "certctl.db") as connection:
        triggers = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit'"
        )
        for (name,) in triggers.fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("UPDATE audit SET actor = 'somebody else' WHERE action = 'principal.created'")
    connection.close()
    assert "is not what was written" in directory.refused(Exit.REFUSED, "audit", "verify")
