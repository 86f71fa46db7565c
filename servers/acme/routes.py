"""The table of ACME resources."""

from aiohttp import web
from aiohttp.typedefs import Handler

from servers.acme.accounts import AccountResources
from servers.acme.authorizations import AuthorizationResources
from servers.acme.directory import DirectoryResources
from servers.acme.front import AcmeFront
from servers.acme.orders import OrderResources
from servers.acme.revocations import RevocationResource
from servers.acme.services import AcmeServices


def add_routes(app: web.Application, services: AcmeServices) -> None:
    """Serve ACME from `app` below `/acme`."""
    front = AcmeFront(services)
    directory, accounts = DirectoryResources(front), AccountResources(front)
    orders, authorizations = OrderResources(front), AuthorizationResources(front)
    router = app.router
    router.add_get("/acme/directory", directory.directory, allow_head=False)
    router.add_get("/acme/{profile}/directory", directory.directory, allow_head=False)
    router.add_get("/acme/{profile}/new-nonce", directory.new_nonce)
    router.add_post("/acme/{profile}/new-account", front.by_key(accounts.new_account))
    router.add_post("/acme/{profile}/new-order", front.by_account(orders.new_order))
    router.add_post("/acme/{profile}/revoke-cert", front.by_either(RevocationResource(front).revoke))
    router.add_post("/acme/{profile}/key-change", front.by_account(accounts.key_change))
    router.add_post("/acme/acct/{account}", front.by_account(accounts.account))
    router.add_post("/acme/acct/{account}/orders", front.by_account(accounts.orders))
    router.add_post("/acme/order/{order}", front.by_account(orders.order))
    router.add_post("/acme/order/{order}/finalize", front.by_account(orders.finalize))
    router.add_post("/acme/cert/{order}", front.by_account(orders.certificate))
    router.add_post("/acme/authz/{authorization}", front.by_account(authorizations.authorization))
    router.add_post("/acme/chall/{authorization}/{method}", front.by_account(authorizations.challenge))

    @web.middleware
    async def acme(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/acme/"):
            return await front.middleware(request, handler)
        return await handler(request)

    app.middlewares.append(acme)
