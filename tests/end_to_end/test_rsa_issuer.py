"""An issuer with an RSA key serves every client as one with a P-256 key does."""

import pytest

from conformance.acme.stage import Stage
from tests.end_to_end.conftest import NAMES, failures, made


@pytest.mark.client
@pytest.mark.parametrize("name", NAMES)
def test_an_rsa_issuer_serves_a_client(name: str, rsa_stage: Stage) -> None:
    assert failures(made(name, rsa_stage), ["http-01"]) == ""
