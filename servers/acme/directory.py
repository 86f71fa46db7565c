"""The directory and new nonces (RFC 8555 sections 7.1.1, 7.2)."""

from aiohttp import web

from policy.profile_cache import ProfileUnreadable
from servers.acme.answers import answer
from servers.acme.front import AcmeFront
from servers.acme.problems import AcmeProblem, ProblemType
from servers.web.strict_json import JsonObject
from store.clock import to_datetime
from store.ids import ProfileName


class DirectoryResources:
    """The handlers."""

    def __init__(self, front: AcmeFront) -> None:
        self._services = front.services
        self._urls = front.urls

    async def directory(self, request: web.Request) -> web.StreamResponse:
        """GET the directory of a profile, or of the default one."""
        name = request.match_info.get("profile", self._services.default_profile)
        try:
            _, profile = await self._services.database.read(
                lambda tx: self._services.cache.current(tx, ProfileName(name))
            )
        except ProfileUnreadable:
            raise AcmeProblem(ProblemType.MALFORMED, "there is no such profile", status=404) from None
        if not profile.acme.enabled:
            raise AcmeProblem(ProblemType.MALFORMED, "this profile is not offered over ACME", status=404)
        meta: JsonObject = {}
        offered = self._services.meta
        if offered.terms_of_service:
            meta["termsOfService"] = offered.terms_of_service
        if offered.website:
            meta["website"] = offered.website
        if offered.caa_identities:
            meta["caaIdentities"] = list(offered.caa_identities)
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

    async def new_nonce(self, request: web.Request) -> web.StreamResponse:
        """HEAD answers 200, GET 204, both with a nonce that no cache keeps."""
        nonce = self._services.nonces.fresh(to_datetime(self._services.clock()))
        return web.Response(status=200 if request.method == "HEAD" else 204, headers={"Replay-Nonce": nonce})
