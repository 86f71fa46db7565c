"""Where the resources live. One place makes these URLs, one place takes them apart."""

from typing import Final
from urllib.parse import urlsplit

from store.ids import AccountId

ROOT: Final = "/acme/"
ACCOUNT_PATH: Final = "/acme/acct/"


class Urls:
    """URLs below one external address. Ids are of our own making: nothing in them needs quoting.

    The external address may have a path (`https://pki.example/ca`). A proxy in front takes that off or leaves it on;
    `prefix` is what it may have left on.
    """

    __slots__ = ("_account_prefix", "base", "prefix")

    def __init__(self, external_url: str) -> None:
        self.base = external_url.rstrip("/")
        self.prefix = urlsplit(self.base).path
        self._account_prefix = self.base + ACCOUNT_PATH

    def requested(self, target: str) -> str:
        """The URL that clients know a request target by, whatever the proxy made of it and whatever Host says."""
        if not target.startswith("/"):  # absolute form, RFC 9112 section 3.2.2
            parts = urlsplit(target)
            target = parts.path + (f"?{parts.query}" if parts.query else "")
        return self.base + self.without_prefix(target)

    def without_prefix(self, path: str) -> str:
        """A path as the table of resources knows it."""
        if self.prefix and path.startswith(self.prefix + ROOT):
            return path[len(self.prefix) :]
        return path

    def is_below(self, path: str) -> bool:
        """Whether a path is in the realm of ACME."""
        return path.startswith(ROOT) or (bool(self.prefix) and path.startswith(self.prefix + ROOT))

    def resource(self, profile: str, name: str) -> str:
        """A resource of the directory of one profile."""
        return f"{self.base}/acme/{profile}/{name}"

    def account(self, account_id: str) -> str:
        return self._account_prefix + account_id

    def orders(self, account_id: str) -> str:
        return f"{self._account_prefix}{account_id}/orders"

    def order(self, order_id: str) -> str:
        return f"{self.base}/acme/order/{order_id}"

    def finalize(self, order_id: str) -> str:
        return f"{self.base}/acme/order/{order_id}/finalize"

    def certificate(self, order_id: str) -> str:
        return f"{self.base}/acme/cert/{order_id}"

    def authorization(self, authorization_id: str) -> str:
        return f"{self.base}/acme/authz/{authorization_id}"

    def challenge(self, authorization_id: str, method: str) -> str:
        return f"{self.base}/acme/chall/{authorization_id}/{method}"

    def account_of(self, kid: str) -> AccountId | None:
        """The account that a `kid` names, if it is one of our account URLs."""
        if not kid.startswith(self._account_prefix):
            return None
        account_id = kid[len(self._account_prefix) :]
        return AccountId(account_id) if account_id.isalnum() else None
