"""Why an ACME request is turned down once its envelope was good, one family.

`servers.acme.refusals` has the family for the envelope; `servers.acme.problems` and
`servers.acme.answers` say which problem document each becomes.
"""

from policy.reasons import Reason


class AcmeRefused(Exception):
    """The request is refused and nothing was stored. The message is for the client's user."""


class NotFound(AcmeRefused):
    """There is no such object."""


class NotAllowed(AcmeRefused):
    """The account may not do this to that object."""


class NoSuchAccount(AcmeRefused):
    """No account has this key (RFC 8555 section 7.3.1)."""


class AccountEnded(AcmeRefused):
    """The account was deactivated or revoked (RFC 8555 section 7.3.6)."""


class KeyTaken(AcmeRefused):
    """Another account has the key (RFC 8555 section 7.3.5)."""

    def __init__(self, account_id: str) -> None:
        super().__init__("another account has this key")
        self.account_id = account_id


class KeyNotFresh(AcmeRefused):
    """The key is, or was, good for something else: each account has a key of its own (RFC 8555 section 11.1)."""


class ContactRefused(AcmeRefused):
    """A contact is not an address that this CA would write to."""


class ContactUnsupported(ContactRefused):
    """A contact is of a scheme other than mailto (RFC 8555 section 7.3)."""


class ExternalAccountRequired(AcmeRefused):
    """The profile wants accounts that are bound to a key which an operator handed out (section 7.3.4)."""


class ExternalAccountRefused(AcmeRefused):
    """The external account key is unknown, used up, expired, revoked, or not for this."""


class IdentifiersRefused(AcmeRefused):
    """The profile does not allow these names or dates."""

    def __init__(self, reasons: tuple[Reason, ...]) -> None:
        super().__init__("; ".join(reason.words for reason in reasons))
        self.reasons = reasons


class AuthorizationEnded(AcmeRefused):
    """Nothing can be done with the authorization any more."""


class OrderNotReady(AcmeRefused):
    """The order cannot be finalized now (RFC 8555 section 7.4)."""


class RequestRefused(AcmeRefused):
    """The certification request cannot be granted."""

    def __init__(self, reasons: tuple[Reason, ...]) -> None:
        super().__init__("; ".join(reason.words for reason in reasons))
        self.reasons = reasons
