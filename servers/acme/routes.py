"""The table of ACME resources, and the way to them."""

import asyncio
from collections.abc import Mapping
from typing import Final

from aiohttp import web

from servers.acme.accounts import AccountResources
from servers.acme.authorizations import AuthorizationResources
from servers.acme.directory import DirectoryResources
from servers.acme.front import AcmeFront, Asked, Handler
from servers.acme.orders import OrderResources
from servers.acme.problems import AcmeProblem, ProblemType
from servers.acme.revocations import RevocationResource
from servers.acme.services import AcmeServices
from servers.web.answer import Answer
from servers.web.body import encourage
from servers.web.paths import Found, Paths

# Whatever does not look like one of ours is not looked up: it answers 404 without asking the database.
_ID: Final = "[0-9a-f]{1,64}"
_PARAMETERS: Final = {
    "profile": "[A-Za-z0-9-]{1,63}",  # small letters alone in fact; people write them as they like
    "account": _ID,
    "order": _ID,
    "authorization": _ID,
    "method": "[a-z0-9-]{1,32}",
}
_NOTHING: Final[Found[Handler]] = Found("", {}, {})
_DIRECTORIES: Final = ("/acme/directory", "/acme/{profile}/directory")


class AcmeRealm:
    """Everything below `/acme/`, and below the path of the external address if it has one."""

    def __init__(self, services: AcmeServices) -> None:
        self._front = AcmeFront(services)
        self._paths = Paths(_table(self._front), _PARAMETERS)
        self.owns = self._front.urls.is_below

    async def answer(self, request: web.Request, path: str) -> Answer:
        """The answer, a problem document if need be."""
        front = self._front
        found = self._paths.find(front.urls.without_prefix(path)) or _NOTHING
        named = found.parameters.get("profile")
        asked = Asked(
            request, found.parameters, front.services.default_profile if named is None else named.lower()
        )
        handler = found.handlers.get(request.method)
        try:
            await encourage(request)
            response = await (handler or _refuse(found.handlers))(asked)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - nothing leaves without being a problem document
            response = front.answer_to(error, path)
        front.finish(asked, response, directory=found.template in _DIRECTORIES)
        response.route = "" if handler is None else found.template
        return response


def _refuse(handlers: Mapping[str, Handler]) -> Handler:
    """The handler where there is none for the method, or no resource at all."""

    async def refuse(asked: Asked) -> Answer:
        if not handlers:
            raise AcmeProblem(ProblemType.MALFORMED, "there is no such resource", status=404)
        to_read = ", also to read it" if asked.request.method == "GET" else ""
        words, allowed = f"this resource is asked for by POST{to_read}", ", ".join(sorted(handlers))
        raise AcmeProblem(ProblemType.MALFORMED, words, status=405, headers={"Allow": allowed})

    return refuse


def _table(front: AcmeFront) -> dict[str, dict[str, Handler]]:
    directory, accounts = DirectoryResources(front), AccountResources(front)
    orders, authorizations = OrderResources(front), AuthorizationResources(front)
    gets = dict.fromkeys(_DIRECTORIES, (directory.directory, directory.posted_directory))
    gets["/acme/{profile}/new-nonce"] = directory.new_nonce, directory.posted_new_nonce
    posts = {
        "/acme/{profile}/new-account": front.by_key(accounts.new_account),
        "/acme/{profile}/new-order": front.by_account(orders.new_order),
        "/acme/{profile}/revoke-cert": front.by_either(RevocationResource(front).revoke),
        "/acme/{profile}/key-change": front.by_account(accounts.key_change),
        "/acme/acct/{account}": front.by_account(accounts.account),
        "/acme/acct/{account}/orders": front.by_account(accounts.orders),
        "/acme/order/{order}": front.by_account(orders.order),
        "/acme/order/{order}/finalize": front.by_account(orders.finalize),
        "/acme/cert/{order}": front.by_account(orders.certificate),
        "/acme/authz/{authorization}": front.by_account(authorizations.authorization),
        "/acme/chall/{authorization}/{method}": front.by_account(authorizations.challenge),
    }
    table = {
        path: {"GET": got, "HEAD": got, "POST": front.by_account(posted)}
        for path, (got, posted) in gets.items()
    }
    return table | {path: {"POST": handler} for path, handler in posts.items()}
