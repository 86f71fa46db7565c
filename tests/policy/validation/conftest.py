"""Every asynchronous test here runs on both event loops: the checks use sockets more closely than most code."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
import uvloop

from tests.common.responders import DNSResponder, HTTP01Responder, TLSALPN01Responder
from tests.policy.validation.stage import Stage


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:

        async def enter(responder: Any) -> Any:
            return await stack.enter_async_context(responder)

        yield Stage(
            dns=await enter(DNSResponder()),
            http=await enter(HTTP01Responder()),
            tls=await enter(TLSALPN01Responder()),
        )
