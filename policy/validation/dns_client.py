"""Questions to the configured resolvers, with retries, and with CNAME chains followed to their end.

Failures are values here, because a missing AAAA answer does not matter when there is an A; whoever needs the
answer turns them into words with `Answer.failure`.
"""

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from policy.validation.dns_transport import LATE, exchange
from policy.validation.dns_wire import Reply, RRType
from policy.validation.problems import Problem, ValidationFailed, connection_failed, excerpt
from policy.validation.records import MOST_ANSWERS, Trail, authority

MOST_CNAMES: Final = 8
_RCODES: Final = {1: "FORMERR", 2: "SERVFAIL", 4: "NOTIMP", 5: "REFUSED"}
_NXDOMAIN: Final = 3


class Outcome(StrEnum):
    """How a question ended."""

    FOUND = "found"
    NO_RECORDS = "no records"  # the name exists, without records of this type (NODATA)
    NO_NAME = "NXDOMAIN"
    FAILED = "failed"  # no resolver gave an answer one could use


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known about (name, type). ``name`` is where the CNAME chain ended; ``records`` are RDATA."""

    asked: str
    name: str
    rrtype: RRType
    outcome: Outcome
    records: tuple[bytes, ...] = ()
    trouble: str = ""  # for FAILED: who was asked and what went wrong

    def failure(self) -> ValidationFailed:
        """The words for an answer that is none (every outcome but FOUND)."""
        via = "" if self.name == self.asked else f" ({self.asked} is a CNAME that leads there)"
        kind = self.rrtype.name
        if self.outcome is Outcome.NO_NAME:
            words = f"the name {self.name} does not exist in DNS (NXDOMAIN){via}; create its {kind} record"
        elif self.outcome is Outcome.NO_RECORDS:
            words = f"{self.name} has no {kind} record in DNS{via}; create it"
        else:
            words = f"looking up {kind} of {self.name} failed{via}: {self.trouble}"
        return ValidationFailed(Problem.DNS, words)


class DNSClient:
    """Asks resolvers in their order. Holds no cache: a validation must see what DNS says now."""

    def __init__(self, *, dns_timeout: float, most_bytes: int) -> None:
        self._dns_timeout = dns_timeout
        self._most_bytes = most_bytes

    async def ask(
        self,
        resolvers: Sequence[tuple[str, int]],
        name: str,
        rrtypes: Sequence[RRType],
        *,
        deadline: float,
        trail: Trail,
    ) -> dict[RRType, Answer]:
        """One answer for each type, always; ``deadline`` is in the running loop's time.

        Raises:
            ValidationFailed: ``serverInternal``, when this machine has no socket to spare.
        """
        answers: dict[RRType, Answer] = {}
        places = {name: tuple(rrtypes)}  # where the CNAME chain of which types stands
        for _ in range(MOST_CNAMES + 1):
            onward: dict[str, tuple[RRType, ...]] = {}
            for place, wanted in places.items():
                replies = await self._ask_once(resolvers, place, wanted, deadline, trail)
                for rrtype, reply in replies.items():
                    read = _read(name, place, rrtype, reply)
                    if isinstance(read, str):
                        onward[read] = (*onward.get(read, ()), rrtype)
                    else:
                        answers[rrtype] = read
            if not onward:
                return answers
            places = onward
        trouble = f"more than {MOST_CNAMES} CNAME records in a row"
        for place, wanted in places.items():
            answers |= {t: Answer(name, place, t, Outcome.FAILED, trouble=trouble) for t in wanted}
        return answers

    async def _ask_once(
        self,
        resolvers: Sequence[tuple[str, int]],
        name: str,
        rrtypes: tuple[RRType, ...],
        deadline: float,
        trail: Trail,
    ) -> dict[RRType, Reply | str]:
        """For each type a conclusive reply, or what went wrong last. A lost datagram is asked for once more."""
        trouble = "no time was left" if resolvers else "the certificate server has no DNS resolver configured"
        replies: dict[RRType, Reply | str] = dict.fromkeys(rrtypes, trouble)
        pending: Sequence[RRType] = rrtypes
        again = []
        for resolver in resolvers:
            got, late = await self._one_resolver(resolver, name, pending, deadline, trail)
            replies |= got
            pending = [t for t in pending if isinstance(replies[t], str)]
            if not pending:
                return replies
            if late:
                again.append(resolver)
        for resolver in again:
            got, _ = await self._one_resolver(resolver, name, pending, deadline, trail)
            replies |= got
            pending = [t for t in pending if isinstance(replies[t], str)]
            if not pending:
                break
        return replies

    async def _one_resolver(
        self,
        resolver: tuple[str, int],
        name: str,
        rrtypes: Sequence[RRType],
        deadline: float,
        trail: Trail,
    ) -> tuple[dict[RRType, Reply | str], bool]:
        """What one resolver said, and whether some answer was late; nothing when no time is left."""
        until = min(deadline, (now := asyncio.get_running_loop().time()) + self._dns_timeout)
        if until <= now:
            return {}, False
        try:
            got = await exchange(resolver, name, rrtypes, until=until, most=self._most_bytes)
            if any(isinstance(r, Reply) and r.rcode in (1, 4) for r in got.values()):  # from before EDNS
                got = await exchange(resolver, name, rrtypes, until=until, most=self._most_bytes, edns=False)
        except OSError as error:
            raise connection_failed(error, "DNS") from None
        where = authority(*resolver)
        said: dict[RRType, Reply | str] = {}
        late = False
        for rrtype in rrtypes:
            reply = got[rrtype]
            if isinstance(reply, str):
                late |= reply is LATE
                trail.looked_up(name, rrtype.name, where, reply)
                said[rrtype] = f"{where}: {reply}"
            elif reply.rcode in (0, _NXDOMAIN):
                trail.looked_up(
                    name, rrtype.name, where, "NXDOMAIN" if reply.rcode else "NOERROR", _shown(reply)
                )
                said[rrtype] = reply
            else:
                words = _RCODES.get(reply.rcode, f"RCODE {reply.rcode}")
                trail.looked_up(name, rrtype.name, where, words)
                said[rrtype] = f"{where} answered {words}"
        return said, late


def _read(asked: str, place: str, rrtype: RRType, reply: Reply | str) -> Answer | str:
    """The answer in a reply, or the name where to go on asking."""
    if isinstance(reply, str):
        return Answer(asked, place, rrtype, Outcome.FAILED, trouble=reply)
    name = place
    aliases = {r.owner: r.data for r in reply.records if r.rrtype == RRType.CNAME and isinstance(r.data, str)}
    if aliases:
        for _ in range(MOST_CNAMES + 1):
            if name not in aliases:
                break
            name = aliases[name]
        else:
            trouble = "its CNAME records lead in a circle or too far"
            return Answer(asked, name, rrtype, Outcome.FAILED, trouble=trouble)
    found = tuple(
        [
            r.data
            for r in reply.records
            if r.rrtype == rrtype and r.owner == name and isinstance(r.data, bytes)
        ]
    )
    if reply.rcode == _NXDOMAIN:
        return Answer(asked, name, rrtype, Outcome.NO_NAME)
    if found:
        return Answer(asked, name, rrtype, Outcome.FOUND, found)
    if name != place:
        return name  # a server that is no full resolver gave the alias only
    return Answer(asked, name, rrtype, Outcome.NO_RECORDS)


def _shown(reply: Reply) -> tuple[str, ...]:
    return tuple([_readable(r.rrtype, r.data) for r in reply.records[:MOST_ANSWERS]])


def _readable(rrtype: int, data: bytes | str) -> str:
    if isinstance(data, str):
        return f"CNAME {data}"
    if rrtype == RRType.A and len(data) == 4:
        return socket.inet_ntop(socket.AF_INET, data)
    if rrtype == RRType.AAAA and len(data) == 16:
        return socket.inet_ntop(socket.AF_INET6, data)
    if rrtype == RRType.TXT and data and data[0] + 1 == len(data):
        data = data[1:]
    return excerpt(data, 255)
