"""What monitors ask: is the process alive, may it get traffic, what has it counted."""

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from servers.web.metrics import CONTENT_TYPE, Metrics
from servers.web.problem import render
from servers.web.strict_json import JsonObject

Check = Callable[[], Awaitable[str | None]]
"""None when all is well, else what is wrong, in words that may be public."""


def add_health(app: web.Application, checks: Mapping[str, Check], metrics: Metrics | None) -> None:
    """Serve /healthz, /readyz and, with `metrics`, /metrics."""

    async def alive(_request: web.Request) -> web.Response:
        return _json({"status": "ok"}, 200)

    async def ready(_request: web.Request) -> web.Response:
        found: JsonObject = {name: (await check()) or "ok" for name, check in checks.items()}
        good = all(word == "ok" for word in found.values())
        return _json({"status": "ok" if good else "not ready", "checks": found}, 200 if good else 503)

    app.router.add_get("/healthz", alive)
    app.router.add_get("/readyz", ready)
    if metrics is not None:
        kept = metrics

        async def scrape(_request: web.Request) -> web.Response:
            return web.Response(body=kept.render(), headers={"Content-Type": CONTENT_TYPE})

        app.router.add_get("/metrics", scrape)


def _json(value: JsonObject, status: int) -> web.Response:
    return web.Response(
        body=render(value),
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
