"""Where the resources live. One place makes these URLs, one place takes them apart."""

from store.ids import AccountId

ACCOUNT_PATH = "/acme/acct/"


class Urls:
    """URLs below one external address. Ids are of our own making: nothing in them needs quoting."""

    __slots__ = ("_account_prefix", "base")

    def __init__(self, external_url: str) -> None:
        self.base = external_url.rstrip("/")
        self._account_prefix = self.base + ACCOUNT_PATH

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
