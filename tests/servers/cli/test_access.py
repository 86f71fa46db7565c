"""Who may do what at the command line: tokens, roles, and that nothing shows a token twice."""

import stat
import time
from pathlib import Path

import pytest

from servers.cli.options import Exit
from tests.common.ca_process import Directory, certctl
from tests.servers.cli.desk import ask

DEEDS: dict[str, tuple[str, ...]] = {
    "look": ("profile", "list"),
    "decide": ("approval", "approve", "nobody"),
    "change profiles": ("profile", "delete", "nobody"),
    "revoke": ("certificate", "revoke", "1"),
    "cancel": ("job", "cancel", "nobody"),
    "accounts": ("account", "eab", "revoke", "nobody"),
    "principals": ("principal", "disable", "nobody"),
}
ALLOWED = {
    "admin": {"look", "change profiles", "revoke", "cancel", "accounts", "principals"},
    "approver": {"look", "decide"},
    "operator": {"look", "revoke", "cancel", "accounts"},
    "auditor": {"look"},
}


def test_each_role_may_what_the_table_says_and_no_more(directory: Directory) -> None:
    tokens = {role: directory.person(f"p-{role}", role) for role in ALLOWED}
    tokens["nobody"] = directory.person("p-nobody")
    for role, token in tokens.items():
        for deed, command in DEEDS.items():
            code = directory.run(*command, token=token).returncode
            allowed = deed in ALLOWED.get(role, set())
            # What is allowed goes on and finds that the thing it is about does not exist.
            expected = (Exit.DONE if deed == "look" else Exit.NOT_FOUND) if allowed else Exit.NOT_ALLOWED
            assert code == expected, (role, deed)


def test_a_token_is_needed_and_must_be_good(directory: Directory, tmp_path: Path) -> None:
    assert directory.refused(Exit.NOT_ALLOWED, "profile", "list", token=tmp_path / "gone")
    stranger = tmp_path / "stranger"
    stranger.write_text("certctl_" + "x" * 43)
    stranger.chmod(0o600)
    assert "stands for nobody" in directory.refused(Exit.NOT_ALLOWED, "profile", "list", token=stranger)
    stranger.write_text("")
    assert "holds no token" in directory.refused(Exit.NOT_ALLOWED, "profile", "list", token=stranger)
    stranger.chmod(0o644)
    assert "chmod 600" in directory.refused(Exit.NOT_ALLOWED, "profile", "list", token=stranger)


def test_the_environment_may_name_directory_and_token(directory: Directory) -> None:
    alice = directory.person("alice", "auditor")
    env = {"CERTCTL_DATA": str(directory.path), "CERTCTL_TOKEN_FILE": str(alice)}
    assert certctl("profile", "list", env=env).returncode == 0
    assert certctl("profile", "delete", "gated", env=env).returncode == Exit.NOT_ALLOWED


def test_a_token_is_shown_once_and_kept_nowhere(directory: Directory) -> None:
    made = directory.ok("principal", "create", "alice", "--role", "approver")
    token = made["token"]
    assert token.startswith("certctl_")
    assert token.encode() not in (directory.path / "certctl.db").read_bytes()
    listed = directory.ok("principal", "token", "list", "alice")
    assert [one["status"] for one in listed] == ["good"]
    assert token.startswith(listed[0]["prefix"])
    assert token not in directory.run("audit", "list").stdout


def test_a_token_goes_into_a_file_of_its_owner(directory: Directory) -> None:
    path = directory.person("alice", "approver")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_tokens_end_by_time_by_word_and_with_their_principal(directory: Directory, tmp_path: Path) -> None:
    alice = directory.person("alice", "auditor")
    second = tmp_path / "second"
    made = directory.ok("principal", "token", "create", "alice", "--out", second, token=alice)
    assert directory.run("profile", "list", token=second).returncode == 0
    directory.ok("principal", "token", "revoke", made["token_id"], token=alice)
    assert directory.refused(Exit.NOT_ALLOWED, "profile", "list", token=second)
    assert "ended already" in directory.refused(
        Exit.REFUSED, "principal", "token", "revoke", made["token_id"], token=alice
    )
    short = tmp_path / "short"
    directory.ok("principal", "token", "create", "alice", "--expires", "1s", "--out", short)
    time.sleep(1.2)
    assert directory.refused(Exit.NOT_ALLOWED, "profile", "list", token=short)
    directory.ok("principal", "disable", "alice")
    assert directory.refused(Exit.NOT_ALLOWED, "profile", "list", token=alice)
    assert {one["status"] for one in directory.ok("principal", "token", "list", "alice")} >= {
        "revoked",
        "expired",
    }


def test_nobody_makes_or_ends_tokens_of_others_without_the_role(directory: Directory) -> None:
    alice, _bob = directory.person("alice", "approver"), directory.person("bob", "approver")
    (theirs,) = directory.ok("principal", "token", "list", "bob")
    assert directory.refused(Exit.NOT_ALLOWED, "principal", "token", "create", "bob", token=alice)
    assert directory.refused(Exit.NOT_ALLOWED, "principal", "token", "revoke", theirs["id"], token=alice)
    assert directory.refused(Exit.REFUSED, "principal", "token", "create", "system")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("create", "robot", "--machine", "--role", "approver"), "machines never approve"),
        (("create", "carol", "--role", "aprover"), 'no role "aprover"'),
        (("create", "carol", "--role", "group:nobody"), 'no group "group:nobody"'),
        (("create", "Carol Smith"), "lower-case letters"),
        (("create", "admin"), "already"),
        (("grant", "admin", "admin"), "already"),
        (("withdraw", "admin", "auditor"), "does not hold"),
        (("withdraw", "admin", "admin"), "nobody would be admin"),
        (("disable", "admin"), "nobody would be admin"),
        (("disable", "system"), "the server itself"),
    ],
)
def test_what_cannot_be_done_to_principals(
    directory: Directory, arguments: tuple[str, ...], words: str
) -> None:
    assert words in directory.refused(Exit.REFUSED, "principal", *arguments)


def test_a_circle_that_a_profile_names_can_be_granted_to_persons_only(
    directory: Directory, tmp_path: Path
) -> None:
    text = directory.run("profile", "show", "gated").stdout.replace('role = "approver"', 'group = "security"')
    assert "security" in text
    file = tmp_path / "profiles.toml"
    file.write_text(text.replace('name = "gated"', 'name = "guarded"'))
    directory.ok("apply", "-f", file)
    alice = directory.person("alice", "group:security")
    assert directory.refused(
        Exit.REFUSED, "principal", "create", "robot", "--machine", "--role", "group:security"
    )
    submitted = ask(directory, "a.example", profile="guarded")
    assert submitted.approval_id is not None
    bob = directory.person("bob", "approver")
    assert "group:security" in directory.refused(
        Exit.REFUSED, "approval", "approve", submitted.approval_id, token=bob
    )
    assert directory.ok("approval", "approve", submitted.approval_id, token=alice)["status"] == "approved"


def test_admin_never_approves_but_may_be_approver_too(directory: Directory) -> None:
    submitted = ask(directory, "a.example")
    assert submitted.approval_id is not None
    assert "may not decide" in directory.refused(
        Exit.NOT_ALLOWED, "approval", "approve", submitted.approval_id
    )
    directory.ok("principal", "grant", "admin", "approver")
    assert directory.ok("approval", "approve", submitted.approval_id)["status"] == "approved"


def test_principals_are_listed_with_what_they_hold(directory: Directory) -> None:
    directory.person("alice", "approver", "auditor")
    directory.ok("principal", "withdraw", "alice", "auditor")
    found = {one["name"]: one for one in directory.ok("principal", "list")}
    assert found["alice"]["roles"] == ["approver"]
    assert found["alice"]["kind"] == "person"
    assert found["system"]["kind"] == "machine"
