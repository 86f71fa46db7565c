"""Several processes of one server: started, watched, started again when one crashes, stopped together."""

import asyncio
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence
from typing import Final

import structlog

log = structlog.get_logger()
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 30.0
_STEADY: Final = 60.0  # seconds after which a crash is the first one again
READY: Final = b"ready\n"


class DidNotStart(Exception):
    """A process ended before it served; it has said why. `code` is its exit code."""

    def __init__(self, code: int) -> None:
        super().__init__("a process of the server did not start; it says why above")
        self.code: Final = code


class Supervisor:
    """Keeps `count` processes running, each made by `command(index)`.

    A child says READY on its standard output once it serves, and ends when its standard input does: it never
    outlives this process.
    """

    def __init__(self, count: int, command: Callable[[int], Sequence[str]], drain_seconds: float) -> None:
        self._count = count
        self._command = command
        self._drain_seconds = drain_seconds
        self._stopping = asyncio.Event()
        self._unready = count

    async def run(self, ready: Callable[[], None]) -> None:
        """Supervise until SIGTERM or SIGINT; `ready` is called once every child serves. Raises DidNotStart."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        kept = [self._keep(index, ready) for index in range(self._count)]
        outcomes = await asyncio.gather(*kept, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _keep(self, index: int, ready: Callable[[], None]) -> None:
        pause, heard = _FIRST_PAUSE, False
        loop = asyncio.get_running_loop()

        def serves() -> None:
            nonlocal heard
            if not heard:
                heard = True
                self._unready -= 1
                if self._unready == 0:
                    ready()

        while not self._stopping.is_set():
            began = loop.time()
            # Its own session: Ctrl-C reaches this process only, which passes it on in order.
            child = await asyncio.create_subprocess_exec(
                *self._command(index), stdin=PIPE, stdout=PIPE, start_new_session=True
            )
            listening = asyncio.ensure_future(_listen(child, serves))
            code = await self._wait(child)
            await listening
            if self._stopping.is_set():
                return
            if not heard:
                # It never served: a setting, a key, an address. Trying again would only say so again.
                self._stopping.set()
                raise DidNotStart(code)
            pause = _FIRST_PAUSE if loop.time() - began > _STEADY else min(pause * 2, _LONGEST_PAUSE)
            log.error("process.ended", index=index, code=code, again_in=pause)
            try:
                async with asyncio.timeout(pause):
                    await self._stopping.wait()
            except TimeoutError:
                continue

    async def _wait(self, child: Process) -> int:
        """The code with which the child ended, by itself or because everything stops."""
        ended = asyncio.ensure_future(child.wait())
        stopping = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait([ended, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not ended.done():
            child.send_signal(signal.SIGTERM)
            _, late = await asyncio.wait([ended], timeout=self._drain_seconds * 2 + 15)
            if late:
                log.error("process.killed", pid=child.pid)
                child.kill()
        return await ended


async def _listen(child: Process, serves: Callable[[], None]) -> None:
    """Call `serves` when the child says that it does; read on until it ends."""
    assert child.stdout is not None
    async for line in child.stdout:
        if line == READY:
            serves()
