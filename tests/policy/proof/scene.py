"""A database with a row in every state there is, made by the front door, for raw SQL to try itself on."""

import asyncio
from datetime import timedelta
from typing import Any, Final

from policy.enrollment import Submitted, collect, withdraw
from policy.profile_changes import propose
from policy.profile_gates import ApprovalRules
from policy.profiles import DEFAULT, GATED, Profile
from store import certificates, jobs, principals
from store.clock import after
from store.ids import ApprovalId, IssuerName, JobId, ProfileName
from store.records import PrincipalKind, Verdict
from tests.common.world import World, make_world
from tests.policy.proof.attempts.attempt import copied
from tests.policy.proof.raw import connect

Scene = dict[str, str]
"""Name -> id: of people, and of `job_*`, `approval_*`, `request_*` in the state that the name says."""

# Requests without a job, and one open question without a job: what raw SQL would build upon.
SPARE: Final = ("awaiting", "spent", "withdrawn", "old", "gone")


def build(url: str) -> Scene:
    """Fill the migrated, empty database at `url`."""
    scene = asyncio.run(_front_door(url))
    raw = connect(url)
    try:
        for name in SPARE:
            raw.execute(copied("requests", f"id = '{scene['request_' + name]}'", id=f"'spare-{name}'"))
            raw.execute(
                copied(
                    "request_line", f"request_id = '{scene['request_' + name]}'", request_id=f"'spare-{name}'"
                )
            )
        raw.execute(copied("approvals", f"id = '{scene['approval_awaiting']}'", id="'free'"))
    finally:
        raw.close()
    return scene


async def _front_door(url: str) -> Scene:
    async with make_world(url) as world:
        scene = await _people(world)
        await _profiles(world)
        await _jobs(world, scene)
        return scene


async def _people(world: World) -> Scene:
    await world.person("carol", "approver")
    dora = await world.person("dora", "approver")
    await world.person("stranger")
    await world.person("robot", kind=PrincipalKind.MACHINE)
    await world.write(lambda tx: principals.disable(tx, dora.id, world.now))
    return {name: person.id for name, person in world.people.items()}


async def _profiles(world: World) -> None:
    double = ApprovalRules(approvers=2)
    await world.put_profile(_named(GATED, "double", approval=double))
    await world.put_profile(_named(DEFAULT, "switch"))
    await world.put_profile(_named(DEFAULT, "gone"))


def _named(profile: Profile, name: str, **changes: Any) -> Profile:
    return profile.model_copy(update={"name": name, **changes})


async def _jobs(world: World, scene: Scene) -> None:
    """Each job is brought into its state before the next one is asked for, so that a claim finds the right one."""
    for name in ("completed", "revoked"):
        await _ready(world, scene, name)
        await world.worker.turn()
    job = JobId(scene["job_revoked"])
    found = await world.certificate(job)
    assert found is not None
    await world.write(
        lambda tx: certificates.revoke(
            tx, IssuerName("issuing"), found.serial, world.now, 1, world.people["admin"].id
        )
    )
    await _ready(world, scene, "failed")
    await _claim(world, "fail")
    await _ready(world, scene, "spent")
    await _claim(world, "put back")
    await _withdraw(world, scene, "spent")
    for name, profile in (("running", "gated"), ("other", "gated"), ("free", "default")):
        await _ready(world, scene, name, profile=profile)
        await _claim(world, "leave")
    await _ready(world, scene, "claimed", profile="default")
    await world.write(lambda tx: jobs.claim(tx, "w", world.now, after(world.now, timedelta(hours=1)), 1))
    for name in ("ready", "second"):
        await _ready(world, scene, name)
    for name in ("held", "withdrawn"):
        await _asked(world, scene, name)
        await world.decide(ApprovalId(scene["approval_" + name]), "alice", Verdict.APPROVE)
    for name, profile in (("awaiting", "gated"), ("expired", "gated"), ("old", "switch"), ("gone", "gone")):
        await _asked(world, scene, name, profile=profile)
    await _asked(world, scene, "own", by="carol")
    await _asked(world, scene, "doubted", profile="double")
    await world.decide(ApprovalId(scene["approval_doubted"]), "bob", Verdict.APPROVE)
    await _asked(world, scene, "rejected")
    await world.decide(ApprovalId(scene["approval_rejected"]), "alice", Verdict.REJECT)
    for name in ("withdrawn", "expired", "old", "gone"):
        await _withdraw(world, scene, name)
    await world.put_profile(_named(GATED, "switch"))
    admin = world.people["admin"].id
    await world.write(lambda tx: propose(tx, ProfileName("gone"), None, admin, world.now, world.cache))


async def _asked(
    world: World, scene: Scene, name: str, *, profile: str = "gated", by: str = "machine"
) -> Submitted:
    outcome = await world.ask(f"{name}.example", profile=profile, by=by)
    assert isinstance(outcome, Submitted)
    scene["job_" + name] = outcome.job_id
    scene["request_" + name] = (await world.job(outcome.job_id)).request_id
    if outcome.approval_id is not None:
        scene["approval_" + name] = outcome.approval_id
    return outcome


async def _ready(world: World, scene: Scene, name: str, *, profile: str = "gated") -> None:
    outcome = await _asked(world, scene, name, profile=profile)
    if outcome.approval_id is not None:
        await world.decide(outcome.approval_id, "alice", Verdict.APPROVE)
        await world.write(lambda tx: collect(tx, outcome.job_id, world.now))


async def _claim(world: World, then: str) -> None:
    _, [prepared] = await world.worker.claim_and_prepare(1)
    if then == "fail":
        await world.write(lambda tx: jobs.fail(tx, prepared.claimed, world.now, "failed"))
    elif then == "put back":
        later = after(world.now, timedelta(days=1))
        await world.write(lambda tx: jobs.retry(tx, prepared.claimed, world.now, later, "later"))


async def _withdraw(world: World, scene: Scene, name: str) -> None:
    job, admin = JobId(scene["job_" + name]), world.people["admin"].id
    assert await world.write(lambda tx: withdraw(tx, job, admin, world.now, "withdrawn"))
