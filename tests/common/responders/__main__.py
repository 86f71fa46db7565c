"""``python -m tests.common.responders --dns 127.0.0.1:8053 --management 127.0.0.1:8055 [--http01 ..] [--tlsalpn01 ..]``."""

import argparse
import asyncio
import contextlib
import signal

from aiohttp import web

from tests.common.responders import DNSResponder, HTTP01Responder, TLSALPN01Responder, Zone, management_app


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


async def serve(options: argparse.Namespace) -> None:
    """Runs the chosen responders until SIGINT or SIGTERM; prints one line when all of them listen."""
    zone = Zone(default_a=tuple(options.default_a), default_aaaa=tuple(options.default_aaaa))
    http01 = HTTP01Responder(*options.http01) if options.http01 else None
    tlsalpn01 = TLSALPN01Responder(*options.tlsalpn01) if options.tlsalpn01 else None
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        dns = await stack.enter_async_context(DNSResponder(options.dns[0], options.dns[1], zone))
        for responder in (http01, tlsalpn01):
            if responder is not None:
                await stack.enter_async_context(responder)
        runner = web.AppRunner(management_app(zone, http01, tlsalpn01), access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, *options.management)
        await site.start()
        management = runner.addresses[0]
        print(f"dns {dns.address[0]}:{dns.address[1]} management {management[0]}:{management[1]}", flush=True)
        await stop.wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.common.responders", description=__doc__)
    parser.add_argument("--dns", type=_address, default=("127.0.0.1", 8053))
    parser.add_argument("--management", type=_address, default=("127.0.0.1", 8055))
    parser.add_argument("--http01", type=_address)
    parser.add_argument("--tlsalpn01", type=_address)
    parser.add_argument(
        "--default-a", nargs="*", default=["127.0.0.1"], help="addresses of every *.test name"
    )
    parser.add_argument("--default-aaaa", nargs="*", default=[])
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
