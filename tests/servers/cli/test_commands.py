"""Every command: its help, its --json, and how it refuses what is wrong with the command line."""

import json
from pathlib import Path

import pytest
from cyclopts import App

from servers.cli.main import app
from servers.cli.options import EXITS, Exit
from tests.common.ca_process import Directory, certctl, certctl_here


def leaves(parent: App, *path: str) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name in parent:
        if name.startswith("-"):
            continue
        child = parent[name]
        below = leaves(child, *path, name)
        found += below or [(*path, name)]
    return found


COMMANDS = leaves(app)


def test_the_commands_are_those_that_are_documented() -> None:
    assert {" ".join(command) for command in COMMANDS} == {
        "init",
        "serve",
        "apply",
        "profile list",
        "profile show",
        "profile edit",
        "profile delete",
        "profile history",
        "approval list",
        "approval show",
        "approval approve",
        "approval reject",
        "certificate list",
        "certificate show",
        "certificate revoke",
        "certificate export",
        "job list",
        "job show",
        "job cancel",
        "issuer list",
        "principal create",
        "principal list",
        "principal grant",
        "principal withdraw",
        "principal disable",
        "principal token create",
        "principal token list",
        "principal token revoke",
        "account list",
        "account revoke",
        "account eab create",
        "account eab list",
        "account eab revoke",
        "audit list",
        "audit verify",
        "version",
    }


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example_and_json(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    app([*command, "--help"], exit_on_error=False, result_action="return_value")
    text = capsys.readouterr().out
    assert "Examples:" in text
    assert f"certctl {' '.join(command)}" in text
    assert "--json" in text
    for line in text.splitlines():
        assert len(line) <= 80, line


def test_the_exit_codes_are_documented() -> None:
    for code in Exit:
        assert f"  {int(code)} " in EXITS
    assert EXITS.splitlines()[2] in certctl("--help").stdout


def test_the_version() -> None:
    assert certctl("version").stdout.strip() == certctl("--version").stdout.strip()
    assert json.loads(certctl("version", "--json").stdout) == {"version": certctl("version").stdout.strip()}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("serv",), 'Did you mean "serve"?'),
        (("approval", "aprove", "x"), 'Did you mean "approve"?'),
        (("approval", "approve"), "requires an argument"),
        (("approval", "list", "--limt", "3"), "--limt"),
        (("init", "--key-algorithm", "dsa"), "dsa"),
        (("init", "--import-key", "x"), "--import-chain"),
        (("certificate", "list", "--limit", "many"), "many"),
    ],
)
def test_a_wrong_command_line_is_one_line(arguments: tuple[str, ...], words: str) -> None:
    done = certctl_here(*arguments)
    assert done.returncode == Exit.USAGE
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert words in done.stderr
    assert not done.stdout


def test_a_refusal_is_json_where_json_was_asked_for(started: Directory) -> None:
    done = started.run("job", "show", "nobody", "--json")
    assert done.returncode == Exit.NOT_FOUND
    error = json.loads(done.stdout)["error"]
    assert error["code"] == Exit.NOT_FOUND
    assert error["message"] in done.stderr


def test_a_directory_without_a_ca_is_not_made_into_one(tmp_path: Path) -> None:
    nowhere = Directory(tmp_path / "nowhere")
    assert "certctl init" in nowhere.refused(Exit.CONFIGURATION, "profile", "list")
    assert not nowhere.path.exists()


def test_a_damaged_database_is_one_line(directory: Directory) -> None:
    (directory.path / "certctl.db").write_bytes(b"no database at all" * 500)
    assert directory.refused(Exit.STORAGE, "profile", "list")


def test_init_twice_is_refused(started: Directory) -> None:
    assert "has a CA already" in started.refused(Exit.REFUSED, "init")


def test_init_tells_what_to_do_next(tmp_path: Path) -> None:
    done = certctl(
        "init", "--data", tmp_path / "data", "--organization", "Example", "--permit-dns", "example.com"
    )
    assert done.returncode == 0, done.stderr
    assert "take it offline" in done.stdout
    assert str(tmp_path / "data" / "root.pem") in done.stdout
    assert (tmp_path / "data" / "admin.token").read_text().strip() in done.stdout
