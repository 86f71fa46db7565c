"""`apply` and `profile`: files in, versions out."""

import tomllib
from pathlib import Path

import pytest

from servers.cli.options import Exit
from tests.common.ca_process import Directory
from tests.servers.cli.desk import ask

MINIMAL = """
[[profile]]
name = "web"
issuer = "issuing"
[profile.identifiers]
dns = {suffixes = ["example.com"]}
"""


def test_a_file_is_applied_and_applied_again(directory: Directory, tmp_path: Path) -> None:
    file = tmp_path / "web.toml"
    file.write_text(MINIMAL)
    assert directory.ok("apply", "-f", file)[0]["outcome"] == "in force as version 1"
    assert directory.ok("apply", "--file", file)[0]["outcome"] == "says so already"
    file.write_text(MINIMAL.replace("example.com", "example.org"))
    assert directory.ok("apply", "-f", file)[0]["version"] == 2
    assert directory.ok("apply", "-f", "-", stdin=MINIMAL)[0]["version"] == 3
    history = directory.ok("profile", "history", "web")
    assert [one["version"] for one in history] == [1, 2, 3]
    assert history[0]["digest"] == history[2]["digest"]
    assert directory.ok("profile", "show", "web", "--version", "2")["profile"]["identifiers"]["dns"][
        "suffixes"
    ] == ["example.org"]


def test_all_of_a_file_or_nothing(directory: Directory, tmp_path: Path) -> None:
    file = tmp_path / "two.toml"
    file.write_text(MINIMAL + MINIMAL.replace('"web"', '"other"').replace("suffixes", "sufixes"))
    words = directory.refused(Exit.REFUSED, "apply", "-f", file)
    assert "line 12" in words
    assert "suffixes" in words
    assert "web" not in {one["name"] for one in directory.ok("profile", "list")}
    assert directory.refused(Exit.CONFIGURATION, "apply", "-f", tmp_path / "gone")


def test_what_show_prints_can_be_applied(directory: Directory) -> None:
    for name in ("default", "gated", "server-tls"):
        text = directory.run("profile", "show", name).stdout
        assert tomllib.loads(text)["profile"][0]["name"] == name
        assert directory.ok("apply", "-f", "-", stdin=text)[0]["outcome"] == "says so already"


def test_the_list_says_who_is_asked(directory: Directory) -> None:
    found = {one["name"]: one for one in directory.ok("profile", "list")}
    assert found["default"]["approvers"] is None
    assert found["gated"]["approvers"] == 1
    assert found["server-tls"]["acme"] == "off"
    assert "gated" in directory.run("profile", "list").stdout


def test_editing_goes_through_the_editor_and_the_gate(directory: Directory, tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i \'s/default = "90d"/default = "30d"/\' "$1"\n')
    editor.chmod(0o755)
    env = {"EDITOR": str(editor), "VISUAL": ""}
    assert directory.ok("profile", "edit", "default", env=env)[0]["version"] == 2
    assert directory.ok("profile", "show", "default")["profile"]["validity"]["default"] == "30d"
    editor.write_text('#!/bin/sh\nsed -i \'s/"default"/"renamed"/\' "$1"\n')
    assert "not renamed" in directory.refused(Exit.USAGE, "profile", "edit", "default", env=env)
    editor.write_text("#!/bin/sh\nexit 3\n")
    assert "nothing was changed" in directory.refused(Exit.REFUSED, "profile", "edit", "default", env=env)
    assert directory.refused(Exit.NOT_FOUND, "profile", "edit", "nobody", env=env)


def test_deleting_cancels_what_waits_under_it(directory: Directory, tmp_path: Path) -> None:
    file = tmp_path / "web.toml"
    file.write_text(MINIMAL)
    directory.ok("apply", "-f", file)
    submitted = ask(directory, "www.example.com", profile="web")
    assert directory.ok("profile", "delete", "web")[0]["outcome"] == "deleted"
    assert directory.ok("job", "show", submitted.job_id)["status"] == "cancelled"
    assert directory.refused(Exit.NOT_FOUND, "profile", "show", "web")
    assert directory.refused(Exit.NOT_FOUND, "profile", "delete", "web")
    assert directory.ok("profile", "history", "web")
    assert directory.ok("profile", "delete", "gated")[0]["outcome"] == "waits for approval"


@pytest.mark.parametrize(
    "command", [("show", "nobody"), ("history", "nobody"), ("show", "gated", "--version", "7")]
)
def test_what_is_not_there(directory: Directory, command: tuple[str, ...]) -> None:
    assert directory.refused(Exit.NOT_FOUND, "profile", *command)
