"""4.2.1.10, 6.1.3: names lie within what the authorities of the chain are constrained to.

A certificate outside them would be refused by every relying party that looks.
"""

from collections.abc import Sequence

from ca.certificate import Issuer
from ca.lint.tbs import ToBeSigned
from ca.name_constraints import violations


def check(tbs: ToBeSigned, issuer: Issuer) -> Sequence[str]:
    if not issuer.name_constraints:
        return ()
    return list(violations(tbs.subject, tbs.names, issuer.name_constraints))
