"""The gate, lived through by real clients: they wait, are let in, are refused, give up and come back."""

from collections.abc import Iterator

import pytest

from conformance.acme import gate
from conformance.acme.client import Asked, Running
from conformance.acme.stage import Stage
from tests.end_to_end.conftest import NAMES, made

pytestmark = pytest.mark.client
RETURNING = ("certbot", "dehydrated", "lego")  # two that give up by themselves, one that is stopped
FORGOTTEN = "forgotten.test"


@pytest.fixture(scope="module")
def forgotten(gate_stage: Stage) -> Iterator[Running]:
    """A certbot that asks at the beginning, and whom nobody answers: looked at when everything else is done."""
    client = made("certbot", gate_stage).another("forgotten")
    running = client.start(client.issuing(Asked((FORGOTTEN,), "http-01", gate_stage.directory("minute"))))
    gate.await_question(gate_stage, FORGOTTEN, running)  # its port is free again from here on
    yield running
    running.stop()


def _end(stage: Stage, name: str) -> list[tuple[str, str, int]]:
    """How the last request for a name ended: approval, job, and how often something was about to be signed."""
    query = (
        "SELECT a.status, j.status, (SELECT count(*) FROM intents i WHERE i.job_id = j.id)"
        " FROM jobs j JOIN requests r ON r.id = j.request_id JOIN approvals a ON a.id = j.approval_id"
        " WHERE r.identifiers LIKE ? ORDER BY j.id DESC LIMIT 1"
    )
    return [(str(a), str(j), int(n)) for a, j, n in stage.rows(query, f'%"{name}"%')]


@pytest.mark.parametrize("name", NAMES)
def test_a_waiting_client_collects_what_was_approved(
    name: str, gate_stage: Stage, forgotten: Running
) -> None:
    gate.approve(made(name, gate_stage))
    assert _end(gate_stage, f"yes.{name}.test") == [("approved", "completed", 1)]


@pytest.mark.parametrize("name", NAMES)
def test_a_refused_client_hears_who_refused_and_why(name: str, gate_stage: Stage, forgotten: Running) -> None:
    gate.reject(made(name, gate_stage).another("refused"))
    assert _end(gate_stage, f"no.{name}.test") == [("rejected", "cancelled", 0)]


@pytest.mark.parametrize("name", RETURNING)
def test_a_client_that_comes_back_is_not_asked_about_again(
    name: str, gate_stage: Stage, forgotten: Running
) -> None:
    gate.come_back(made(name, gate_stage))


def test_an_approval_is_good_for_one_certificate(gate_stage: Stage, forgotten: Running) -> None:
    client, names = made("certbot", gate_stage), ("twice.certbot.test",)
    with gate.asking(client, names) as running:
        first = gate.await_question(gate_stage, names[0], running)
        gate.decide(gate_stage, "approve", first)
        running.wait()
    with gate.asking(client, names) as running:
        second = gate.await_question(gate_stage, names[0], running, after=1)
        assert second != first
        gate.decide(gate_stage, "reject", second, gate.NOTE)
        assert running.code() != 0
    assert gate.certificates(gate_stage, names[0]) == 1


def test_what_nobody_decides_comes_to_nothing(gate_stage: Stage, forgotten: Running) -> None:
    """Last in this file: by now the minute of the question is mostly over."""
    assert forgotten.code() != 0
    assert "nobody decided in time" in forgotten.said
    assert _end(gate_stage, FORGOTTEN) == [("expired", "cancelled", 0)]
    assert gate.certificates(gate_stage, FORGOTTEN) == 0
