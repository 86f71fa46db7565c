"""Authorizations and challenges (RFC 8555 section 7.5)."""

from policy.acme import authorizations
from servers.acme.answers import answer
from servers.acme.front import AcmeFront, Signed
from servers.acme.objects import authorization_object, challenge_object
from servers.acme.problems import AcmeProblem, ProblemType
from servers.web.answer import Answer
from store.ids import AuthorizationId


class AuthorizationResources:
    """The handlers."""

    def __init__(self, front: AcmeFront) -> None:
        self._services = front.services
        self._urls = front.urls

    async def authorization(self, signed: Signed) -> Answer:
        """POST to an authorization: read or deactivate."""
        authorization_id = AuthorizationId(signed.parameters["authorization"])
        if not signed.payload:
            found = await authorizations.load(self._services.database.single, signed.owner, authorization_id)
        elif signed.fields().get("status") == "deactivated":
            found = await self._services.database.write(
                lambda tx: authorizations.deactivate(tx, signed.owner, authorization_id, signed.now)
            )
        else:
            words = 'the only status an authorization can be given is "deactivated"'
            raise AcmeProblem(ProblemType.MALFORMED, words)
        signed.asked.profile = found.profile
        # No Retry-After: some clients would wait that long although the answer is about to come.
        return answer(authorization_object(self._urls, found, signed.now))

    async def challenge(self, signed: Signed) -> Answer:
        """POST to a challenge: with a payload the client is ready (section 7.5.1), without one it asks."""
        authorization_id = AuthorizationId(signed.parameters["authorization"])
        method = signed.parameters["method"]
        found = await authorizations.load(self._services.database.single, signed.owner, authorization_id)
        authorizations.check_offered(found, method)
        if signed.payload:
            signed.fields()  # {} by the RFC; members that we do not know are ignored
            # Usually it takes milliseconds, and the client's next look finds the result.
            wait = self._services.validation_wait
            found = await self._services.attempts.attempt(signed.owner, found, method, wait)
        signed.asked.profile = found.profile
        response = answer(challenge_object(self._urls, found, method))
        response.add("Link", f'<{self._urls.authorization(found.id)}>;rel="up"')
        return response
