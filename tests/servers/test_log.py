"""Logs: secrets never show, in any place, in either form; every line of a request bears its id."""

import asyncio
import json
import logging
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servers import log
from servers.log import REDACTED, redact
from servers.secret_files import new_token

# of the shape that new_token makes, and always the same: the names of tests hold it
TOKEN = "certctl_" + "aB3-_xYz" * 5 + "q7Z"
PEM = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIBvTBX\nxyz==\n-----END ENCRYPTED PRIVATE KEY-----"
SECRETS = (TOKEN, "hunter2", "MIIBvTBX")


def cleaned(**event: Any) -> dict[str, Any]:
    return dict(redact(None, "info", dict(event)))


@pytest.mark.parametrize(
    "name",
    [
        "passphrase",
        "password",
        "admin_token",
        "client_secret",
        "hmac_key",
        "Authorization",
        "private_key",
        "PASSWD",
    ],
)
def test_a_secrets_name_is_enough(name: str) -> None:
    assert cleaned(**{name: "hunter2"}) == {name: REDACTED}
    assert cleaned(outer={name: ["hunter2"]}) == {"outer": {name: REDACTED}}


@pytest.mark.parametrize(
    "value",
    [
        TOKEN,
        f"Bearer {TOKEN} refused",
        PEM,
        PEM[:60],
        "postgresql://user:hunter2@host/name",
        [TOKEN],
        ({"a": {"b": [PEM]}},),
        ValueError(f"not this: {TOKEN}"),
        f"{TOKEN}".encode(),
        {"x": "redis://:hunter2@h"},
    ],
)
def test_so_is_the_look_of_one_wherever_it_stands(value: Any) -> None:
    text = repr(cleaned(event="something", value=value))
    assert not [secret for secret in SECRETS if secret in text], text


def test_what_is_no_secret_stays() -> None:
    event = {"event": "job.done", "count": 3, "ok": True, "names": ["a.example"], "nothing": None}
    assert cleaned(**event) == event


NESTED = st.recursive(
    st.sampled_from([TOKEN, PEM, f"x{TOKEN}y", 1, None, "plain", b"octets"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(NESTED)
def test_no_depth_hides_one(value: Any) -> None:
    text = json.dumps(cleaned(value=value), default=repr)
    assert TOKEN not in text
    assert "MIIBvTBX" not in text


@pytest.mark.parametrize("form", ["json", "console"])
def test_nothing_gets_past_the_processor_in_a_real_process(form: str) -> None:
    program = f"""
import logging, structlog
from servers import log
log.configure("debug", {form!r})
structlog.get_logger().info("one", token={TOKEN!r}, text="see {TOKEN}")
try:
    raise ValueError("inside {TOKEN}")
except ValueError:
    structlog.get_logger().exception("two")
    logging.getLogger("aiohttp.server").exception("three {TOKEN}")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert TOKEN not in done.stderr
    assert done.stderr.count(REDACTED) >= 4
    assert all(word in done.stderr for word in ("one", "two", "three"))
    if form == "json":
        for line in done.stderr.splitlines():
            assert {"event", "level", "timestamp"} <= json.loads(line).keys()


async def test_an_id_goes_with_a_request_and_what_it_starts() -> None:
    assert log.request_id() is None

    async def request() -> tuple[str | None, str | None]:
        log.begin_request()
        started = asyncio.ensure_future(asyncio.sleep(0, log.request_id()))
        return log.request_id(), await asyncio.ensure_future(_inherited()) or await started

    async def _inherited() -> str | None:
        return log.request_id()

    (one, same), (two, _) = await asyncio.gather(request(), request())
    assert one is not None
    assert one == same
    assert one != two
    assert log.request_id() is None


def test_levels_are_standard_ones() -> None:
    assert {"DEBUG", "INFO", "WARNING", "ERROR"} <= logging.getLevelNamesMapping().keys()


def test_the_token_of_these_tests_looks_like_a_real_one() -> None:
    made = new_token()
    assert len(made) == len(TOKEN)
    assert made[:8] == TOKEN[:8]
