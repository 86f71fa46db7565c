"""What has to be true of the rows, whatever the server lived through. Each finding is a sentence; none is good."""

from collections import Counter
from collections.abc import Callable, Iterator
from hashlib import sha256
from itertools import chain
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from tests.end_to_end.load import Ledger

Rows = Callable[[str], list[tuple[Any, ...]]]
"""What a query finds in the server's database."""

CHECKS = (
    "every order that was told `valid` has the certificate that was downloaded, and its job is completed",
    "every certificate has its row, its request, its job and its intent, and the issuer signed just that",
    "no serial was used twice, and no key signed what it had not said before",
    "no certificate of a gated profile was issued without its approval",
    "no order is stuck: every job that was begun is completed, and none was begun twice",
)


def violations(rows: Rows, ledger: Ledger) -> list[str]:
    """Everything that is not as CHECKS says, once all orders were seen through."""
    return list(chain(_told(rows, ledger), _whole(rows), _unique(rows), _approved(rows), _settled(rows)))


def _told(rows: Rows, ledger: Ledger) -> Iterator[str]:
    found = rows(
        "SELECT o.id, c.der, j.status FROM acme_orders o"
        " JOIN jobs j ON j.id = o.job_id JOIN certificates c ON c.job_id = j.id"
    )
    there = {order: (der, status) for order, der, status in found}
    for url in ledger.valid:
        order = url.rpartition("/")[2]
        der, status = there.get(order, (None, None))
        if der is None:
            yield f"order {order} was told valid and has no certificate"
        elif status != "completed":
            yield f"order {order} was told valid and its job is {status}"
        elif ledger.downloaded.get(url, der) != der:
            yield f"order {order} has another certificate than the one that was downloaded"


def _whole(rows: Rows) -> Iterator[str]:
    issuer = x509.load_der_x509_certificate(rows("SELECT certificate FROM issuers")[0][0])
    found = rows(
        "SELECT c.serial, c.der, c.tbs_sha256, c.fence, i.serial, i.tbs_sha256, j.status, j.fence, r.id"
        " FROM certificates c LEFT JOIN jobs j ON j.id = c.job_id LEFT JOIN intents i ON i.job_id = c.job_id"
        " LEFT JOIN requests r ON r.id = c.request_id AND r.id = j.request_id"
    )
    for serial, der, tbs, fence, intended, intended_tbs, status, job_fence, request in found:
        leaf = x509.load_der_x509_certificate(der)
        signed = sha256(leaf.tbs_certificate_bytes).hexdigest()
        if not _signed_by(leaf, issuer):
            yield f"certificate {serial} was not signed by the issuer"
        if (f"{leaf.serial_number:x}", signed) != (serial, tbs):
            yield f"certificate {serial} is not what its row says"
        if (intended, intended_tbs) != (serial, tbs):
            yield f"certificate {serial} has no intent, or another"
        if (status, job_fence) != ("completed", fence):
            yield f"certificate {serial} has no job that was completed under its fencing number"
        if request is None:
            yield f"certificate {serial} has no request that is its job's"


def _signed_by(leaf: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        leaf.verify_directly_issued_by(issuer)
    except (ValueError, InvalidSignature):
        return False
    return True


def _unique(rows: Rows) -> Iterator[str]:
    leaves = [x509.load_der_x509_certificate(der) for (der,) in rows("SELECT der FROM certificates")]
    for serial, times in Counter(leaf.serial_number for leaf in leaves).items():
        if times > 1:
            yield f"serial {serial:x} is in {times} certificates"
    # What was intended was issued in the end, under the serial that it was given first.
    for (serial,) in rows("SELECT serial FROM intents EXCEPT SELECT serial FROM certificates"):
        yield f"serial {serial} was intended and never issued"


def _approved(rows: Rows) -> Iterator[str]:
    found = rows(
        "SELECT j.id, a.status FROM certificates c JOIN jobs j ON j.id = c.job_id"
        " LEFT JOIN approvals a ON a.id = j.approval_id WHERE j.gated AND a.status IS NOT 'approved'"
    )
    for job, status in found:
        yield f"job {job} is gated and was completed with its approval {status}"


def _settled(rows: Rows) -> Iterator[str]:
    for job, status in rows("SELECT id, status FROM jobs WHERE kind = 'issue' AND status <> 'completed'"):
        yield f"job {job} is {status}"
    # A finalize whose answer was lost was asked again: one job for each order, not two.
    lonely = rows(
        "SELECT j.id FROM jobs j JOIN requests r ON r.id = j.request_id LEFT JOIN acme_orders o ON o.job_id = j.id"
        " WHERE r.account_id NOTNULL AND o.id IS NULL"
    )
    for (job,) in lonely:
        yield f"job {job} was asked for by an account and belongs to no order"
