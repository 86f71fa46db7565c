"""Names for rows: ids that sort by the time they were made and cannot be mixed up by type."""

import secrets
from typing import Final, NewType

from store.clock import Millis

PrincipalId = NewType("PrincipalId", str)
CredentialId = NewType("CredentialId", str)
RequestId = NewType("RequestId", str)
JobId = NewType("JobId", str)
ApprovalId = NewType("ApprovalId", str)
AccountId = NewType("AccountId", str)
OrderId = NewType("OrderId", str)
AuthorizationId = NewType("AuthorizationId", str)
ProfileName = NewType("ProfileName", str)
IssuerName = NewType("IssuerName", str)
Serial = NewType("Serial", int)

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"  # no i l o u: ids are read aloud on call
_RANDOM_BITS: Final = 50
_CHARACTERS: Final = 20


def new_id(now: Millis) -> str:
    """Twenty characters: ten of time, so that new rows go to the end of an index, ten of chance."""
    number = (now << _RANDOM_BITS) | secrets.randbits(_RANDOM_BITS)
    return "".join([_ALPHABET[(number >> shift) & 31] for shift in range(5 * (_CHARACTERS - 1), -1, -5)])
