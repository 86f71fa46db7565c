"""newAccount, accounts, their orders, key change (RFC 8555 sections 7.3, 7.1.2.1)."""

from typing import Final

from aiohttp import web

from policy.acme import accounts, external_accounts
from policy.acme.accounts import KeyMaterial
from policy.acme.refusals import ExternalAccountRefused, KeyTaken, NoSuchAccount, NotAllowed
from servers.acme import jws
from servers.acme.answers import answer
from servers.acme.front import AcmeFront, Signed
from servers.acme.jwk import AccountKey, load_public_jwk, stands_for
from servers.acme.objects import account_object
from servers.acme.problems import AcmeProblem, ProblemType
from servers.acme.refusals import BadSignature, WrongUrl
from servers.web.strict_json import JsonObject, JsonRefused, JsonValue, load_object
from store import acme_accounts, acme_orders
from store.database import Transaction
from store.ids import ProfileName
from store.records import Account, ExternalAccountKey

_PAGE: Final = 100


class AccountResources:
    """The handlers."""

    def __init__(self, front: AcmeFront) -> None:
        self._front = front
        self._services = front.services
        self._urls = front.urls

    async def new_account(self, signed: Signed) -> web.StreamResponse:
        """POST newAccount with jwk: find or create."""
        fields = signed.fields()
        only_existing = _flag(fields, "onlyReturnExisting")
        agreed = _flag(fields, "termsOfServiceAgreed")
        contacts = accounts.check_contacts(_contacts(fields) or ())
        found = await self._services.database.read(lambda tx: acme_accounts.find(tx, signed.key.thumbprint))
        if found is not None:
            return answer(account_object(self._urls, found), location=self._urls.account(found.id))
        if only_existing:
            raise NoSuchAccount("there is no account for this key")
        if self._services.meta.terms_of_service is not None and not agreed:
            raise AcmeProblem(
                ProblemType.USER_ACTION_REQUIRED,
                f"agree to the terms of service first: {self._services.meta.terms_of_service}",
                headers={"Link": f'<{self._services.meta.terms_of_service}>;rel="terms-of-service"'},
            )
        binding = fields.get("externalAccountBinding")
        kid = await self._check_binding(signed, binding)
        account, created = await self._create(signed, contacts, kid, agreed=agreed)
        # Only what was verified is echoed.
        body = account_object(self._urls, account, binding if created and kid is not None else None)
        return answer(body, 201 if created else 200, location=self._urls.account(account.id))

    async def _create(
        self, signed: Signed, contacts: str, kid: str | None, *, agreed: bool
    ) -> tuple[Account, bool]:
        async def work(tx: Transaction) -> tuple[Account, bool]:
            # Looked up again: two requests with one new key may have come at the same moment.
            found = await acme_accounts.find(tx, signed.key.thumbprint)
            if found is not None:
                return found, False
            made = await accounts.create(
                tx,
                material(signed.key),
                contacts,
                terms_agreed=agreed,
                external_kid=kid,
                source=signed.source,
                limits=self._services.limits,
                now=signed.now,
            )
            return made, True

        return await self._services.database.write(work)

    async def _check_binding(self, signed: Signed, binding: JsonValue) -> str | None:
        """The id of the external account key that vouches for this one, verified; None without a binding."""
        if binding is None:
            await self._refuse_if_required(signed)
            return None
        inner = jws.parse_binding(binding)
        assert inner.kid is not None
        kid = inner.kid
        external: ExternalAccountKey = await self._services.database.read(
            lambda tx: external_accounts.usable(tx, kid, signed.now)
        )
        url = self._urls.base + signed.request.raw_path
        try:
            jws.verify_eab(
                inner, self._services.unsealer.unseal(external.sealed_key, f"eab:{kid}"), url, signed.key
            )
        except (BadSignature, WrongUrl) as error:
            raise ExternalAccountRefused(str(error)) from None
        return kid

    async def _refuse_if_required(self, signed: Signed) -> None:
        name = ProfileName(signed.request.match_info["profile"])
        _, profile = await self._services.database.read(lambda tx: self._services.cache.current(tx, name))
        if profile.acme.external_account_required:
            raise AcmeProblem(
                ProblemType.EXTERNAL_ACCOUNT_REQUIRED,
                f"profile {name} takes accounts with an external account binding only: ask the operator for a key",
            )

    async def account(self, signed: Signed) -> web.StreamResponse:
        """POST to an account: read, update, deactivate."""
        owner = self._own(signed)
        if not signed.payload:
            return answer(account_object(self._urls, owner))
        fields = signed.fields()
        status = fields.get("status")
        if status == "deactivated":
            ended = await self._services.database.write(lambda tx: accounts.deactivate(tx, owner, signed.now))
            self._front.accounts.forget(owner.id)
            return answer(account_object(self._urls, ended))
        if status not in (None, owner.status.value):
            raise AcmeProblem(
                ProblemType.MALFORMED, 'the only status an account can be given is "deactivated"'
            )
        wanted = _contacts(fields)
        contacts = owner.contacts if wanted is None else accounts.check_contacts(wanted)
        agreed = _flag(fields, "termsOfServiceAgreed")
        if contacts == owner.contacts and agreed <= owner.terms_agreed:
            return answer(account_object(self._urls, owner))
        updated = await self._services.database.write(
            lambda tx: accounts.update(tx, owner, contacts, terms_agreed=agreed, now=signed.now)
        )
        self._front.accounts.forget(owner.id)
        return answer(account_object(self._urls, updated))

    async def orders(self, signed: Signed) -> web.StreamResponse:
        """POST-as-GET of an account's orders, a page at a time."""
        signed.expect_empty()
        owner = self._own(signed)
        after = signed.request.query.get("after", "")
        found = await self._services.database.read(
            lambda tx: acme_orders.page(tx, owner.id, after, _PAGE + 1)
        )
        response = answer({"orders": [self._urls.order(order_id) for order_id in found[:_PAGE]]})
        if len(found) > _PAGE:
            following = f"{self._urls.orders(owner.id)}?after={found[_PAGE - 1]}"
            response.headers.add("Link", f'<{following}>;rel="next"')
        return response

    async def key_change(self, signed: Signed) -> web.StreamResponse:
        """POST keyChange: the old key signs outside, the new one inside (RFC 8555 section 7.3.5)."""
        owner = signed.owner
        inner = jws.parse_key_change(signed.payload)
        new_key = load_public_jwk(inner.jwk)
        jws.verify(inner, new_key)
        jws.check_url(inner, self._urls.base + signed.request.raw_path)
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
        if signed.request.match_info["account"] != signed.owner.id:
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
