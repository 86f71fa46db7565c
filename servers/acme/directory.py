"""The directory and new nonces (RFC 8555 sections 7.1.1, 7.2)."""

from policy.acme.offers import offered
from servers.acme.answers import answer
from servers.acme.front import AcmeFront, Asked, Signed
from servers.web.answer import Answer
from servers.web.strict_json import JsonObject
from store.ids import ProfileName


class DirectoryResources:
    """The handlers."""

    def __init__(self, front: AcmeFront) -> None:
        self._front = front
        self._services = front.services
        self._urls = front.urls

    async def directory(self, asked: Asked) -> Answer:
        """GET the directory of a profile, or of the default one."""
        name = asked.profile
        _, profile = await self._services.database.read(
            lambda tx: offered(tx, self._services.cache, ProfileName(name))
        )
        meta: JsonObject = {}
        said = self._services.meta
        if said.terms_of_service:
            meta["termsOfService"] = said.terms_of_service
        if said.website:
            meta["website"] = said.website
        if said.caa_identities:
            meta["caaIdentities"] = list(said.caa_identities)
        if profile.acme.external_account_required:
            meta["externalAccountRequired"] = True
        body: JsonObject = {
            "newNonce": self._urls.resource(name, "new-nonce"),
            "newAccount": self._urls.resource(name, "new-account"),
            "newOrder": self._urls.resource(name, "new-order"),
            "revokeCert": self._urls.resource(name, "revoke-cert"),
            "keyChange": self._urls.resource(name, "key-change"),
            "meta": meta,
        }
        return answer(body)

    async def posted_directory(self, signed: Signed) -> Answer:
        """POST-as-GET, which section 6.3 wants beside GET."""
        signed.expect_empty()
        return await self.directory(signed.asked)

    async def new_nonce(self, asked: Asked) -> Answer:
        """HEAD answers 200, GET and POST-as-GET 204, all with a nonce that no cache keeps."""
        return Answer(status=200 if asked.request.method == "HEAD" else 204)

    async def posted_new_nonce(self, signed: Signed) -> Answer:
        """POST-as-GET, as for the directory."""
        signed.expect_empty()
        return await self.new_nonce(signed.asked)
