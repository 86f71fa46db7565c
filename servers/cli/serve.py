"""`certctl serve`: one process of the server, or a supervisor of several."""

import asyncio
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import uvloop
from cyclopts import Parameter

from servers import log
from servers.ceremony import Plan
from servers.cli.init import describe
from servers.cli.options import Place
from servers.cli.output import say
from servers.serve import bind, prepare
from servers.serve import serve as serve_process
from servers.settings import Settings, load_settings
from servers.setup import Made
from servers.supervisor import READY, Supervisor

_HTTP01: Final = 80


def serve(
    *,
    https: str | None = None,
    http: str | None = None,
    processes: int | None = None,
    no_worker: bool = False,
    index: Annotated[int | None, Parameter(show=False)] = None,
    place: Place = Place(),
) -> None:
    """Serve until SIGTERM or Ctrl-C, which let requests under way end. An empty directory becomes a CA first.

    Args:
        https: Address and port for ACME, health and metrics; [server] https.
        http: Address and port for CA certificates in the clear; [server] http.
        processes: How many processes share the two addresses; [server] processes.
        no_worker: Answer clients only. Opens no CA key; some other node has to carry out the jobs.
        index: Which child of a supervisor this is.
    """
    overrides = {"server": {"https": https, "http": http, "processes": processes}}
    settings = load_settings(place.data, overrides=overrides)
    log.configure(settings.log.level, settings.log.format)
    workers = not no_worker
    if index is not None:
        _serve_child(settings, index, workers=workers)
        return
    addresses = settings.server.https, settings.server.http
    sockets = bind(addresses[0], "--https"), bind(addresses[1], "--http")
    made = _run(prepare(settings, Plan(), workers=workers))

    def announce() -> None:
        say(_document(settings, made), as_json=place.json, text=_greeting(settings, made))
        sys.stdout.flush()

    if settings.server.processes == 1:
        _run(serve_process(settings, sockets, workers=workers, ready=announce))
        return
    for sock in sockets:
        sock.close()  # bound only to see that they are free; the children bind them together
    supervisor = Supervisor(
        settings.server.processes,
        lambda number: _child_command(settings, number, workers=workers),
        settings.limits.drain_seconds,
    )
    _run(supervisor.run(announce))


def _serve_child(settings: Settings, index: int, *, workers: bool) -> None:
    sockets = (
        bind(settings.server.https, "--https", shared=True),
        bind(settings.server.http, "--http", shared=True),
    )

    def ready() -> None:
        sys.stdout.buffer.write(READY)
        sys.stdout.flush()

    _run(serve_process(settings, sockets, workers=workers, index=index, follow_stdin=True, ready=ready))


def _child_command(settings: Settings, index: int, *, workers: bool) -> list[str]:
    command = [sys.executable, "-m", "servers.cli", "serve", "--data", str(settings.directory)]
    command += ["--https", str(settings.server.https), "--http", str(settings.server.http)]
    command += ["--processes", str(settings.server.processes)]
    return [*command, "--index", str(index), *([] if workers else ["--no-worker"])]


def _run(work: Any) -> Any:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def certbot_line(settings: Settings, root: Path) -> str:
    """A command that gets a certificate from this server when pasted as it stands."""
    port = settings.acme.http01_port
    words = ["certbot", "certonly", "-n", "--agree-tos", "--register-unsafely-without-email"]
    words += ["--server", f"{settings.external_url}/acme/directory", "--standalone"]
    words += ["--http-01-address", "127.0.0.1", "--http-01-port", str(port), "-d", "localhost"]
    folder = settings.directory / "certbot"
    words += [
        "--config-dir",
        str(folder),
        "--work-dir",
        str(folder / "work"),
        "--logs-dir",
        str(folder / "logs"),
    ]
    line = f"REQUESTS_CA_BUNDLE={shlex.quote(str(root))} {shlex.join(words)}"
    return line if port != _HTTP01 else f"sudo {line}"


def _greeting(settings: Settings, made: Made | None) -> str:
    root = settings.directory / "root.pem"
    # A service manager keeps what a service prints: the token is for a person at a terminal.
    lines = [] if made is None else [describe(made, show_token=sys.stdout.isatty()), ""]
    lines += [
        f"ACME directory    {settings.external_url}/acme/directory",
        f"root certificate  {root}",
        "",
        "a certificate for localhost, with certbot:",
        f"  {certbot_line(settings, root)}",
    ]
    return "\n".join(lines)


def _document(settings: Settings, made: Made | None) -> dict[str, Any]:
    root = settings.directory / "root.pem"
    return {
        "directory": f"{settings.external_url}/acme/directory",
        "root_certificate": str(root),
        "certbot": certbot_line(settings, root),
        "made": made is not None,
    }
