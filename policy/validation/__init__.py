"""Checks of control over a name: http-01, dns-01, tls-alpn-01 and CAA, outbound and strictly bounded.

`Validator` is the front; everything that a stranger's server or resolver can do ends in `ValidationFailed`.
"""

from policy.validation.caa import CAARequest
from policy.validation.networks import DENIED_BY_DEFAULT, EVERYWHERE, NetworkRules
from policy.validation.problems import Problem, ValidationFailed
from policy.validation.records import Connection, Lookup, ValidationRecord
from policy.validation.settings import ValidationSettings
from policy.validation.validator import Method, Validator

__all__ = [
    "DENIED_BY_DEFAULT",
    "EVERYWHERE",
    "CAARequest",
    "Connection",
    "Lookup",
    "Method",
    "NetworkRules",
    "Problem",
    "ValidationFailed",
    "ValidationRecord",
    "ValidationSettings",
    "Validator",
]
