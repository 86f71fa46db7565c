"""Stages for real clients: servers in processes of their own, shared by the tests of a file."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.acme import scenarios
from conformance.acme.client import Client
from conformance.acme.clients import CLIENTS
from conformance.acme.programs import Missing
from conformance.acme.stage import Stage, running_stage

NAMES = ("certbot", "lego", "dehydrated", "uacme", "acme-tiny", "acme-client")
_MADE: dict[Path, Client] = {}
MINUTE = """
[[profile]]
name = "minute"
issuer = "issuing"
requires_approval = true
identifiers = {dns = {any = true}}
approval = {expires = "1m"}
"""
"""A profile whose questions stand for as short as a profile can say."""


@pytest.fixture(scope="module")
def p256_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A CA with P-256 keys."""
    with running_stage(tmp_path_factory.mktemp("stage") / "p256") as stage:
        yield stage


@pytest.fixture(scope="module")
def rsa_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A CA with RSA keys."""
    with running_stage(tmp_path_factory.mktemp("stage") / "rsa", "rsa-2048") as stage:
        yield stage


@pytest.fixture(scope="module")
def gate_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A CA with P-256 keys, with the profile `minute` beside `gated`."""
    with running_stage(tmp_path_factory.mktemp("stage") / "gate") as stage:
        stage.apply(MINUTE)
        yield stage


def made(name: str, stage: Stage) -> Client:
    """The client at a stage, one for each. Skips, loudly, if its program is missing: in CI that is a failure."""
    folder = stage.folder / name
    if folder not in _MADE:
        try:
            CLIENTS[name].version()
        except Missing as error:
            if os.environ.get("CI") == "true":
                pytest.fail(str(error))
            pytest.skip(f"NOT TESTED WITH {name}: {error}")
        _MADE[folder] = CLIENTS[name](stage, folder)
    return _MADE[folder]


def failures(client: Client, wanted: list[str] | None = None) -> str:
    """What went wrong in the scenarios that the client can play, or in those of `wanted`."""
    results = list(scenarios.play(client, wanted))
    assert results
    return "\n".join(f"{one.scenario}: {one.detail}" for one in results if one.outcome != "ok")
