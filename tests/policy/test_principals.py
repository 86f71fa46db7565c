"""Principals, roles, tokens and external account keys, on each engine."""

import pytest

from policy import principals as rules
from policy.access import ROLES, AccessDenied, Action, RoleRefused, actions_of, check_may, check_may_hold
from policy.acme import external_keys
from policy.acme.external_accounts import PatternRefused
from policy.acme.external_keys import NoSuchKey
from policy.principals import NoSuchPrincipal, PrincipalRefused
from policy.profile_cache import ProfileUnreadable
from policy.signers import WrongKey, make_signers
from store import acme_accounts, audit, listings, principals
from store.clock import Millis
from store.ids import PrincipalId, ProfileName, new_id
from store.records import ApprovalStatus, Principal, PrincipalKind
from tests.common.world import World, make_issuer, make_world

TOKEN = "certctl_" + "t" * 43


async def made(world: World, name: str, *roles: str, kind: PrincipalKind = PrincipalKind.PERSON) -> Principal:
    by = world.people["admin"].id
    return await world.write(lambda tx: rules.create(tx, name, kind, roles, by, world.now, world.cache))


# --- the table of roles ---


def test_admin_may_everything_but_decide() -> None:
    assert set(Action) - ROLES["admin"] == {Action.DECIDE}


def test_only_circles_decide_and_circles_only_decide() -> None:
    deciding = {role for role, actions in ROLES.items() if Action.DECIDE in actions}
    assert deciding == {"approver"}
    for role in ("approver", "group:security", "security"):
        assert actions_of(role) == {Action.LOOK, Action.DECIDE}


@pytest.mark.parametrize(
    "role", [role for role in (*ROLES, "group:x", "y") if Action.DECIDE in actions_of(role)]
)
def test_no_machine_holds_a_role_that_decides(role: str) -> None:
    check_may_hold(PrincipalKind.PERSON, role, frozenset({"group:x", "y"}))
    with pytest.raises(RoleRefused, match="machines never approve"):
        check_may_hold(PrincipalKind.MACHINE, role, frozenset({"group:x", "y"}))


def test_who_may_not_is_told_what_it_takes() -> None:
    alice = Principal(PrincipalId("a"), "alice", PrincipalKind.PERSON, Millis(0), None, None)
    with pytest.raises(
        AccessDenied, match="may not revoke certificates: that takes the role admin or operator"
    ):
        check_may(alice, {"approver", "auditor"}, Action.REVOKE)
    check_may(alice, {"auditor", "operator"}, Action.REVOKE)
    with pytest.raises(AccessDenied):
        check_may(alice, (), Action.LOOK)


# --- in the database ---


async def test_a_principal_with_roles_and_a_token(database_url: str) -> None:
    async with make_world(database_url) as world:
        carol = await made(world, "carol", "auditor", "auditor", "operator")
        assert await world.write(lambda tx: principals.roles(tx, carol.id)) == {"auditor", "operator"}
        credential = await world.write(
            lambda tx: rules.give_token(
                tx, carol, TOKEN, TOKEN[:14], Millis(world.now + 1000), carol.id, world.now
            )
        )
        found = await world.write(lambda tx: principals.authenticate(tx, TOKEN, world.now))
        assert found is not None
        assert found.id == carol.id
        later = Millis(world.now + 1000)
        assert await world.write(lambda tx: principals.authenticate(tx, TOKEN, later)) is None
        await world.write(lambda tx: rules.revoke_token(tx, credential.id, carol.id, world.now))
        assert await world.write(lambda tx: principals.authenticate(tx, TOKEN, world.now)) is None
        with pytest.raises(PrincipalRefused, match="ended already"):
            await world.write(lambda tx: rules.revoke_token(tx, credential.id, carol.id, world.now))
        with pytest.raises(NoSuchPrincipal):
            await world.write(lambda tx: rules.revoke_token(tx, "nothing", carol.id, world.now))
        actions = [row.action for row in await world.write(lambda tx: listings.latest_audit(tx, 100))]
        assert {"principal.created", "role.granted", "credential.created", "credential.revoked"} <= set(
            actions
        )
        assert await world.write(audit.verify) > 0


async def test_nothing_of_a_refused_principal_remains(database_url: str) -> None:
    async with make_world(database_url) as world:
        with pytest.raises(RoleRefused):
            await made(world, "carol", "auditor", "aprover")
        with pytest.raises(NoSuchPrincipal):
            await world.write(lambda tx: rules.find(tx, "carol"))


async def test_the_last_admin_stays(database_url: str) -> None:
    async with make_world(database_url) as world:
        admin = world.people["admin"]
        for undo in (
            lambda tx: rules.disable(tx, admin, admin.id, world.now),
            lambda tx: rules.withdraw(tx, admin, "admin", admin.id, world.now),
        ):
            with pytest.raises(PrincipalRefused, match="nobody would be admin"):
                await world.write(undo)
        second = await made(world, "second", "admin")
        await world.write(lambda tx: rules.disable(tx, admin, second.id, world.now))
        with pytest.raises(PrincipalRefused, match="nobody would be admin"):
            await world.write(lambda tx: rules.disable(tx, second, second.id, world.now))
        gone = await world.write(lambda tx: rules.find(tx, "admin"))
        with pytest.raises(PrincipalRefused, match="is disabled"):
            await world.write(lambda tx: rules.give_token(tx, gone, TOKEN, "x", None, second.id, world.now))


async def test_external_account_keys(database_url: str) -> None:
    async with make_world(database_url) as world:
        admin = world.people["admin"].id

        async def create(*patterns: str, profile: str | None = None) -> str:
            kid = new_id(world.now)
            await world.write(
                lambda tx: external_keys.create(
                    tx,
                    kid,
                    b"sealed",
                    name="web",
                    profile=None if profile is None else ProfileName(profile),
                    patterns=patterns,
                    reusable=False,
                    expires_at=None,
                    by=admin,
                    now=world.now,
                    cache=world.cache,
                )
            )
            return kid

        kid = await create("*.Example.com", "10.0.0.0/8", profile="gated")
        row = await world.write(lambda tx: acme_accounts.external_key(tx, kid))
        assert row is not None
        assert row.name_patterns == '["*.example.com","10.0.0.0/8"]'
        assert row.created_by == admin
        with pytest.raises(PatternRefused):
            await create("no name")
        with pytest.raises(ProfileUnreadable):
            await create(profile="nobody")
        await world.write(lambda tx: external_keys.revoke(tx, kid, admin, world.now))
        with pytest.raises(NoSuchKey):
            await world.write(lambda tx: external_keys.revoke(tx, kid, admin, world.now))


async def test_lists_are_bounded_and_newest_first(database_url: str) -> None:
    async with make_world(database_url) as world:
        first = await world.ask("one.example")
        world.pass_time(seconds=1)
        second = await world.ask("two.example")
        assert first.approval_id  # type: ignore[union-attr]  # a Refusal has none
        assert second.approval_id  # type: ignore[union-attr]
        newest = [one.id for one in await world.write(lambda tx: listings.latest_approvals(tx, 10))]
        assert newest == [second.approval_id, first.approval_id]  # type: ignore[union-attr]
        waiting = await world.write(lambda tx: listings.latest_approvals(tx, 1, ApprovalStatus.PENDING))
        assert [one.id for one in waiting] == [first.approval_id]  # type: ignore[union-attr]
        jobs = await world.write(lambda tx: listings.latest_jobs(tx, 1))
        assert [one.id for one in jobs] == [second.job_id]  # type: ignore[union-attr]
        behind = await world.write(lambda tx: listings.behind_approval(tx, newest[0]))
        assert behind is not None
        assert behind[0].id == second.job_id  # type: ignore[union-attr]
        people = await world.write(lambda tx: listings.latest_principals(tx, 100, accounts=False))
        assert {one.name for one in people} >= {"admin", "alice", "bob", "machine"}
        assert (await world.write(listings.all_roles))[world.people["alice"].id] == ["approver"]
        assert await world.write(lambda tx: listings.active_holders(tx, "approver")) == 2


def test_a_key_that_is_not_the_issuers_makes_no_signer() -> None:
    issuer, key = make_issuer()
    assert set(make_signers([(issuer, key)])) == {"issuing"}
    _, other = make_issuer()
    with pytest.raises(WrongKey, match="does not belong"):
        make_signers([(issuer, other)])
