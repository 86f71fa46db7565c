"""The promise, written down once more and apart from the code: what must hold whatever has happened.

`Ledger` is what the prover itself saw happen (who was heard, what the CA key signed, what was withdrawn);
the rows of the database are judged by it.
"""

from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256

from cryptography import x509

from tests.policy.proof.picture import CertificateRow, JobRow, Picture

JOB_MOVES = {
    "awaiting_approval": {"pending", "cancelled"},
    "pending": {"running", "cancelled"},
    "running": {"pending", "completed", "failed"},
    "completed": set[str](),
    "failed": set[str](),
    "cancelled": set[str](),
}
APPROVAL_MOVES = {
    "pending": {"approved", "rejected", "expired"},
    "approved": set[str](),
    "rejected": set[str](),
    "expired": set[str](),
}


CLAIMED = {"running", "completed", "failed"}


class Violation(AssertionError):
    """The promise was broken."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """What was seen: words that were accepted, lines as they were at submission, signatures, withdrawals."""

    words: frozenset[tuple[str, str, str]] = frozenset()
    """(approval, principal, verdict)"""
    lines: dict[str, frozenset[str]] = field(default_factory=dict)
    """job -> the principals who may not decide it"""
    signed: frozenset[tuple[str, str]] = frozenset()
    """(SHA-256 of the TBSCertificate, job)"""
    withdrawn: frozenset[str] = frozenset()
    """jobs"""


def check(picture: Picture, ledger: Ledger) -> None:
    """Raise Violation unless everything that must hold at any moment holds."""
    for certificate in picture.certificates:
        _certificate(picture, ledger, certificate)
    for tbs, job_id in ledger.signed:
        job = picture.jobs[job_id]
        entitled(picture, ledger, job)
        _demand(job.tbs == tbs, f"what was signed for {job_id} is not what it intended")
    _once(Counter(job for _, job in ledger.signed), "contents were signed for one job")
    used = Counter(a for _, job in ledger.signed if (a := picture.jobs[job].approval) is not None)
    _once(used, "contents were signed on one approval")
    _once(
        Counter(c.approval for c in picture.certificates if c.approval), "certificates lean on one approval"
    )
    _once(Counter(c.job for c in picture.certificates), "certificates come from one job")
    _once(Counter(j.serial for j in picture.jobs.values() if j.serial), "jobs share a serial")
    live = Counter(j.approval for j in picture.jobs.values() if j.approval and j.status != "cancelled")
    _once(live, "jobs lean on one approval")
    heard = frozenset((a.id, who, verdict) for a in picture.approvals.values() for who, verdict in a.words)
    _demand(heard == ledger.words, "the words on record are not the words that were said")
    for job in picture.jobs.values():
        _job(picture, ledger, job)


def check_step(before: Picture, after: Picture) -> None:
    """Raise Violation unless one step led from `before` to `after` by moves that there are, one or more."""
    for job in before.jobs.values():
        now = after.jobs.get(job.id)
        _demand(now is not None, f"job {job.id} is gone")
        assert now is not None
        legal = now.status in _reachable(JOB_MOVES, job.status)
        _demand(legal, f"job {job.id} went from {job.status} to {now.status}")
        claims = job.status not in CLAIMED and now.status in CLAIMED
        _demand(
            now.fence == job.fence + claims, f"the fencing number of job {job.id} does not count its claims"
        )
        _demand(job.tbs in {None, now.tbs}, f"the intent of job {job.id} changed")
    for approval in before.approvals.values():
        then = after.approvals.get(approval.id)
        _demand(then is not None, f"approval {approval.id} is gone")
        assert then is not None
        legal = then.status in _reachable(APPROVAL_MOVES, approval.status)
        _demand(legal, f"approval {approval.id} went from {approval.status} to {then.status}")
        _demand(approval.words <= then.words, f"a word on approval {approval.id} is gone")
    _demand(before.certificates <= after.certificates, "a certificate is gone, or was altered")


def check_signing(picture: Picture, ledger: Ledger, tbs: bytes) -> str:
    """The job for which the CA key is asked to sign `tbs` at this moment; Violation if there is none that may."""
    digest = sha256(tbs).hexdigest()
    jobs = [job for job in picture.jobs.values() if job.tbs == digest]
    _demand(len(jobs) == 1, "the CA key signs what no job intended")
    job = jobs[0]
    _demand(job.status == "running", f"the CA key signs for a job that is {job.status}")
    entitled(picture, ledger, job)
    return job.id


def entitled(picture: Picture, ledger: Ledger, job: JobRow) -> None:
    """Raise Violation unless `job` may have a certificate: nobody was to be asked, or enough have agreed."""
    _demand(job.kind == "issue", f"{job.id} issues nothing")
    needed = picture.approvers(job.profile, job.profile_version)
    if needed == 0:
        _demand(job.approval is None, f"{job.id} leans on an approval that its profile does not ask for")
        _version_agreed(picture, ledger, job.profile, job.profile_version)
        return
    _approved(picture, ledger, job, needed)


def _approved(picture: Picture, ledger: Ledger, job: JobRow, needed: int) -> None:
    approval = picture.approvals.get(job.approval or "")
    _demand(approval is not None, f"{job.id} has no approval")
    assert approval is not None
    _demand(approval.status == "approved", f"the approval of {job.id} is {approval.status}")
    _demand(approval.digest == job.approval_digest, f"the approval of {job.id} was given for something else")
    said = [(who, verdict) for of, who, verdict in ledger.words if of == approval.id]
    _demand(all(verdict == "approve" for _, verdict in said), f"somebody refused {job.id}")
    agreed = {who for who, _ in said} - ledger.lines[job.id]
    _demand(len(agreed) >= needed, f"{len(agreed)} of {needed} persons agreed to {job.id}")


def _version_agreed(picture: Picture, ledger: Ledger, profile: str, version: int) -> None:
    """A version that asks nobody, after one that asked somebody, was itself agreed to."""
    if version == 1 or not (needed := picture.approvers(profile, version - 1)):
        return
    for job in picture.jobs.values():
        proposed = sha256(picture.versions[profile, version].encode()).hexdigest()
        if (
            job.kind == "change_profile"
            and (job.profile, job.profile_version, job.digest) == (profile, version - 1, proposed)
            and job.status == "completed"
        ):
            _approved(picture, ledger, job, needed)
            return
    raise Violation(f"version {version} of {profile} asks nobody, and nobody agreed to that")


def _certificate(picture: Picture, ledger: Ledger, row: CertificateRow) -> None:
    job = picture.jobs[row.job]
    entitled(picture, ledger, job)
    _demand((row.tbs, row.job) in ledger.signed, f"certificate {row.serial} was never signed here")
    _demand(job.tbs == row.tbs and job.serial == row.serial, f"certificate {row.serial} was not intended")
    _demand(row.approval == job.approval, f"certificate {row.serial} names another approval")
    pinned = row.profile, row.profile_version
    _demand(pinned == (job.profile, job.profile_version), f"certificate {row.serial} names another profile")


def check_content(job: JobRow, row: CertificateRow) -> None:
    """Raise Violation unless the certificate says what the request asked: its names and its key."""
    parsed = x509.load_der_x509_certificate(row.der)
    request = x509.load_der_x509_csr(job.body)
    _demand(parsed.public_key() == request.public_key(), "the certificate is for another key")
    names = [
        frozenset(san.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
        for san in (parsed, request)
    ]
    _demand(names[0] == names[1], "the certificate is for other names")
    _demand(
        sha256(parsed.tbs_certificate_bytes).hexdigest() == row.tbs,
        "the certificate is not what was intended",
    )
    _demand(f"{parsed.serial_number:x}" == row.serial, "the certificate has another serial")


def _job(picture: Picture, ledger: Ledger, job: JobRow) -> None:
    if job.kind == "issue":
        _demand((job.status == "completed") == job.issued, f"{job.id} is {job.status} and has {job.issued=}")
        gated = picture.approvers(job.profile, job.profile_version) > 0
        _demand(job.gated == gated, f"{job.id} is not stamped as its profile says")
    if job.approval is None:
        return
    status = picture.approvals[job.approval].status
    if status in {"rejected", "expired"}:
        _demand(job.status == "cancelled", f"{job.id} is {job.status} on an approval that is {status}")
    elif status == "pending":
        _demand(job.status in {"awaiting_approval", "cancelled"}, f"{job.id} is {job.status}, undecided")
    else:
        _demand(job.status != "awaiting_approval", f"{job.id} waits for an approval that was given")
    if job.id in ledger.withdrawn:
        others = [j for j in picture.jobs.values() if j.approval == job.approval and j.status != "cancelled"]
        _demand(not others, f"{job.id} was withdrawn, and another job leans on its approval")


def _reachable(moves: dict[str, set[str]], start: str) -> set[str]:
    found, todo = {start}, [start]
    while todo:
        new = moves[todo.pop()] - found
        found |= new
        todo += new
    return found


def _once(counts: "Counter[str]", what: str) -> None:
    for key, count in counts.items():
        _demand(count == 1, f"{count} {what}: {key}")


def _demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Violation(otherwise)
