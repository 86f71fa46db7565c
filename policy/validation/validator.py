"""The front of this package: one call checks control over one name by one method."""

import asyncio
import re
from enum import StrEnum
from typing import Final

from ca.names import Identifier, IdentifierType
from policy.validation.addresses import Check, NameService
from policy.validation.caa import CAARequest, check_caa
from policy.validation.dns01 import check_dns01
from policy.validation.http01 import check_http01
from policy.validation.networks import NetworkRules
from policy.validation.problems import Problem, ValidationFailed
from policy.validation.records import ValidationRecord
from policy.validation.settings import ValidationSettings
from policy.validation.tls_alpn01 import check_tlsalpn01

_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
_KEY_AUTHORIZATION: Final = re.compile(r"[A-Za-z0-9_-]{1,128}\.[A-Za-z0-9_-]{1,128}", re.ASCII)


class Method(StrEnum):
    """Challenge types (RFC 8555 9.7.8)."""

    HTTP_01 = "http-01"
    DNS_01 = "dns-01"
    TLS_ALPN_01 = "tls-alpn-01"


class Validator:
    """Checks that whoever asks controls a name. One for each event loop; holds no connections."""

    def __init__(self, settings: ValidationSettings) -> None:
        self.settings = settings
        self._names = NameService(settings)
        self._slots = asyncio.Semaphore(settings.max_concurrent)
        self._closed = False

    async def validate(
        self,
        method: str,
        identifier: Identifier,
        token: str,
        key_authorization: str,
        networks: NetworkRules,
    ) -> ValidationRecord:
        """What was looked up and connected to, when control was shown.

        Takes at most `ValidationSettings.timeout` seconds, after waiting its turn when `max_concurrent`
        others run. A wildcard name is checked by dns-01 at its base name.

        Raises:
            ValidationFailed: control was not shown; nothing that the other side does raises anything else.
            ValueError: an unknown method, a token or key authorization out of its alphabet.
            RuntimeError: the validator is closed.
        """
        how = Method(method)
        if not _TOKEN.fullmatch(token) or not _KEY_AUTHORIZATION.fullmatch(key_authorization):
            raise ValueError("token and key authorization must be base64url (RFC 8555 8.1)")
        _check_kind(how, identifier)
        async with self._slots:
            check, began = self._begin(networks)
            try:
                if how is Method.HTTP_01:
                    await check_http01(check, identifier.value, token, key_authorization)
                elif how is Method.DNS_01:
                    await check_dns01(check, identifier.value, key_authorization)
                else:
                    await check_tlsalpn01(check, identifier, key_authorization)
            except ValidationFailed as failure:
                failure.record = _record(how, identifier, check, began)
                raise
            return _record(how, identifier, check, began)

    async def check_caa(self, identifier: Identifier, request: CAARequest) -> ValidationRecord:
        """Returns when the CAA records of a name let this issuer issue (RFC 8659 3, RFC 8657).

        Raises:
            ValidationFailed: ``caa`` when they forbid it, ``dns`` when they cannot be read.
            RuntimeError: the validator is closed.
        """
        async with self._slots:
            check, began = self._begin(NetworkRules())
            try:
                await check_caa(check, identifier, request)
            except ValidationFailed as failure:
                failure.record = _record("caa", identifier, check, began)
                raise
            return _record("caa", identifier, check, began)

    async def close(self) -> None:
        """Refuse new checks and wait for the running ones, which their own time limit bounds."""
        self._closed = True
        for _ in range(self.settings.max_concurrent):
            await self._slots.acquire()
        for _ in range(self.settings.max_concurrent):
            self._slots.release()

    def _begin(self, networks: NetworkRules) -> tuple[Check, float]:
        if self._closed:
            raise RuntimeError("the validator is closed")
        now = asyncio.get_running_loop().time()
        return Check(self.settings, self._names, networks, now + self.settings.timeout), now


def _check_kind(method: Method, identifier: Identifier) -> None:
    """Which method can prove what: RFC 8555 7.1.3 (wildcards), RFC 8738 (addresses)."""
    if identifier.type not in (IdentifierType.DNS, IdentifierType.IP):
        raise ValidationFailed(
            Problem.REJECTED_IDENTIFIER,
            f"{method} cannot show control over an identifier of type {identifier.type}",
        )
    if method is Method.DNS_01 and identifier.type == IdentifierType.IP:
        raise ValidationFailed(
            Problem.REJECTED_IDENTIFIER,
            "dns-01 cannot show control over an IP address; use http-01 or tls-alpn-01",
        )
    if identifier.value.startswith("*.") and method is not Method.DNS_01:
        raise ValidationFailed(
            Problem.REJECTED_IDENTIFIER, f"{method} cannot show control over a wildcard name; use dns-01"
        )


def _record(method: str, identifier: Identifier, check: Check, began: float) -> ValidationRecord:
    seconds = round(asyncio.get_running_loop().time() - began, 4)
    return ValidationRecord(
        str(method), identifier, tuple(check.trail.lookups), tuple(check.trail.connections), seconds
    )
