"""dns-01: a digest of the key authorization in a TXT record below the name (RFC 8555 8.4)."""

import base64
import hashlib
import hmac
from typing import Final

from policy.validation.addresses import Check
from policy.validation.dns_client import Outcome
from policy.validation.dns_wire import MalformedMessage, RRType, text_of
from policy.validation.problems import Problem, ValidationFailed, excerpt

LABEL: Final = "_acme-challenge"
_SHOWN_VALUES: Final = 3


def digest_text(key_authorization: str) -> bytes:
    """base64url(SHA-256(key authorization)), 43 characters without padding: the TXT value asked for."""
    return base64.urlsafe_b64encode(hashlib.sha256(key_authorization.encode("ascii")).digest()).rstrip(b"=")


async def check_dns01(check: Check, name: str, key_authorization: str) -> None:
    """Returns when any TXT value at ``_acme-challenge.name`` is the one asked for.

    Base name and wildcard in one order need two values at one name; old ones may lie there too.

    Raises:
        ValidationFailed: ``dns`` without an answer, ``incorrectResponse`` without the right value.
    """
    place = f"{LABEL}.{name.removeprefix('*.')}"
    answer = await check.names.records(place, RRType.TXT, deadline=check.deadline, trail=check.trail)
    if answer.outcome is not Outcome.FOUND:
        raise answer.failure()
    expected = digest_text(key_authorization)
    values = []
    right = False
    for rdata in answer.records:
        try:
            value = text_of(rdata)
        except MalformedMessage:
            continue
        values.append(value)
        right |= hmac.compare_digest(value, expected)
    if right:
        return
    shown = ", ".join(excerpt(value, 48) for value in values[:_SHOWN_VALUES])
    more = f" and {len(values) - _SHOWN_VALUES} more" if len(values) > _SHOWN_VALUES else ""
    via = "" if answer.name == place else f" (through a CNAME to {answer.name})"
    raise ValidationFailed(
        Problem.INCORRECT_RESPONSE,
        f"TXT of {place}{via} is {shown or 'malformed'}{more}; none is the expected {excerpt(expected)}. If it was "
        "just changed, wait until every name server has the new value",
    )
