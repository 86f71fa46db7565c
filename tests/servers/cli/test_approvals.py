"""Approvals and jobs at the command line: what is shown, what is decided, what follows."""

from pathlib import Path

from servers.cli.options import Exit
from tests.common.ca_process import Directory
from tests.servers.cli.desk import ask, carry_out, issue


def test_what_waits_is_listed_shown_and_let_go(started: Directory) -> None:
    """The whole story with real processes; the other tests run commands in their own."""
    directory = started
    alice = directory.person("alice", "approver")
    submitted = ask(directory, "www.example.com", "example.com", line="admin")
    approval = submitted.approval_id
    assert approval is not None
    (row,) = directory.ok("approval", "list")
    assert row["id"] == approval
    assert row["what"] == "example.com, www.example.com"
    assert (row["profile"], row["given"], row["role"]) == ("gated/1", "0 of 1", "approver")
    assert "www.example.com" in directory.run("approval", "list").stdout
    shown = directory.ok("approval", "show", approval)
    assert shown["job"] == {"id": submitted.job_id, "status": "awaiting_approval", "error": None}
    assert "admin" in shown["line"]
    assert shown["source"] == "192.0.2.1"
    assert "admin" in directory.run("approval", "show", approval).stdout
    assert carry_out(directory) == 0, "nothing is signed before the word is given"

    decided = directory.ok("approval", "approve", approval, "--note", "known host", token=alice)
    assert (decided["status"], decided["given"]) == ("approved", 1)
    assert directory.ok("approval", "list") == []
    (row,) = directory.ok("approval", "list", "--all")
    assert (row["status"], row["given"]) == ("approved", "1 of 1")
    (decision,) = directory.ok("approval", "show", approval)["decisions"]
    assert (decision["by"], decision["verdict"], decision["note"]) == ("alice", "approve", "known host")
    assert "word given stands" in directory.refused(Exit.REFUSED, "approval", "reject", approval, token=alice)


def test_a_no_ends_it_and_says_why(directory: Directory) -> None:
    alice = directory.person("alice", "approver")
    submitted = ask(directory, "www.example.com")
    assert submitted.approval_id is not None
    text = directory.run(
        "approval", "reject", submitted.approval_id, "--note", "not ours", token=alice
    ).stdout
    assert "there will be no certificate" in text
    job = directory.ok("job", "show", submitted.job_id)
    assert job["status"] == "cancelled"
    assert job["error"] == "refused by alice: not ours"
    assert carry_out(directory) == 0
    assert directory.ok("certificate", "list", "--name", "www.example.com") == []


def test_who_stands_in_the_line_does_not_decide(directory: Directory) -> None:
    alice = directory.person("alice", "approver")
    submitted = ask(directory, "www.example.com", line="alice")
    assert submitted.approval_id is not None
    words = directory.refused(Exit.REFUSED, "approval", "approve", submitted.approval_id, token=alice)
    assert "somebody else has to decide" in words


def test_what_is_not_there_or_too_long(directory: Directory) -> None:
    alice = directory.person("alice", "approver")
    assert directory.refused(Exit.NOT_FOUND, "approval", "show", "nothing")
    assert directory.refused(Exit.NOT_FOUND, "approval", "approve", "nothing", token=alice)
    assert directory.refused(Exit.USAGE, "approval", "approve", "x", "--note", "n" * 1001, token=alice)
    assert directory.refused(Exit.USAGE, "approval", "list", "--limit", "0")


def test_a_job_is_cancelled_before_it_begins_and_not_after(directory: Directory) -> None:
    submitted = ask(directory, "www.example.com")
    assert submitted.approval_id is not None
    assert directory.ok("job", "cancel", submitted.job_id, "--note", "wrong host")["status"] == "cancelled"
    assert directory.ok("job", "show", submitted.job_id)["error"] == "cancelled by admin: wrong host"
    assert directory.ok("approval", "show", submitted.approval_id)["status"] == "expired"
    assert "only what nobody has begun" in directory.refused(Exit.REFUSED, "job", "cancel", submitted.job_id)
    assert directory.refused(Exit.NOT_FOUND, "job", "cancel", "nothing")
    issue(directory, "other.example.com")
    done = [one for one in directory.ok("job", "list") if one["status"] == "completed"]
    assert directory.refused(Exit.REFUSED, "job", "cancel", done[0]["id"])


def test_loosening_a_gated_profile_waits_for_somebody_else(directory: Directory, tmp_path: Path) -> None:
    alice = directory.person("alice", "approver")
    file = tmp_path / "profiles.toml"
    file.write_text(directory.run("profile", "show", "gated").stdout.replace('max = "90d"', 'max = "180d"'))
    (outcome,) = directory.ok("apply", "-f", file)
    assert outcome["outcome"] == "waits for approval"
    assert any("validity.max" in words for words in outcome["loosened"])
    approval = outcome["approval"]
    shown = directory.run("approval", "show", approval).stdout
    assert '-max = "90d"' in shown
    assert '+max = "180d"' in shown
    assert directory.ok("profile", "history", "gated")[-1]["version"] == 1
    directory.ok("principal", "grant", "admin", "approver")
    assert "stands in the line" in directory.refused(Exit.REFUSED, "approval", "approve", approval)
    text = directory.run("approval", "approve", approval, token=alice).stdout
    assert "change of profile gated is completed" in text
    assert directory.ok("profile", "show", "gated")["version"] == 2
    assert directory.ok("audit", "verify")["intact"]
