"""Guards: what the database itself refuses, whoever asks. One list, rendered for both engines.

This is the fourth layer of the gate (docs/approval-workflow.md). Each guard is a condition, over
NEW and OLD, under which the statement is refused. The conditions are SQL that SQLite and PostgreSQL
read alike. A guard is never edited once released: a later migration drops it and adds another.

SQLite's OR REPLACE removes rows without firing delete triggers, so every protected table also refuses
an insert or update whose unique keys are taken; where a table has a hidden key (rowid), that one too.
"""

from typing import Final

from store.migrations.guard import Guard, fixed, moves, never, taken

# Approval a was asked for exactly what request r asks.
_ASKED: Final = """a.kind = r.kind AND a.digest = r.approval_digest AND a.profile = r.profile
  AND a.profile_version = r.profile_version"""

# The approval a job leans on stands: given, for exactly this request, by enough persons outside its line.
_STANDS: Final = f"""EXISTS (SELECT 1 FROM approvals a JOIN requests r ON r.id = NEW.request_id
  WHERE a.id = NEW.approval_id AND a.status = 'approved' AND {_ASKED}
  AND a.required <= (SELECT count(*) FROM approval_decisions d JOIN principals p ON p.id = d.principal_id
    WHERE d.approval_id = a.id AND d.verdict = 'approve' AND p.kind = 'person' AND p.id <> r.principal_id
    AND NOT EXISTS (SELECT 1 FROM request_line l WHERE l.request_id = r.id AND l.principal_id = d.principal_id)))"""


def _change(proposed: str, *, agreed: bool = False) -> str:
    """A profile change under way that proposed exactly this, and which, if `agreed`, enough people agreed to."""
    approval = " JOIN approvals a ON a.id = j.approval_id" if agreed else ""
    stands = f" AND a.status = 'approved' AND {_ASKED}" if agreed else ""
    return (
        f"EXISTS (SELECT 1 FROM jobs j JOIN requests r ON r.id = j.request_id{approval}"
        " WHERE j.kind = 'change_profile' AND j.status = 'running' AND r.profile = NEW.name"
        f" AND r.digest = {proposed}{stands})"
    )


# What a proposal to delete a profile has in the place of the new definition's digest: SHA-256 of nothing.
NO_DEFINITION: Final = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

GUARDS_0001: Final[tuple[Guard, ...]] = (
    # Who: a machine cannot be turned into a person, nor be given the right to decide.
    fixed("principals", ("id", "kind", "created_at")),
    never("principals", "DELETE", "principals: disable, never delete"),
    taken("principals", ("id",), ("name",)),
    Guard(
        "principals_no_overwrite",
        "principals",
        "UPDATE OF name",
        "(EXISTS (SELECT 1 FROM principals p WHERE p.name = NEW.name AND p.id <> OLD.id))",
        "principals: that name is another's",
    ),
    Guard(
        "principal_roles_machines",
        "principal_roles",
        "INSERT",
        "(NEW.role = 'approver' AND EXISTS (SELECT 1 FROM principals p WHERE p.id = NEW.principal_id"
        " AND p.kind <> 'person'))",
        "principal_roles: a machine never approves",
    ),
    never("principal_roles", "UPDATE", "principal_roles: grant and withdraw, never rewrite"),
    # What may happen: versions follow one another, and a gated profile is not loosened by one hand.
    never("profile_versions", "UPDATE", "profile_versions: a version does not change"),
    never("profile_versions", "DELETE", "profile_versions: a version does not go away"),
    Guard(
        "profile_versions_follow",
        "profile_versions",
        "INSERT",
        "(NEW.version <> (SELECT coalesce(max(v.version), 0) + 1 FROM profile_versions v WHERE v.name = NEW.name))",
        "profile_versions: versions follow one another",
    ),
    Guard(
        "profile_versions_by_job",
        "profile_versions",
        "INSERT",
        f"(NEW.version > 1 AND NOT {_change('NEW.digest')})",
        "profile_versions: a profile changes through a running job that proposed it",
    ),
    Guard(
        "profile_versions_closure",
        "profile_versions",
        "INSERT",
        "(EXISTS (SELECT 1 FROM profile_versions v WHERE v.name = NEW.name AND v.version = NEW.version - 1"
        " AND v.requires_approval AND (NOT NEW.requires_approval OR NEW.approvers < v.approvers))"
        f" AND NOT {_change('NEW.digest', agreed=True)})",
        "profile_versions: loosening a gated profile needs a second person",
    ),
    Guard(
        "profiles_follow",
        "profiles",
        "UPDATE",
        "(NEW.name IS DISTINCT FROM OLD.name OR NEW.version NOT IN (OLD.version, OLD.version + 1)"
        " OR (OLD.deleted_at IS NOT NULL AND NEW.deleted_at IS NULL AND NEW.version = OLD.version)"
        " OR NOT EXISTS (SELECT 1 FROM profile_versions v WHERE v.name = NEW.name AND v.version = NEW.version))",
        "profiles: the version in force only moves on",
    ),
    Guard(
        "profiles_closure",
        "profiles",
        "UPDATE OF deleted_at",
        "(OLD.deleted_at IS NULL AND NEW.deleted_at IS NOT NULL AND EXISTS (SELECT 1 FROM profile_versions v"
        " WHERE v.name = OLD.name AND v.version = OLD.version AND v.requires_approval)"
        f" AND NOT {_change(repr(NO_DEFINITION), agreed=True)})",
        "profiles: deleting a gated profile needs a second person",
    ),
    never("profiles", "DELETE", "profiles: mark as deleted, never remove"),
    taken("profiles", ("name",)),
    # What was asked is pinned.
    never("requests", "UPDATE", "requests: what was asked does not change"),
    never("requests", "DELETE", "requests: what was asked does not go away"),
    taken("requests", ("id",)),
    Guard(
        "request_line_pinned",
        "request_line",
        "INSERT",
        "(EXISTS (SELECT 1 FROM jobs j WHERE j.request_id = NEW.request_id))",
        "request_line: lineage is pinned once the request has its job",
    ),
    never("request_line", "UPDATE", "request_line: lineage does not change"),
    never("request_line", "DELETE", "request_line: lineage does not go away"),
    # Approvals.
    Guard(
        "approvals_open",
        "approvals",
        "INSERT",
        "(NEW.status <> 'pending' OR NEW.required < 1 OR NEW.ended_at IS NOT NULL)",
        "approvals: a question starts open",
    ),
    Guard(
        "approvals_required",
        "approvals",
        "INSERT",
        "(NOT EXISTS (SELECT 1 FROM profile_versions v WHERE v.name = NEW.profile"
        " AND v.version = NEW.profile_version AND v.requires_approval AND v.approvers = NEW.required))",
        "approvals: the profile says how many must agree",
    ),
    taken("approvals", ("id",)),
    moves("approvals", {"pending": ("approved", "rejected", "expired")}),
    fixed(
        "approvals",
        (
            "id",
            "digest",
            "kind",
            "profile",
            "profile_version",
            "required",
            "role",
            "requested_at",
            "expires_at",
            "reuse_window",
        ),
    ),
    Guard(
        "approvals_counted",
        "approvals",
        "UPDATE OF status",
        "(NEW.status = 'approved' AND OLD.status = 'pending' AND ("
        "NEW.ended_at IS NULL OR NEW.ended_at >= OLD.expires_at"
        " OR EXISTS (SELECT 1 FROM approval_decisions d WHERE d.approval_id = OLD.id AND d.verdict = 'reject')"
        " OR OLD.required > (SELECT count(*) FROM approval_decisions d JOIN principals p ON p.id = d.principal_id"
        " WHERE d.approval_id = OLD.id AND d.verdict = 'approve' AND p.kind = 'person')))",
        "approvals: not enough persons have agreed in time",
    ),
    Guard(
        "approvals_ended",
        "approvals",
        "UPDATE",
        "(NEW.ended_at IS DISTINCT FROM OLD.ended_at AND (OLD.status <> 'pending' OR NEW.status = 'pending'))",
        "approvals: the end comes with the answer and stays",
    ),
    Guard(
        "approvals_refused",
        "approvals",
        "UPDATE OF status",
        "(NEW.status = 'rejected' AND OLD.status = 'pending' AND NOT EXISTS (SELECT 1 FROM approval_decisions d"
        " WHERE d.approval_id = OLD.id AND d.verdict = 'reject'))",
        "approvals: nobody has refused",
    ),
    never("approvals", "DELETE", "approvals: a question does not go away"),
    # Decisions: by a person with the role, outside the line, while the question is open, once.
    Guard(
        "approval_decisions_open",
        "approval_decisions",
        "INSERT",
        "(NOT EXISTS (SELECT 1 FROM approvals a WHERE a.id = NEW.approval_id AND a.status = 'pending'"
        " AND NEW.decided_at < a.expires_at))",
        "approval_decisions: the question is closed",
    ),
    Guard(
        "approval_decisions_person",
        "approval_decisions",
        "INSERT",
        "(NOT EXISTS (SELECT 1 FROM approvals a JOIN principal_roles g ON g.role = a.role"
        " JOIN principals p ON p.id = g.principal_id WHERE a.id = NEW.approval_id AND p.id = NEW.principal_id"
        " AND p.kind = 'person' AND p.disabled_at IS NULL))",
        "approval_decisions: not a person who may decide this",
    ),
    Guard(
        "approval_decisions_line",
        "approval_decisions",
        "INSERT",
        "(EXISTS (SELECT 1 FROM jobs j JOIN requests r ON r.id = j.request_id"
        " WHERE j.approval_id = NEW.approval_id AND j.status <> 'cancelled' AND (r.principal_id = NEW.principal_id"
        " OR EXISTS (SELECT 1 FROM request_line l WHERE l.request_id = r.id AND l.principal_id = NEW.principal_id))))",
        "approval_decisions: nobody decides in their own line",
    ),
    taken("approval_decisions", ("approval_id", "principal_id")),
    never("approval_decisions", "UPDATE", "approval_decisions: a word given stands"),
    never("approval_decisions", "DELETE", "approval_decisions: a word given stands"),
    # Jobs.
    Guard(
        "jobs_start",
        "jobs",
        "INSERT",
        "(NEW.fence <> 0 OR NEW.attempts <> 0 OR NEW.worker IS NOT NULL"
        " OR NOT EXISTS (SELECT 1 FROM requests r WHERE r.id = NEW.request_id AND r.kind = NEW.kind)"
        " OR NOT ((NEW.gated AND NEW.approval_id IS NOT NULL) OR (NOT NEW.gated AND NEW.approval_id IS NULL))"
        " OR NOT (NEW.status = 'pending' OR (NEW.status = 'awaiting_approval' AND NEW.gated)))",
        "jobs: not how a job starts",
    ),
    Guard(
        "jobs_gate",
        "jobs",
        "INSERT",
        "(NEW.kind = 'issue' AND NOT EXISTS (SELECT 1 FROM requests r JOIN profile_versions v"
        " ON v.name = r.profile AND v.version = r.profile_version JOIN profiles p"
        " ON p.name = v.name AND p.version = v.version AND p.deleted_at IS NULL"
        " WHERE r.id = NEW.request_id AND ((v.requires_approval AND NEW.gated)"
        " OR (NOT v.requires_approval AND NOT NEW.gated))))",
        "jobs: the profile in force says whether a request waits for approval",
    ),
    Guard(
        "jobs_bound",
        "jobs",
        "INSERT",
        "(NEW.gated AND NEW.status = 'awaiting_approval' AND NOT EXISTS (SELECT 1 FROM approvals a"
        " JOIN requests r ON r.id = NEW.request_id WHERE a.id = NEW.approval_id AND a.status = 'pending'"
        f" AND {_ASKED} AND NEW.created_at < a.expires_at))",
        "jobs: bound to another question than the one that was asked",
    ),
    Guard(
        "jobs_covered",
        "jobs",
        "INSERT",
        f"(NEW.gated AND NEW.status = 'pending' AND (NOT {_STANDS} OR NOT EXISTS (SELECT 1 FROM approvals a"
        " WHERE a.id = NEW.approval_id AND NEW.created_at < a.ended_at + a.reuse_window)))",
        "jobs: no approval stands for this request",
    ),
    taken(
        "jobs",
        ("id",),
        ("request_id",),
        also="EXISTS (SELECT 1 FROM jobs t WHERE t.approval_id = NEW.approval_id AND t.status <> 'cancelled')",
    ),
    moves(
        "jobs",
        {
            "awaiting_approval": ("pending", "cancelled"),
            "pending": ("running", "cancelled"),
            "running": ("completed", "failed", "pending"),
        },
    ),
    fixed("jobs", ("id", "kind", "request_id", "gated", "approval_id", "created_at")),
    Guard(
        "jobs_approved",
        "jobs",
        "UPDATE OF status",
        f"(OLD.status = 'awaiting_approval' AND NEW.status = 'pending' AND NOT {_STANDS})",
        "jobs: no approval stands for this request",
    ),
    Guard(
        "jobs_claim",
        "jobs",
        "UPDATE OF status",
        "(OLD.status = 'pending' AND NEW.status = 'running' AND (OLD.held OR NEW.fence <> OLD.fence + 1"
        f" OR NEW.attempts <> OLD.attempts + 1 OR (NEW.gated AND NOT {_STANDS})))",
        "jobs: not how a job is claimed",
    ),
    Guard("jobs_fence", "jobs", "UPDATE", "(NEW.fence < OLD.fence)", "jobs: a fencing number only rises"),
    Guard(
        "jobs_done",
        "jobs",
        "UPDATE OF status",
        "(NEW.status = 'completed' AND NEW.kind = 'issue'"
        " AND NOT EXISTS (SELECT 1 FROM certificates c WHERE c.job_id = NEW.id))",
        "jobs: nothing was issued",
    ),
    never("jobs", "DELETE", "jobs: a job does not go away"),
    # Certificates: from a running job, as intended, and where gated, as approved.
    Guard(
        "intents_running",
        "intents",
        "INSERT",
        "(NOT EXISTS (SELECT 1 FROM jobs j WHERE j.id = NEW.job_id AND j.status = 'running' AND j.kind = 'issue'))",
        "intents: only a running job may intend to sign",
    ),
    Guard(
        "intents_once",
        "intents",
        "INSERT",
        "(EXISTS (SELECT 1 FROM jobs j JOIN jobs e ON e.approval_id = j.approval_id AND e.id <> j.id"
        " JOIN intents i ON i.job_id = e.id WHERE j.id = NEW.job_id AND e.approval_id IS NOT NULL))",
        "intents: this approval was used before",
    ),
    taken("intents", ("job_id",), ("issuer", "serial")),
    never("intents", "UPDATE", "intents: an intent does not change"),
    never("intents", "DELETE", "intents: an intent does not go away"),
    Guard(
        "certificates_job",
        "certificates",
        "INSERT",
        "(NOT EXISTS (SELECT 1 FROM jobs j JOIN requests r ON r.id = j.request_id"
        " JOIN intents i ON i.job_id = j.id"
        " WHERE j.id = NEW.job_id AND j.kind = 'issue' AND j.status = 'running' AND j.fence = NEW.fence"
        " AND j.approval_id IS NOT DISTINCT FROM NEW.approval_id AND r.id = NEW.request_id"
        " AND r.profile = NEW.profile AND r.profile_version = NEW.profile_version"
        " AND r.principal_id = NEW.principal_id AND r.account_id IS NOT DISTINCT FROM NEW.account_id"
        " AND i.issuer = NEW.issuer AND i.serial = NEW.serial AND i.tbs_sha256 = NEW.tbs_sha256"
        " AND i.not_before = NEW.not_before AND i.not_after = NEW.not_after))",
        "certificates: no running job intended this",
    ),
    Guard(
        "certificates_approved",
        "certificates",
        "INSERT",
        f"(EXISTS (SELECT 1 FROM jobs j WHERE j.id = NEW.job_id AND j.gated) AND NOT {_STANDS})",
        "certificates: no approval stands for this request",
    ),
    Guard(
        "certificates_fresh",
        "certificates",
        "INSERT",
        "(NEW.revoked_at IS NOT NULL OR NEW.revocation_reason IS NOT NULL OR NEW.revoked_by IS NOT NULL)",
        "certificates: issued first, revoked later",
    ),
    taken("certificates", ("issuer", "serial"), ("job_id",), ("approval_id",), ("sha256",)),
    fixed(
        "certificates",
        (
            "issuer",
            "serial",
            "job_id",
            "request_id",
            "approval_id",
            "profile",
            "profile_version",
            "principal_id",
            "account_id",
            "fence",
            "der",
            "tbs_sha256",
            "sha256",
            "spki_sha256",
            "subject",
            "not_before",
            "not_after",
            "issued_at",
        ),
    ),
    Guard(
        "certificates_revoked",
        "certificates",
        "UPDATE",
        "(OLD.revoked_at IS NOT NULL AND (NEW.revoked_at IS DISTINCT FROM OLD.revoked_at"
        " OR NEW.revocation_reason IS DISTINCT FROM OLD.revocation_reason"
        " OR NEW.revoked_by IS DISTINCT FROM OLD.revoked_by))",
        "certificates: revoked is for good",
    ),
    never("certificates", "DELETE", "certificates: what was issued does not go away"),
    # The record.
    Guard(
        "audit_chained",
        "audit",
        "INSERT",
        "(NEW.seq < 1 OR (NEW.seq > 1 AND NOT EXISTS (SELECT 1 FROM audit a WHERE a.chain = NEW.chain"
        " AND a.seq = NEW.seq - 1 AND a.hash = NEW.prev_hash))"
        " OR EXISTS (SELECT 1 FROM audit a WHERE a.chain = NEW.chain AND a.seq >= NEW.seq))",
        "audit: a row hangs on the one before it",
    ),
    never("audit", "UPDATE", "audit: append only"),
    never("audit", "DELETE", "audit: append only"),
)
