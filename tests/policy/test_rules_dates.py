"""The dates of a certificate: the profile's, or the wishes of the request within it."""

from dataclasses import replace
from datetime import UTC, timedelta, timezone
from typing import Any

import pytest

from policy.reasons import ReasonCode
from policy.rules import check_validity
from tests.policy.examples import NOW, WHOLE_NOW, asks, permitted, profile, refused

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("rules", "start", "end"),
    [
        ({}, -HOUR, 90 * DAY - HOUR),
        ({"default": "30d"}, -HOUR, 30 * DAY - HOUR),
        ({"default": "30d", "backdate": "0s"}, timedelta(0), 30 * DAY),
        ({"default": "2h", "backdate": "90m"}, -1.5 * HOUR, 0.5 * HOUR),
    ],
)
def test_without_wishes_the_profile_s_dates_are_used(
    rules: dict[str, Any], start: timedelta, end: timedelta
) -> None:
    plan = permitted(profile(validity=rules), asks("a.example"))
    assert (plan.not_before, plan.not_after) == (WHOLE_NOW + start, WHOLE_NOW + end)


@pytest.mark.parametrize(
    ("not_before", "not_after", "start", "end"),
    [
        (DAY, None, DAY, 31 * DAY),
        (None, DAY, -HOUR, DAY),
        (None, 90 * DAY, timedelta(0), 90 * DAY),  # the start is moved up: the span is never longer than max
        (DAY, 2 * DAY, DAY, 2 * DAY),
        (89 * DAY, None, 89 * DAY, 90 * DAY),  # the end never lies further than max from now
        (-DAY, DAY, -HOUR, DAY),  # a start that slipped into the past while people decided
    ],
)
def test_wishes_within_max_are_kept(
    not_before: timedelta | None, not_after: timedelta | None, start: timedelta, end: timedelta
) -> None:
    request = replace(
        asks("a.example"),
        not_before=None if not_before is None else NOW + not_before,
        not_after=None if not_after is None else NOW + not_after,
    )
    plan = permitted(profile(validity={"default": "30d"}), request)
    assert (plan.not_before, plan.not_after) == (WHOLE_NOW + start, WHOLE_NOW + end)


def test_dates_in_any_zone_become_whole_seconds_in_utc() -> None:
    zone = timezone(timedelta(hours=-7))
    wish = NOW.astimezone(zone) + DAY
    plan = permitted(profile(), replace(asks("a.example"), not_before=wish), now=NOW.astimezone(zone))
    assert plan.not_before == WHOLE_NOW + DAY
    assert {plan.not_before.tzinfo, plan.not_after.tzinfo} == {UTC}


@pytest.mark.parametrize(
    ("not_before", "not_after", "words"),
    [
        (None, 90 * DAY + timedelta(seconds=1), "notAfter lies too far ahead"),
        (None, timedelta(0), "notAfter is already past"),
        (None, -DAY, "notAfter is already past"),
        (90 * DAY, None, "notBefore lies too far ahead"),
        (2 * DAY, DAY, "notBefore is not before notAfter"),
        (DAY, DAY, "notBefore is not before notAfter"),
        (timedelta(seconds=5.1), timedelta(seconds=5.9), "notBefore is not before notAfter"),
    ],
)
def test_wishes_outside_the_profile_are_refused(
    not_before: timedelta | None, not_after: timedelta | None, words: str
) -> None:
    wishes = [None if wish is None else NOW + wish for wish in (not_before, not_after)]
    (reason,) = refused(profile(), replace(asks("a.example"), not_before=wishes[0], not_after=wishes[1]))
    assert reason.code is ReasonCode.VALIDITY_NOT_ALLOWED
    assert reason.words.startswith(words)
    assert check_validity(profile(), wishes[0], wishes[1], NOW) == (reason,)


def test_a_start_in_the_past_is_refused_at_the_door_but_not_after_waiting() -> None:
    early = NOW - 2 * HOUR
    (reason,) = check_validity(profile(), early, None, NOW)
    assert reason.words == "notBefore lies in the past: profile web backdates by 1h at most"
    assert check_validity(profile(), NOW - HOUR, None, NOW) == ()
    assert check_validity(profile(), None, None, NOW) == ()
    assert permitted(profile(), replace(asks("a.example"), not_before=early)).not_before == WHOLE_NOW - HOUR
