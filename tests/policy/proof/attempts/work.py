"""Attempts on jobs, intents, certificates and the record."""

from typing import Final

from tests.policy.proof.attempts.attempt import (
    LATE,
    NOW,
    Attempt,
    certificate,
    claimed,
    copied,
    intent,
    job,
    on_sqlite,
    overwritten,
    plain,
)

JOBS: Final = [
    Attempt("jobs_start", "start as running", job("running", "spare-awaiting", "free")),
    Attempt("jobs_start", "start as completed", job("completed", "spare-awaiting", "free")),
    Attempt(
        "jobs_start", "start with a fence", job("awaiting_approval", "spare-awaiting", "free", fence="7")
    ),
    Attempt("jobs_start", "gated without an approval", job("pending", "spare-awaiting", None, gated="true")),
    Attempt(
        "jobs_start",
        "another kind than was asked",
        job("pending", "spare-awaiting", None, kind="'change_profile'"),
    ),
    Attempt("jobs_gate", "stamp a gated request as free", job("pending", "spare-awaiting", None)),
    Attempt("jobs_gate", "lean on a version no longer in force", job("pending", "spare-old", None)),
    Attempt("jobs_gate", "lean on a profile that was deleted", job("pending", "spare-gone", None)),
    Attempt(
        "jobs_bound", "wait for another question's answer", job("awaiting_approval", "spare-spent", "free")
    ),
    Attempt(
        "jobs_bound",
        "wait for a question that is closed",
        job("awaiting_approval", "spare-awaiting", "free", created_at=LATE),
    ),
    Attempt("jobs_covered", "start before the answer", job("pending", "spare-awaiting", "free")),
    Attempt(
        "jobs_covered",
        "start on another request's approval",
        job("pending", "spare-spent", "<approval_withdrawn>"),
    ),
    Attempt(
        "jobs_covered",
        "use an approval too late",
        job("pending", "spare-withdrawn", "<approval_withdrawn>", created_at=LATE),
    ),
    on_sqlite(
        "jobs_no_replace",
        "replace a cancelled job",
        copied("jobs", "id = '<job_rejected>'", verb="INSERT OR REPLACE", status="'awaiting_approval'"),
    ),
    on_sqlite(
        "jobs_no_replace",
        "give a request a second job",
        job("awaiting_approval", "<request_rejected>", "free", verb="INSERT OR REPLACE"),
    ),
    on_sqlite(
        "jobs_no_replace",
        "push out the job that used the approval",
        job("pending", "spare-awaiting", "<approval_failed>", verb="INSERT OR REPLACE"),
    ),
    Attempt(
        "jobs_no_replace",
        "overwrite a cancelled job",
        overwritten("jobs", "id = '<job_rejected>'", "id", "status = 'pending'"),
    ),
    Attempt(
        "jobs_moves",
        "revive a cancelled job",
        "UPDATE jobs SET status = 'pending' WHERE id = '<job_rejected>'",
    ),
    Attempt("jobs_moves", "claim a waiting job", claimed("<job_awaiting>")),
    Attempt("jobs_moves", "claim a failed job again", claimed("<job_failed>")),
    on_sqlite(
        "jobs_moves",
        "claim a waiting job and hush",
        claimed("<job_awaiting>").replace("UPDATE jobs", "UPDATE OR IGNORE jobs"),
    ),
    Attempt(
        "jobs_fixed",
        "call a waiting job free",
        "UPDATE jobs SET gated = false, approval_id = NULL WHERE id = '<job_awaiting>'",
    ),
    Attempt(
        "jobs_fixed",
        "lean on another's approval",
        "UPDATE jobs SET approval_id = '<approval_withdrawn>' WHERE id = '<job_awaiting>'",
    ),
    Attempt(
        "jobs_fixed",
        "carry out another request",
        "UPDATE jobs SET request_id = 'spare-awaiting' WHERE id = '<job_ready>'",
    ),
    Attempt(
        "jobs_approved",
        "let a job go before the answer",
        "UPDATE jobs SET status = 'pending' WHERE id = '<job_awaiting>'",
    ),
    Attempt("jobs_claim", "claim a held job", claimed("<job_held>")),
    Attempt(
        "jobs_claim",
        "claim under the old fence",
        "UPDATE jobs SET status = 'running' WHERE id = '<job_ready>'",
    ),
    Attempt("jobs_fence", "go back to an old fence", "UPDATE jobs SET fence = 0 WHERE id = '<job_running>'"),
    Attempt(
        "jobs_done",
        "complete without a certificate",
        "UPDATE jobs SET status = 'completed' WHERE id = '<job_running>'",
    ),
    *plain("jobs", "id = '<job_expired>'", None),
]

# An approval that was used once (its job got as far as an intent), and a second job that leans on it.
_SECOND_USE: Final = (job("pending", "spare-spent", "<approval_spent>"), claimed("new-job"))

INTENTS: Final = [
    Attempt("intents_running", "intend to sign while it waits", intent("<job_awaiting>")),
    Attempt("intents_running", "intend to sign what is held", intent("<job_held>")),
    Attempt("intents_running", "intend to sign what was refused", intent("<job_rejected>")),
    Attempt("intents_once", "use an approval a second time", intent("new-job"), before=_SECOND_USE),
    on_sqlite(
        "intents_no_replace",
        "replace an intent",
        intent("<job_running>", verb="INSERT OR REPLACE", serial="ff"),
    ),
    on_sqlite(
        "intents_no_replace",
        "take another job's serial",
        copied("intents", "job_id = '<job_running>'", verb="INSERT OR REPLACE", job_id="'<job_claimed>'"),
    ),
    Attempt(
        "intents_no_replace",
        "overwrite an intent",
        intent("<job_running>") + " ON CONFLICT (job_id) DO UPDATE SET tbs_sha256 = 'digest'",
    ),
    *plain("intents", "job_id = '<job_running>'", "tbs_sha256 = 'digest'"),
]

CERTIFICATES: Final = [
    Attempt(
        "certificates_job",
        "issue for a waiting job",
        certificate(
            "awaiting", serial="'ff'", tbs_sha256="'x'", not_before="1", not_after="2", issuer="'issuing'"
        ),
    ),
    Attempt(
        "certificates_job",
        "issue without an intent",
        certificate(
            "claimed", serial="'ff'", tbs_sha256="'x'", not_before="1", not_after="2", issuer="'issuing'"
        ),
    ),
    Attempt("certificates_job", "issue what was not intended", certificate("running", tbs_sha256="'x'")),
    Attempt("certificates_job", "issue under another serial", certificate("running", serial="'ff'")),
    Attempt("certificates_job", "issue for longer", certificate("running", not_after=LATE)),
    Attempt("certificates_job", "issue under an old fence", certificate("running", fence="0")),
    Attempt("certificates_job", "issue to somebody else", certificate("running", principal_id="'<bob>'")),
    Attempt("certificates_job", "issue under another profile", certificate("running", profile="'default'")),
    Attempt(
        "certificates_job",
        "issue on another approval",
        certificate("running", approval_id="'<approval_other>'"),
    ),
    Attempt(
        "certificates_job",
        "issue for another request",
        certificate("running", request_id="'<request_other>'"),
    ),
    Attempt(
        "certificates_approved",
        "issue on an open question",
        certificate("running", approval_id="'<approval_awaiting>'"),
    ),
    Attempt(
        "certificates_approved",
        "issue on no approval",
        certificate("running", approval_id="NULL"),
    ),
    Attempt("certificates_fresh", "issue as revoked", certificate("running", revoked_at=NOW)),
    on_sqlite(
        "certificates_no_replace",
        "replace a certificate",
        copied("certificates", "job_id = '<job_completed>'", verb="INSERT OR REPLACE", subject="'x'"),
    ),
    on_sqlite(
        "certificates_no_replace",
        "push a certificate out by the hidden key",
        certificate(
            "running",
            verb="INSERT OR REPLACE",
            rowid="(SELECT rowid FROM certificates WHERE job_id = '<job_completed>')",
        ),
    ),
    Attempt(
        "certificates_no_replace",
        "overwrite a certificate",
        overwritten("certificates", "job_id = '<job_completed>'", "issuer, serial", "subject = 'x'"),
    ),
    Attempt(
        "certificates_fixed",
        "alter a certificate",
        "UPDATE certificates SET not_after = not_after + 1 WHERE job_id = '<job_completed>'",
    ),
    on_sqlite(
        "certificates_fixed",
        "move onto another's hidden key",
        "UPDATE OR REPLACE certificates SET rowid = (SELECT rowid FROM certificates WHERE job_id = '<job_revoked>')"
        " WHERE job_id = '<job_completed>'",
    ),
    Attempt(
        "certificates_revoked",
        "take a revocation back",
        "UPDATE certificates SET revoked_at = NULL, revocation_reason = NULL, revoked_by = NULL"
        " WHERE job_id = '<job_revoked>'",
    ),
    *plain("certificates", "job_id = '<job_completed>'", None),
]

_LAST: Final = "seq = (SELECT max(a.seq) FROM audit a WHERE a.chain = audit.chain)"

AUDIT: Final = [
    Attempt("audit_chained", "leave a row out", copied("audit", _LAST, seq="seq + 2")),
    Attempt("audit_chained", "hang on the wrong row", copied("audit", _LAST, seq="seq + 1")),
    Attempt("audit_chained", "start before the start", copied("audit", _LAST, seq="0")),
    on_sqlite(
        "audit_chained",
        "replace a row",
        copied("audit", _LAST, verb="INSERT OR REPLACE", detail="'{}'"),
    ),
    Attempt("audit_chained", "overwrite a row", overwritten("audit", _LAST, "chain, seq", "detail = '{}'")),
    *plain("audit", _LAST, "actor = 'somebody else'"),
]
