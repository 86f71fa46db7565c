"""Attempts on what was asked, on approvals and on the words said about them."""

from typing import Final

from tests.policy.proof.attempts.attempt import (
    LATE,
    NOW,
    Attempt,
    copied,
    on_sqlite,
    overwritten,
    plain,
    word,
)

REQUESTS: Final = [
    *plain("requests", "id = '<request_awaiting>'", "identifiers = '[]'"),
    on_sqlite(
        "requests_no_replace",
        "replace what was asked",
        copied("requests", "id = '<request_awaiting>'", verb="INSERT OR REPLACE", principal_id="'<bob>'"),
    ),
    on_sqlite(
        "requests_no_replace",
        "push a request out by the hidden key",
        copied("requests", "id = 'spare-awaiting'", verb="INSERT OR REPLACE", id="'new'", rowid="rowid"),
    ),
    Attempt(
        "requests_no_replace",
        "overwrite what was asked",
        overwritten("requests", "id = '<request_awaiting>'", "id", "profile_version = 9"),
    ),
    Attempt(
        "request_line_pinned",
        "put an approver into the line",
        "INSERT INTO request_line (request_id, principal_id) VALUES ('<request_awaiting>', '<alice>')",
    ),
    *plain("request_line", "request_id = '<request_own>'", "principal_id = '<stranger>'"),
]

APPROVALS: Final = [
    Attempt(
        "approvals_open",
        "write down an answer nobody gave",
        copied("approvals", "id = 'free'", id="'new'", status="'approved'", ended_at=NOW),
    ),
    Attempt("approvals_open", "ask nobody", copied("approvals", "id = 'free'", id="'new'", required="0")),
    Attempt(
        "approvals_required",
        "ask one where the profile says two",
        copied("approvals", "id = '<approval_doubted>'", id="'new'", required="1"),
    ),
    Attempt(
        "approvals_required",
        "ask one about a change where the profile says two",
        copied("approvals", "id = '<approval_doubted>'", id="'new'", required="1", kind="'change_profile'"),
    ),
    Attempt(
        "approvals_required",
        "ask about a profile that asks nobody",
        copied("approvals", "id = 'free'", id="'new'", profile="'default'"),
    ),
    on_sqlite(
        "approvals_no_replace",
        "open a rejected question again",
        copied(
            "approvals",
            "id = '<approval_rejected>'",
            verb="INSERT OR REPLACE",
            status="'pending'",
            ended_at="NULL",
        ),
    ),
    Attempt(
        "approvals_no_replace",
        "overwrite a rejection",
        overwritten("approvals", "id = '<approval_rejected>'", "id", "status = 'approved'"),
    ),
    Attempt(
        "approvals_moves",
        "turn a rejection round",
        "UPDATE approvals SET status = 'approved' WHERE id = '<approval_rejected>'",
    ),
    Attempt(
        "approvals_moves",
        "revive an expired question",
        "UPDATE approvals SET status = 'pending', ended_at = NULL WHERE id = '<approval_expired>'",
    ),
    on_sqlite(
        "approvals_moves",
        "turn a rejection round and hush",
        "UPDATE OR IGNORE approvals SET status = 'approved' WHERE id = '<approval_rejected>'",
    ),
    Attempt(
        "approvals_fixed",
        "let an approval speak for something else",
        "UPDATE approvals SET digest = 'another' WHERE id = '<approval_held>'",
    ),
    Attempt(
        "approvals_fixed",
        "be content with fewer",
        "UPDATE approvals SET required = 1 WHERE id = '<approval_doubted>'",
    ),
    Attempt(
        "approvals_fixed",
        "leave it open longer",
        f"UPDATE approvals SET expires_at = {LATE} WHERE id = '<approval_awaiting>'",
    ),
    Attempt(
        "approvals_counted",
        "approve without a word",
        f"UPDATE approvals SET status = 'approved', ended_at = {NOW} WHERE id = '<approval_awaiting>'",
    ),
    Attempt(
        "approvals_counted",
        "approve with one word of two",
        f"UPDATE approvals SET status = 'approved', ended_at = {NOW} WHERE id = '<approval_doubted>'",
    ),
    Attempt(
        "approvals_counted",
        "approve without an end",
        "UPDATE approvals SET status = 'approved' WHERE id = 'free'",
        before=(word("alice", "free"),),
    ),
    Attempt(
        "approvals_counted",
        "approve too late",
        f"UPDATE approvals SET status = 'approved', ended_at = {LATE} WHERE id = 'free'",
        before=(word("alice", "free"),),
    ),
    Attempt(
        "approvals_counted",
        "approve over a refusal",
        f"UPDATE approvals SET status = 'approved', ended_at = {NOW} WHERE id = 'free'",
        before=(word("alice", "free"), word("bob", "free", "reject")),
    ),
    Attempt(
        "approvals_ended",
        "let an approval be used longer",
        f"UPDATE approvals SET ended_at = {LATE} WHERE id = '<approval_held>'",
    ),
    Attempt(
        "approvals_ended",
        "end a question without an answer",
        f"UPDATE approvals SET ended_at = {NOW} WHERE id = '<approval_awaiting>'",
    ),
    Attempt(
        "approvals_refused",
        "reject without a word",
        f"UPDATE approvals SET status = 'rejected', ended_at = {NOW} WHERE id = '<approval_awaiting>'",
    ),
    *plain("approvals", "id = 'free'", None),
]

DECISIONS: Final = [
    Attempt("approval_decisions_open", "speak after a rejection", word("bob", "<approval_rejected>")),
    Attempt("approval_decisions_open", "speak after the approval", word("bob", "<approval_held>", "reject")),
    Attempt("approval_decisions_open", "speak too late", word("bob", "<approval_awaiting>", at=LATE)),
    Attempt("approval_decisions_person", "a machine speaks", word("robot", "<approval_awaiting>")),
    Attempt("approval_decisions_person", "somebody without the role speaks", word("stranger", "free")),
    Attempt("approval_decisions_person", "somebody disabled speaks", word("dora", "free")),
    Attempt("approval_decisions_line", "the requester speaks", word("carol", "<approval_own>")),
    on_sqlite(
        "approval_decisions_no_replace",
        "replace a word",
        word("bob", "<approval_doubted>", verb="INSERT OR REPLACE"),
    ),
    Attempt(
        "approval_decisions_no_replace",
        "overwrite a word",
        word("bob", "<approval_doubted>")
        + " ON CONFLICT (approval_id, principal_id) DO UPDATE SET verdict = 'reject'",
    ),
    *plain("approval_decisions", "approval_id = '<approval_rejected>'", "verdict = 'approve'"),
]
