"""A certificate says what it is for: never for anything at all, and a TLS server's has a name to check."""

from collections.abc import Sequence
from typing import Final

from ca.certificate import Issuer
from ca.lint.tbs import ToBeSigned

_HOSTS: Final = frozenset({0x82, 0x87})
_MAIL: Final = 0x81


def check(tbs: ToBeSigned, issuer: Issuer) -> Sequence[str]:
    faults = []
    purposes = tbs.extended_key_usage
    if "anyExtendedKeyUsage" in purposes:
        faults.append("anyExtendedKeyUsage allows every purpose")
    kinds = {name.tag for name in tbs.alternative_names}
    if "serverAuth" in purposes and _HOSTS.isdisjoint(kinds):
        faults.append("a TLS server's certificate has a DNS name or an IP address")
    if "emailProtection" in purposes and _MAIL not in kinds:
        faults.append("a mail certificate has a mail address")
    allowed = issuer.extended_key_usage
    if allowed is not None and not allowed.issuperset(purposes or ("anyExtendedKeyUsage",)):
        faults.append(f"the issuer is limited to the purposes {', '.join(sorted(allowed))}")
    return faults
