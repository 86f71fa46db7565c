"""Parts of the JSON objects that the flows do not look at closely."""

from datetime import UTC, datetime

import pytest

from servers.acme.objects import parse_timestamp, timestamp
from store.clock import Millis


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_795_608_000_000, "2026-11-25T12:00:00Z"),
        (1_795_608_000_999, "2026-11-25T12:00:00Z"),
        (253_402_300_799_000, "9999-12-31T23:59:59Z"),
    ],
)
def test_times_are_rfc_3339_in_whole_seconds(moment: int, text: str) -> None:
    assert timestamp(Millis(moment)) == text
    assert parse_timestamp(text) == datetime.fromtimestamp(moment // 1000, UTC)
