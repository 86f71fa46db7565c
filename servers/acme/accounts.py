"""newAccount, accounts, their orders, key change (RFC 8555 sections 7.3, 7.1.2.1)."""

import re
from typing import Final

from policy.acme import accounts, external_accounts, orders
from policy.acme.accounts import KeyMaterial
from policy.acme.external_keys import purpose
from policy.acme.offers import offered
from policy.acme.refusals import (
    AccountEnded,
    ExternalAccountRefused,
    ExternalAccountRequired,
    KeyTaken,
    NoSuchAccount,
    NotAllowed,
    NotFound,
)
from servers.acme import jws
from servers.acme.answers import answer
from servers.acme.front import AcmeFront, Signed
from servers.acme.jwk import AccountKey, load_public_jwk, stands_for
from servers.acme.objects import account_object
from servers.acme.problems import AcmeProblem, ProblemType
from servers.acme.refusals import BadSignature, WrongUrl
from servers.web.answer import Answer
from servers.web.strict_json import JsonObject, JsonRefused, JsonValue, load_object
from store import acme_accounts
from store.ids import ProfileName
from store.records import Account, AccountStatus, ExternalAccountKey

PAGE: Final = 100
_BEHIND: Final = re.compile("[0-9a-f]{0,64}")


class AccountResources:
    """The handlers."""

    def __init__(self, front: AcmeFront) -> None:
        self._front = front
        self._services = front.services
        self._urls = front.urls

    async def new_account(self, signed: Signed) -> Answer:
        """POST newAccount with jwk: find or create. What is asked of an account that exists is ignored (7.3.1)."""
        fields = signed.fields()
        found = await self._services.database.read(lambda tx: acme_accounts.find(tx, signed.key.thumbprint))
        if found is not None:
            return self._existing(found)
        if _flag(fields, "onlyReturnExisting"):
            raise NoSuchAccount("there is no account for this key")
        contacts = accounts.check_contacts(_contacts(fields) or ())
        agreed = self._check_terms(fields)
        name = ProfileName(signed.asked.profile)
        _, profile = await self._services.database.read(lambda tx: offered(tx, self._services.cache, name))
        binding = fields.get("externalAccountBinding")
        if binding is None and profile.acme.external_account_required:
            raise ExternalAccountRequired(
                f"profile {name} takes accounts with an external account binding only: ask the operator for a key"
            )
        kid = None if binding is None else await self._check_binding(signed, binding, name)
        account, created = await self._create(signed, contacts, kid, name, agreed=agreed)
        if not created:
            return self._existing(account)
        # Only what was verified is echoed.
        body = account_object(self._urls, account, None if kid is None else binding)
        return answer(body, 201, location=self._urls.account(account.id))

    def _existing(self, found: Account) -> Answer:
        if found.status is not AccountStatus.VALID:
            raise AccountEnded(f"the account of this key is {found.status}, for good: use a new key")
        return answer(account_object(self._urls, found), location=self._urls.account(found.id))

    def _check_terms(self, fields: JsonObject) -> bool:
        """Whether the client agrees to the terms of service, without which there is no account where there are terms."""
        agreed = _flag(fields, "termsOfServiceAgreed")
        terms = self._services.meta.terms_of_service
        if terms and not agreed:
            raise AcmeProblem(
                ProblemType.USER_ACTION_REQUIRED,
                f"agree to the terms of service first: {terms}",
                instance=terms,
                headers={"Link": f'<{terms}>;rel="terms-of-service"'},
            )
        return agreed

    async def _create(
        self, signed: Signed, contacts: str, kid: str | None, profile: ProfileName, *, agreed: bool
    ) -> tuple[Account, bool]:
        return await self._services.database.write(
            lambda tx: accounts.find_or_create(
                tx,
                material(signed.key),
                contacts,
                terms_agreed=agreed,
                external_kid=kid,
                profile=profile,
                source=signed.source,
                limits=self._services.limits,
                now=signed.now,
            )
        )

    async def _check_binding(self, signed: Signed, binding: JsonValue, profile: ProfileName) -> str:
        """The id of the external account key that vouches for this one, verified."""
        inner = jws.parse_binding(binding)
        assert inner.kid is not None
        kid = inner.kid
        external: ExternalAccountKey = await self._services.database.read(
            lambda tx: external_accounts.usable(tx, kid, profile, signed.now)
        )
        mac_key = self._services.unsealer.unseal(external.sealed_key, purpose(kid))
        try:
            jws.verify_eab(inner, mac_key, signed.url, signed.key)
        except (BadSignature, WrongUrl) as error:
            raise ExternalAccountRefused(str(error)) from None
        return kid

    async def account(self, signed: Signed) -> Answer:
        """POST to an account: read, deactivate, or give it other contacts. Every other member is ignored (7.3.2)."""
        owner = self._own(signed)
        if not signed.payload:
            return answer(account_object(self._urls, owner))
        fields = signed.fields()
        if fields.get("status") == AccountStatus.DEACTIVATED.value:
            ended = await self._services.database.write(lambda tx: accounts.deactivate(tx, owner, signed.now))
            self._front.accounts.forget(owner.id)
            return answer(account_object(self._urls, ended))
        wanted = _contacts(fields)
        contacts = owner.contacts if wanted is None else accounts.check_contacts(wanted)
        if contacts == owner.contacts:
            return answer(account_object(self._urls, owner))
        updated = await self._services.database.write(
            lambda tx: accounts.update(tx, owner, contacts, signed.now)
        )
        self._front.accounts.forget(owner.id)
        return answer(account_object(self._urls, updated))

    async def orders(self, signed: Signed) -> Answer:
        """POST-as-GET of an account's orders, a page at a time (section 7.1.2.1)."""
        signed.expect_empty()
        owner = self._own(signed)
        behind = signed.asked.request.query.get("after", "")
        if not _BEHIND.fullmatch(behind):
            raise NotFound("there is no such page")
        found, last = await self._services.database.read(
            lambda tx: orders.page(tx, owner, behind, PAGE, signed.now)
        )
        response = answer({"orders": [self._urls.order(order_id) for order_id in found]})
        if last is not None:
            response.add("Link", f'<{self._urls.orders(owner.id)}?after={last}>;rel="next"')
        return response

    async def key_change(self, signed: Signed) -> Answer:
        """POST keyChange: the old key signs outside, the new one inside (RFC 8555 section 7.3.5)."""
        owner = signed.owner
        inner = jws.parse_key_change(signed.payload)
        new_key = load_public_jwk(inner.jwk)
        jws.verify(inner, new_key)
        jws.check_url(inner, signed.url)
        try:
            said = load_object(inner.payload)
        except JsonRefused as error:
            raise AcmeProblem(ProblemType.MALFORMED, f"the inner payload is refused: {error}") from None
        if said.get("account") != self._urls.account(owner.id):
            raise AcmeProblem(ProblemType.MALFORMED, "the inner payload names another account")
        if not stands_for(said.get("oldKey"), signed.key):
            raise AcmeProblem(ProblemType.MALFORMED, "oldKey is not the key of this account")
        if new_key == signed.key:
            raise KeyTaken(owner.id)
        changed = await self._services.database.write(
            lambda tx: accounts.change_key(tx, owner, material(new_key), signed.now)
        )
        self._front.accounts.forget(owner.id)
        return answer(account_object(self._urls, changed), location=self._urls.account(changed.id))

    def _own(self, signed: Signed) -> Account:
        if signed.parameters["account"] != signed.owner.id:
            raise NotAllowed("this is another account")
        return signed.owner


def material(key: AccountKey) -> KeyMaterial:
    """An account key as the tables know it."""
    return KeyMaterial(key.thumbprint, key.jwk, key.spki_sha256)


def _flag(fields: JsonObject, name: str) -> bool:
    value = fields.get(name, False)
    if type(value) is not bool:
        raise AcmeProblem(ProblemType.MALFORMED, f"{name} is true or false")
    return value


def _contacts(fields: JsonObject) -> list[str] | None:
    value = fields.get("contact")
    if value is None:
        return None
    if type(value) is not list or not all(type(contact) is str for contact in value):
        raise AcmeProblem(ProblemType.MALFORMED, "contact is a list of strings")
    return [str(contact) for contact in value]
