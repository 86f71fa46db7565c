"""`certctl apply` and `certctl profile`: what may be issued, and how it is decided."""

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from policy import profile_changes
from policy.access import Action
from policy.profile_changes import Applied, Outcome, Unchanged, Waiting
from policy.profiles import Profile, parse_toml, to_toml
from servers.cli.options import Common, Exit, Failed, examples
from servers.cli.output import say, table
from servers.cli.session import Session, open_session
from servers.cli.words import moment
from store import profiles
from store.database import Transaction
from store.ids import ProfileName
from store.records import Principal, ProfileVersion

app = App(name="profile", help="What may be issued, and how it is decided.")
_OUTCOME = {"profile": "PROFILE", "outcome": "OUTCOME", "approval": "APPROVAL", "loosened": "LOOSENED"}


async def apply(
    *,
    file: Annotated[Path, Parameter(name=("--file", "-f"), allow_leading_hyphen=True)],
    common: Common = Common(),
) -> None:
    """Make the profiles of a TOML file the ones in force. Profiles that the file does not name stay as they are.

    A change that loosens a gated profile waits for somebody else's approval.

    Args:
        file: `[[profile]]` tables; - reads standard input.
    """
    try:
        data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise Failed(Exit.CONFIGURATION, f"cannot read {file}: {error.strerror}") from None
    wanted = parse_toml(data)
    async with open_session(common) as session:
        outcomes = await _propose(session, [(profile.name, profile) for profile in wanted])
    table([_outcome(one) for one in outcomes], _OUTCOME, as_json=common.json, empty="")


@app.command(name="list", help_epilogue=examples("profile list", "profile list --json"))
async def list_(*, common: Common = Common()) -> None:
    """List the profiles in force."""

    async def work(tx: Transaction) -> list[tuple[ProfileVersion, Profile]]:
        return [(version, session.cache.read(version)) for version in await profiles.every(tx)]

    async with open_session(common) as session:
        found = await session.look(work)
    columns = {
        "name": "PROFILE",
        "version": "VERSION",
        "issuer": "ISSUER",
        "approvers": "APPROVERS",
        "acme": "ACME",
        "validity": "VALIDITY",
        "description": "DESCRIPTION",
    }
    table([_row(*one) for one in found], columns, as_json=common.json, empty="there are no profiles")


@app.command(help_epilogue=examples("profile show gated > gated.toml", "apply -f gated.toml"))
async def show(name: str, /, *, version: int | None = None, common: Common = Common()) -> None:
    """Print a profile as a file that `certctl apply` takes.

    Args:
        name: The profile.
        version: An earlier version.
    """
    async with open_session(common) as session:
        found = await session.look(lambda tx: _find(tx, name, version))
        profile = session.cache.read(found)
    document = profile.model_dump(mode="json", exclude_none=True)
    say({"version": found.version, "profile": document}, as_json=common.json, text=to_toml(profile).rstrip())


@app.command(help_epilogue=examples("profile edit default"))
async def edit(name: str, /, *, common: Common = Common()) -> None:
    """Change a profile in $VISUAL or $EDITOR.

    Args:
        name: The profile.
    """
    async with open_session(common) as session:
        profile = session.cache.read(await session.look(lambda tx: _find(tx, name, None)))
        changed = parse_toml(_edited(to_toml(profile)))
        if [one.name for one in changed] != [name]:
            raise Failed(
                Exit.USAGE, f'the file has to hold the one profile "{name}": a profile is not renamed'
            )
        outcomes = await _propose(session, [(name, changed[0])])
    table([_outcome(one) for one in outcomes], _OUTCOME, as_json=common.json, empty="")


@app.command(help_epilogue=examples("profile delete web-servers"))
async def delete(name: str, /, *, common: Common = Common()) -> None:
    """Take a profile out of force; requests under it that are not done are cancelled. Its history stays.

    Args:
        name: The profile.
    """
    async with open_session(common) as session:
        outcomes = await _propose(session, [(name, None)])
    table([_outcome(one) for one in outcomes], _OUTCOME, as_json=common.json, empty="")


@app.command(help_epilogue=examples("profile history gated"))
async def history(name: str, /, *, common: Common = Common()) -> None:
    """List all versions of a profile, also of a deleted one.

    Args:
        name: The profile.
    """
    async with open_session(common) as session:
        found = await session.look(lambda tx: profiles.history(tx, ProfileName(name)))
    if not found:
        raise Failed(Exit.NOT_FOUND, f'there never was a profile "{name}"')
    rows = [
        {
            "version": one.version,
            "created": moment(one.created_at),
            "by": one.created_by,
            "requires_approval": one.requires_approval,
            "digest": one.digest,
        }
        for one in found
    ]
    columns = {
        "version": "VERSION",
        "created": "CREATED",
        "by": "BY",
        "requires_approval": "GATED",
        "digest": "DIGEST",
    }
    table(rows, columns, as_json=common.json, empty="")


async def _propose(session: Session, changes: list[tuple[str, Profile | None]]) -> list[Outcome]:
    """All of the changes, or none if one of them cannot even be proposed."""

    async def work(tx: Transaction, by: Principal) -> list[Outcome]:
        return [
            await profile_changes.propose(tx, ProfileName(name), to, by.id, session.now, session.cache)
            for name, to in changes
        ]

    return await session.do(Action.CHANGE_PROFILES, work)


async def _find(tx: Transaction, name: str, version: int | None) -> ProfileVersion:
    wanted = ProfileName(name)
    found = await (profiles.current(tx, wanted) if version is None else profiles.get(tx, wanted, version))
    if found is None:
        which = "" if version is None else f"version {version} of "
        raise Failed(Exit.NOT_FOUND, f'there is no {which}profile "{name}"')
    return found


def _edited(text: str) -> bytes:
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "profile.toml"
        path.write_text(text)
        try:
            subprocess.run([*shlex.split(editor), str(path)], check=True)  # noqa: S603 - the operator's own editor
        except (OSError, subprocess.CalledProcessError):
            raise Failed(Exit.REFUSED, f"{editor} did not end well: nothing was changed") from None
        return path.read_bytes()


def _row(version: ProfileVersion, profile: Profile) -> dict[str, Any]:
    document = profile.model_dump(mode="json")
    return {
        "name": version.name,
        "version": version.version,
        "issuer": profile.issuer,
        "requires_approval": version.requires_approval,
        "approvers": version.approvers or None,
        "acme": profile.acme.mode.value if profile.acme.enabled else "off",
        "validity": document["validity"]["default"],
        "description": profile.description,
    }


def _outcome(outcome: Outcome) -> dict[str, Any]:
    match outcome:
        case Applied(name, None):
            return {"profile": name, "outcome": "deleted", "version": None}
        case Applied(name, version):
            return {"profile": name, "outcome": f"in force as version {version}", "version": version}
        case Waiting(name, approval_id, loosened):
            return {
                "profile": name,
                "outcome": "waits for approval",
                "approval": approval_id,
                "loosened": list(loosened),
            }
        case Unchanged(name, version):
            return {"profile": name, "outcome": "says so already", "version": version}
