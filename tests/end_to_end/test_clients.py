"""Real ACME clients get, renew and revoke certificates; each plays every scenario that it can.

`make conformance` plays the same with more clients, and shows how long each took.
"""

import pytest

from conformance.acme.stage import Stage
from tests.end_to_end.conftest import NAMES, failures, made


@pytest.mark.client
@pytest.mark.parametrize("name", NAMES)
def test_a_client_can_do_all_that_it_knows(name: str, p256_stage: Stage) -> None:
    assert failures(made(name, p256_stage)) == ""
