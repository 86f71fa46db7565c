"""What raw SQL tries, and which guard refuses it: one row per forbidden move."""

from typing import Final

from tests.policy.proof.attempts.attempt import Attempt
from tests.policy.proof.attempts.people_and_profiles import PEOPLE, PROFILES
from tests.policy.proof.attempts.questions import APPROVALS, DECISIONS, REQUESTS
from tests.policy.proof.attempts.work import AUDIT, CERTIFICATES, INTENTS, JOBS

ATTEMPTS: Final[tuple[Attempt, ...]] = (
    *PEOPLE,
    *PROFILES,
    *REQUESTS,
    *APPROVALS,
    *DECISIONS,
    *JOBS,
    *INTENTS,
    *CERTIFICATES,
    *AUDIT,
)
