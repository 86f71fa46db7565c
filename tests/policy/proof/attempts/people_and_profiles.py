"""Attempts on who people are and on what may happen."""

from typing import Final

from tests.policy.proof.attempts.attempt import NOW, Attempt, copied, on_sqlite, overwritten, plain

PEOPLE: Final = [
    Attempt(
        "principals_fixed",
        "make a machine a person",
        "UPDATE principals SET kind = 'person' WHERE id = '<robot>'",
    ),
    *plain("principals", "id = '<stranger>'", None),
    on_sqlite(
        "principals_no_replace",
        "replace a machine by a person",
        copied("principals", "id = '<robot>'", verb="INSERT OR REPLACE", kind="'person'"),
    ),
    Attempt(
        "principals_no_replace",
        "overwrite a machine as a person",
        overwritten("principals", "id = '<robot>'", "id", "kind = 'person'"),
    ),
    on_sqlite(
        "principals_no_replace",
        "push somebody out by name",
        copied("principals", "id = '<stranger>'", verb="INSERT OR REPLACE", id="'intruder'"),
    ),
    on_sqlite(
        "principals_no_overwrite",
        "push somebody out by taking the name",
        "UPDATE OR REPLACE principals SET name = 'stranger' WHERE id = '<robot>'",
    ),
    Attempt(
        "principal_roles_machines",
        "let a machine approve",
        "INSERT INTO principal_roles (principal_id, role) VALUES ('<robot>', 'approver')",
    ),
    Attempt(
        "principal_roles_no_update",
        "hand a role on to a machine",
        "UPDATE principal_roles SET principal_id = '<robot>' WHERE principal_id = '<bob>'",
    ),
]

# A change of profile `gated` under way that nobody agreed to: it may tighten.
_TIGHTER: Final = (
    copied("requests", "id = 'spare-awaiting'", id="'change'", kind="'change_profile'", digest="'proposed'"),
    copied(
        "jobs",
        "id = '<job_awaiting>'",
        id="'change'",
        kind="'change_profile'",
        request_id="'change'",
        status="'pending'",
        gated="false",
        approval_id="NULL",
    ),
    "UPDATE jobs SET status = 'running', fence = 1, attempts = 1 WHERE id = 'change'",
)

PROFILES: Final = [
    *plain("profile_versions", "name = 'gated'", "requires_approval = false, approvers = 0"),
    Attempt(
        "profile_versions_follow",
        "leave a number out",
        copied("profile_versions", "name = 'gated'", version="version + 2", digest="'proposed'"),
        before=_TIGHTER,
    ),
    on_sqlite(
        "profile_versions_follow",
        "replace a version",
        copied("profile_versions", "name = 'gated'", verb="INSERT OR REPLACE", requires_approval="false"),
    ),
    Attempt(
        "profile_versions_by_job",
        "change a profile by hand",
        copied("profile_versions", "name = 'default'", version="version + 1"),
    ),
    Attempt(
        "profile_versions_by_job",
        "change it to something else than was proposed",
        copied("profile_versions", "name = 'gated'", version="version + 1", digest="'another'"),
        before=_TIGHTER,
    ),
    Attempt(
        "profile_versions_closure",
        "ask nobody any more",
        copied(
            "profile_versions",
            "name = 'gated'",
            version="version + 1",
            digest="'proposed'",
            requires_approval="false",
            approvers="0",
        ),
        before=_TIGHTER,
    ),
    Attempt(
        "profiles_follow",
        "go back to the version that asked nobody",
        "UPDATE profiles SET version = 1 WHERE name = 'switch'",
    ),
    Attempt("profiles_follow", "run ahead", "UPDATE profiles SET version = version + 1 WHERE name = 'gated'"),
    Attempt("profiles_follow", "revive", "UPDATE profiles SET deleted_at = NULL WHERE name = 'gone'"),
    Attempt("profiles_follow", "rename", "UPDATE profiles SET name = 'free' WHERE name = 'gated'"),
    Attempt(
        "profiles_closure",
        "delete a gated profile",
        f"UPDATE profiles SET deleted_at = {NOW} WHERE name = 'gated'",
    ),
    Attempt(
        "profiles_closure",
        "delete it through a change that nobody agreed to",
        f"UPDATE profiles SET deleted_at = {NOW} WHERE name = 'gated'",
        before=_TIGHTER,
    ),
    *plain("profiles", "name = 'gated'", None),
    on_sqlite(
        "profiles_no_replace",
        "put the old version back in force",
        copied("profiles", "name = 'switch'", verb="INSERT OR REPLACE", version="1"),
    ),
    Attempt(
        "profiles_no_replace",
        "overwrite the version in force",
        overwritten("profiles", "name = 'switch'", "name", "version = 1"),
    ),
]
