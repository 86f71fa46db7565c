"""The gate: what clients live through when a person has to say yes, says no, or says it after they have gone.

No client knows about approvals. They all know `processing` (RFC 8555 section 7.4), and that is what they are told.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from conformance.acme.client import Asked, Client, ClientFailed, Running
from conformance.acme.judge import Issued, Wrong, judge
from conformance.acme.scenarios import Result
from conformance.acme.stage import Stage, StageBroken

APPROVER: Final = "alice"
PROFILE: Final = "gated"
NOTE: Final = "not before the audit is over"
_ASK_SECONDS: Final = 60.0
SHORT: Final = 5
"""Seconds after which a client is to give up, where it can be told so."""
_LONG: Final = 20
"""Enough for somebody to decide. lego goes on asking about an invalid order until its time is up."""


def questions(stage: Stage, name: str) -> list[str]:
    """The approvals that were ever asked for about this name, oldest first."""
    query = (
        "SELECT DISTINCT a.id FROM approvals a JOIN jobs j ON j.approval_id = a.id"
        " JOIN requests r ON r.id = j.request_id WHERE r.identifiers LIKE ? ORDER BY a.id"
    )
    return [str(row[0]) for row in stage.rows(query, f'%"{name}"%')]


def await_question(stage: Stage, name: str, running: Running, *, after: int = 0) -> str:
    """The approval that is asked for about this name, once there are more than `after`. Raises ClientFailed."""
    until = time.monotonic() + _ASK_SECONDS
    while len(asked := questions(stage, name)) <= after:
        if running.process.poll() is not None or time.monotonic() > until:
            running.stop()
            raise ClientFailed(running.command.arguments, "did not get as far as the question", running.said)
        time.sleep(0.1)
    return asked[-1]


def decide(stage: Stage, verb: str, approval: str, note: str = "") -> None:
    """`certctl approval approve|reject`, by somebody who did not ask."""
    token = stage.token(APPROVER)
    said = [] if not note else ["--note", note]
    stage.certctl("approval", verb, approval, *said, "--token-file", str(token))


def certificates(stage: Stage, name: str) -> int:
    """How many certificates there are for a name."""
    query = "SELECT count(*) FROM certificate_names WHERE value = ?"
    return int(stage.rows(query, name)[0][0])


@contextmanager
def asking(client: Client, names: tuple[str, ...], patience: int | None = None) -> Iterator[Running]:
    """The client, under way to a certificate of the gated profile."""
    directory = client.stage.directory(PROFILE)
    client.register(directory)
    with client.listening("http-01"):
        command = client.issuing(Asked(names, "http-01", directory, patience))
        running = client.start(command)
        try:
            yield running
        finally:
            running.stop()


def approve(client: Client) -> None:
    """Somebody says yes while the client waits: it collects the certificate as if nothing had been."""
    names = (f"yes.{client.label}.test",)
    with asking(client, names) as running:
        approval = await_question(client.stage, names[0], running)
        if certificates(client.stage, names[0]):
            raise Wrong("there is a certificate before anybody has approved it")
        decide(client.stage, "approve", approval)
        running.wait()
    judge(client.stage, Issued(client.chain(names), names))


def reject(client: Client) -> None:
    """Somebody says no: the client fails, and what it prints says who and why. No certificate comes of it."""
    names = (f"no.{client.label}.test",)
    with asking(client, names, _LONG) as running:
        approval = await_question(client.stage, names[0], running)
        decide(client.stage, "reject", approval, NOTE)
        if running.code() == 0:
            raise Wrong(f"the client is content: {running.said}")
    if client.tells_why and not (APPROVER in running.said and NOTE in running.said):
        raise Wrong(f"the client does not say who refused and why: {running.said[-2000:]}")
    if certificates(client.stage, names[0]):
        raise Wrong("there is a certificate that was refused")


def come_back(client: Client) -> None:
    """The client gives up before somebody says yes, and comes back with a new key: nobody is asked a second time."""
    names = (f"later.{client.label}.test",)
    with asking(client, names, SHORT) as running:
        approval = await_question(client.stage, names[0], running)
        if client.gives_up and running.code() == 0:
            raise Wrong(f"the client is content: {running.said}")
    decide(client.stage, "approve", approval)
    if certificates(client.stage, names[0]):
        raise Wrong("a certificate was issued for somebody who had gone")
    with asking(client, names) as running:
        running.wait()
    judge(client.stage, Issued(client.chain(names), names))
    if questions(client.stage, names[0]) != [approval]:
        raise Wrong("somebody was asked twice for the same thing")


SCENARIOS: Final[dict[str, Callable[[Client], None]]] = {
    "gate-approve": approve,
    "gate-reject": reject,
    "gate-return": come_back,
}


def play(client: Client, wanted: list[str] | None = None) -> Iterator[Result]:
    """As `scenarios.play`, for clients that can wait."""
    for name, scenario in SCENARIOS.items():
        if not client.waits or (wanted is not None and name not in wanted):
            continue
        began = time.monotonic()
        try:
            scenario(client)
        except (ClientFailed, Wrong, StageBroken, OSError, ValueError) as error:
            yield Result(name, "failed", time.monotonic() - began, f"{type(error).__name__}: {error}")
        else:
            yield Result(name, "ok", time.monotonic() - began)
