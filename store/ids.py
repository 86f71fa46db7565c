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

_RANDOM_BITS: Final = 52


def new_id(now: Millis) -> str:
    """Twenty-four hex digits: eleven of time, so that new rows go to the end of an index, thirteen of chance."""
    return f"{now:011x}{secrets.randbits(_RANDOM_BITS):013x}"
