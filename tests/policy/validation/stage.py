"""What a check needs around it: responders on loopback, a validator pointed at them, and the words it failed with."""

import base64
import hashlib
from dataclasses import dataclass
from typing import Any

import pytest

from ca.names import parse_identifier
from policy.validation import (
    NetworkRules,
    Problem,
    ValidationFailed,
    ValidationRecord,
    ValidationSettings,
    Validator,
)
from tests.common.responders import DNSResponder, HTTP01Responder, TLSALPN01Responder

TOKEN = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"
KEY_AUTHORIZATION = TOKEN + ".9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI"
PATH = f"/.well-known/acme-challenge/{TOKEN}"
TXT_VALUE = (
    base64.urlsafe_b64encode(hashlib.sha256(KEY_AUTHORIZATION.encode()).digest()).rstrip(b"=").decode()
)
RULES = NetworkRules()


@dataclass
class Stage:
    """Three responders; `validate` makes a validator for them with short bounds, which a test may change."""

    dns: DNSResponder
    http: HTTP01Responder
    tls: TLSALPN01Responder

    def validator(self, **settings: Any) -> Validator:
        defaults: dict[str, Any] = {
            "http01_port": self.http.port,
            "tlsalpn01_port": self.tls.port,
            "resolvers": (self.dns.address,),
            "timeout": 10.0,  # a loaded machine is slow; what must end sooner says so
        }
        return Validator(ValidationSettings(**defaults | settings))

    async def validate(
        self, method: str, name: str, rules: NetworkRules = RULES, **settings: Any
    ) -> ValidationRecord:
        kind = "ip" if name.replace(".", "").isdigit() or ":" in name else "dns"
        return await self.validator(**settings).validate(
            method, parse_identifier(kind, name), TOKEN, KEY_AUTHORIZATION, rules
        )

    async def refused(
        self, method: str, name: str, problem: Problem, *words: str, **settings: Any
    ) -> ValidationFailed:
        """The failure of a check that must fail with this problem and with these words in its detail."""
        with pytest.raises(ValidationFailed) as caught:
            await self.validate(method, name, **settings)
        failure = caught.value
        assert failure.problem is problem, failure
        for part in words:
            assert part in failure.detail
        assert failure.detail.isprintable()
        assert failure.record is not None
        return failure
