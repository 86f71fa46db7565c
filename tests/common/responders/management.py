"""The management API of the responders: small JSON POSTs that shell hooks of real clients can make with curl.

``POST /set-txt {"host": "_acme-challenge.a.test", "value": "..."}`` adds a value, ``/clear-txt {"host": ...}``
removes them all; the other paths are in `ROUTES`.
"""

import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from tests.common.responders.http01_server import HTTP01Responder
from tests.common.responders.tls_alpn01_server import TLSALPN01Responder
from tests.common.responders.zone import Zone

Action = Callable[[dict[str, Any]], object]


def management_app(
    zone: Zone, http01: HTTP01Responder | None = None, tlsalpn01: TLSALPN01Responder | None = None
) -> web.Application:
    """An aiohttp application over responders that run already."""
    routes: dict[str, Action] = {
        "set-txt": lambda m: zone.add_txt(m["host"], m["value"]),
        "clear-txt": lambda m: zone.clear(m["host"], "TXT"),
        "add-a": lambda m: zone.add(m["host"], "A", *m["addresses"]),
        "clear-a": lambda m: zone.clear(m["host"], "A"),
        "add-aaaa": lambda m: zone.add(m["host"], "AAAA", *m["addresses"]),
        "clear-aaaa": lambda m: zone.clear(m["host"], "AAAA"),
        "set-cname": lambda m: zone.add(m["host"], "CNAME", m["target"].removesuffix(".") + "."),
        "clear-cname": lambda m: zone.clear(m["host"], "CNAME"),
        "add-caa": lambda m: zone.add(m["host"], "CAA", *m["records"]),
        "clear-caa": lambda m: zone.clear(m["host"], "CAA"),
        "set-rcode": lambda m: zone.fail(m["host"], m["rcode"]),
        "set-delay": lambda m: zone.delay(m["host"], float(m["seconds"])),
        "set-silent": lambda m: zone.silence(m["host"]),
        "heal": lambda m: zone.heal(m["host"]),
        "queries": lambda m: [query._asdict() for query in zone.asked(m["host"])],
    }
    if http01 is not None:
        routes["add-http01"] = lambda m: http01.tokens.update({m["token"]: m["content"]})
        routes["del-http01"] = lambda m: http01.tokens.pop(m["token"], None)
    if tlsalpn01 is not None:
        routes["add-tlsalpn01"] = lambda m: tlsalpn01.answer(m["host"], m["content"])
        routes["del-tlsalpn01"] = lambda m: tlsalpn01.forget(m["host"])
    app = web.Application()
    for path, action in routes.items():
        app.router.add_post(f"/{path}", _handler(action))
    return app


def _handler(action: Action) -> Callable[[web.Request], Any]:
    async def handle(request: web.Request) -> web.Response:
        try:
            result = action(json.loads(await request.text()))  # curl -d calls it a form
        except Exception as error:  # noqa: BLE001 - whatever a hook sent, it must hear what is wrong with it
            return web.json_response({"error": f"{type(error).__name__}: {error}"}, status=400)
        return web.json_response(result if isinstance(result, list) else {"ok": True})

    return handle
