"""Why a request is refused: one Reason for each thing wrong, in words its sender can act on."""

from dataclasses import dataclass
from enum import StrEnum

from ca.names import Identifier


class ReasonCode(StrEnum):
    """What is wrong, for programs. Each protocol maps these to its own errors; a test there names every one."""

    NO_NAMES = "no-names"
    TOO_MANY_NAMES = "too-many-names"
    NAME_NOT_ALLOWED = "name-not-allowed"
    NAME_NOT_PROVABLE = "name-not-provable"
    NAME_NOT_IN_CSR = "name-not-in-csr"
    NAME_NOT_AUTHORIZED = "name-not-authorized"
    UNKNOWN_NAME_KIND = "unknown-name-kind"
    KEY_NOT_ALLOWED = "key-not-allowed"
    KEY_WEAK = "key-weak"
    KEY_BLOCKED = "key-blocked"
    KEY_IS_ACCOUNT_KEY = "key-is-account-key"
    KEY_USED_BEFORE = "key-used-before"
    ASKS_TO_BE_CA = "asks-to-be-ca"
    EXTENSION_NOT_ALLOWED = "extension-not-allowed"
    PURPOSE_NOT_ALLOWED = "purpose-not-allowed"
    MUST_STAPLE_NOT_ALLOWED = "must-staple-not-allowed"
    SUBJECT_NOT_ALLOWED = "subject-not-allowed"
    VALIDITY_NOT_ALLOWED = "validity-not-allowed"


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that is wrong: a sentence without a full stop, and the name it is about, if it is about one."""

    code: ReasonCode
    words: str
    identifier: Identifier | None = None
