"""http-01: the key authorization at a well-known URL (RFC 8555 8.3), redirects followed by hand (RFC 8738 for IP)."""

import hmac
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin, urlsplit

from policy.validation.addresses import Check
from policy.validation.hosts import as_address
from policy.validation.http_get import get
from policy.validation.http_reply import ReplyReader
from policy.validation.problems import Problem, ValidationFailed, excerpt
from policy.validation.records import authority
from policy.validation.settings import ValidationSettings

WELL_KNOWN: Final = "/.well-known/acme-challenge/"
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_HOST: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*", re.ASCII)
_MOST_URL: Final = 2000
_SHOWN: Final = 120


@dataclass(frozen=True, slots=True)
class Place:
    """Where to send a GET: a URL taken apart and found harmless."""

    tls: bool
    host: str
    port: int
    path: str  # with its query

    def __str__(self) -> str:
        scheme, default = ("https", 443) if self.tls else ("http", 80)
        return f"{scheme}://{authority(self.host, self.port, default)}{self.path}"


async def check_http01(check: Check, host: str, token: str, key_authorization: str) -> None:
    """Returns when ``http://host/.well-known/acme-challenge/token`` holds the key authorization.

    ``host`` is a DNS name or the text of an IP address, which needs no lookup (RFC 8738 4).

    Raises:
        ValidationFailed: whatever else is found there.
    """
    place = Place(False, host, check.settings.http01_port, WELL_KNOWN + token)
    visited = [place]
    while True:
        addresses = await check.targets(place.host)
        reply, where = await get(
            check,
            addresses,
            tls=place.tls,
            host=place.host,
            port=place.port,
            path=place.path,
            url=str(place),
        )
        if reply.status not in _REDIRECTS:
            _judge(reply, place, where, key_authorization.encode("ascii"))
            return
        place = _redirected(check, place, reply, where)
        if place in visited:
            raise ValidationFailed(Problem.CONNECTION, f"{_short(place)} redirects in a circle")
        if len(visited) > check.settings.max_redirects:
            raise ValidationFailed(
                Problem.CONNECTION,
                f"more than {check.settings.max_redirects} redirects, the last one to {_short(place)}",
            )
        visited.append(place)


def _judge(reply: ReplyReader, place: Place, where: str, expected: bytes) -> None:
    got = bytes(reply.body)
    if reply.status != 200:
        shown = f" and {excerpt(got)}" if got else ""
        raise ValidationFailed(
            Problem.INCORRECT_RESPONSE,
            f"{_short(place)} at {where} answered with status {reply.status}{shown}; "
            "expected 200 and the key authorization",
        )
    if not reply.overlong and hmac.compare_digest(got.rstrip(), expected):
        return
    problem = "a longer text than a key authorization, beginning with" if reply.overlong else "another text:"
    if not got.strip():
        raise ValidationFailed(
            Problem.INCORRECT_RESPONSE,
            f"{_short(place)} at {where} answered with an empty body; expected the key authorization",
        )
    raise ValidationFailed(
        Problem.INCORRECT_RESPONSE,
        f"{_short(place)} at {where} holds {problem} {excerpt(got)}; expected {excerpt(expected, 12)} "
        "(token, a dot, the account key's thumbprint)",
    )


def _redirected(check: Check, place: Place, reply: ReplyReader, where: str) -> Place:
    target = reply.location or b""
    try:
        return target_of(check.settings, str(place), target)
    except ValueError as error:
        raise ValidationFailed(
            Problem.CONNECTION, f"{_short(place)} at {where} redirects to {excerpt(target, 96)}: {error}"
        ) from None


def target_of(settings: ValidationSettings, base: str, target: bytes) -> Place:
    """The place that a Location, relative to ``base``, leads to.

    Raises:
        ValueError: it is not followed; the message says why, for the user.
    """
    if len(target) > _MOST_URL:
        raise ValueError("the address is too long")
    if not all(0x21 <= byte <= 0x7E for byte in target):
        raise ValueError("the address has a space, a control character or something other than ASCII in it")
    try:
        parts = urlsplit(urljoin(base, target.decode("ascii")))
        port = parts.port
        host = (parts.hostname or "").removesuffix(".")
    except ValueError:
        raise ValueError("that is no web address") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError("only http and https are followed")
    if parts.username is not None or parts.password is not None:
        raise ValueError("an address with a user name is not followed")
    if as_address(host) is None and (len(host) > 253 or not _HOST.fullmatch(host)):
        raise ValueError("it names no host that can be looked up")
    tls = parts.scheme == "https"
    port = port if port is not None else (443 if tls else 80)
    permitted = {80, 443, settings.http01_port, settings.tlsalpn01_port}
    if port not in permitted:
        raise ValueError(f"only the ports {', '.join(map(str, sorted(permitted)))} are followed")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Place(tls, host, port, path)


def _short(place: Place) -> str:
    text = str(place)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
