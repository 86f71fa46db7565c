"""The table of ACME resources."""

from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from servers.acme.accounts import AccountResources
from servers.acme.authorizations import AuthorizationResources
from servers.acme.directory import DirectoryResources
from servers.acme.front import AcmeFront
from servers.acme.orders import OrderResources
from servers.acme.revocations import RevocationResource
from servers.acme.services import AcmeServices

# Whatever does not look like one of ours is not looked up: it answers 404 without asking the database.
_PROFILE: Final = (
    "{profile:[A-Za-z0-9-]{1,63}}"  # small letters alone in fact; people write them as they like
)
_ID: Final = ":[0-9a-f]{1,64}}"


def add_routes(app: web.Application, services: AcmeServices) -> None:
    """Serve ACME from `app` below `/acme`, and below the path of the external address if it has one."""
    front = AcmeFront(services)
    table = _table(front)
    for prefix in {"", front.urls.prefix}:
        for method, path, handler in table:
            app.router.add_route(method, prefix + path, handler)

    @web.middleware
    async def acme(request: web.Request, handler: Handler) -> web.StreamResponse:
        if front.urls.is_below(request.path):
            return await front.middleware(request, handler)
        return await handler(request)

    async def decorate(request: web.Request, response: web.StreamResponse) -> None:
        # A signal and not the middleware: what the framework refuses before any middleware passes here, too.
        if front.urls.is_below(request.path):
            front.decorate(request, response)

    app.middlewares.append(acme)
    app.on_response_prepare.append(decorate)


def _table(front: AcmeFront) -> list[tuple[str, str, Handler]]:
    directory, accounts = DirectoryResources(front), AccountResources(front)
    orders, authorizations = OrderResources(front), AuthorizationResources(front)
    found: list[tuple[str, str, Handler]] = []
    for path in ("/acme/directory", f"/acme/{_PROFILE}/directory"):
        found += [("GET", path, directory.directory), ("HEAD", path, directory.directory)]
        found += [("POST", path, front.by_account(directory.posted_directory))]
    path = f"/acme/{_PROFILE}/new-nonce"
    found += [("GET", path, directory.new_nonce), ("HEAD", path, directory.new_nonce)]
    posts = {
        f"/acme/{_PROFILE}/new-nonce": front.by_account(directory.posted_new_nonce),
        f"/acme/{_PROFILE}/new-account": front.by_key(accounts.new_account),
        f"/acme/{_PROFILE}/new-order": front.by_account(orders.new_order),
        f"/acme/{_PROFILE}/revoke-cert": front.by_either(RevocationResource(front).revoke),
        f"/acme/{_PROFILE}/key-change": front.by_account(accounts.key_change),
        f"/acme/acct/{{account{_ID}": front.by_account(accounts.account),
        f"/acme/acct/{{account{_ID}/orders": front.by_account(accounts.orders),
        f"/acme/order/{{order{_ID}": front.by_account(orders.order),
        f"/acme/order/{{order{_ID}/finalize": front.by_account(orders.finalize),
        f"/acme/cert/{{order{_ID}": front.by_account(orders.certificate),
        f"/acme/authz/{{authorization{_ID}": front.by_account(authorizations.authorization),
        f"/acme/chall/{{authorization{_ID}/{{method:[a-z0-9-]{{1,32}}}}": front.by_account(
            authorizations.challenge
        ),
    }
    return found + [("POST", path, handler) for path, handler in posts.items()]
