"""Questions to the configured resolvers, with retries, and with CNAME chains followed to their end.

Failures are values here, because a missing AAAA answer does not matter when there is an A; whoever needs the
answer turns them into words with `Answer.failure`.
"""

import asyncio
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from policy.validation.dns_transport import NoAnswer, exchange
from policy.validation.dns_wire import MalformedMessage, Reply, RRType
from policy.validation.problems import Problem, ValidationFailed
from policy.validation.records import Trail, authority

MOST_CNAMES: Final = 8
_RCODES: Final = {1: "FORMERR", 2: "SERVFAIL", 4: "NOTIMP", 5: "REFUSED"}


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
        """One answer for each type, always; ``deadline`` is in the running loop's time."""
        if not resolvers:
            trouble = "no DNS resolver is configured on the certificate server"
            return {t: Answer(name, name, t, Outcome.FAILED, trouble=trouble) for t in rrtypes}
        answers: dict[RRType, Answer] = {}
        places = dict.fromkeys(rrtypes, name)  # where each type's CNAME chain stands
        for _ in range(MOST_CNAMES + 1):
            for place in set(places.values()):
                wanted = [t for t, where in places.items() if where == place and t not in answers]
                replies = await self._ask_once(resolvers, place, wanted, deadline, trail)
                for rrtype, reply in replies.items():
                    answer = _read(name, place, rrtype, reply)
                    if isinstance(answer, str):
                        places[rrtype] = answer
                    else:
                        answers[rrtype] = answer
            if len(answers) == len(places):
                return answers
        trouble = f"more than {MOST_CNAMES} CNAME records in a row"
        return {
            t: answers.get(t) or Answer(name, places[t], t, Outcome.FAILED, trouble=trouble) for t in rrtypes
        }

    async def _ask_once(
        self,
        resolvers: Sequence[tuple[str, int]],
        name: str,
        rrtypes: Sequence[RRType],
        deadline: float,
        trail: Trail,
    ) -> dict[RRType, Reply | str]:
        """For each type a conclusive reply, or what went wrong. Two rounds: a lost datagram is not an answer."""
        loop = asyncio.get_running_loop()
        replies: dict[RRType, Reply | str] = dict.fromkeys(rrtypes, "no time left")
        pending = list(rrtypes)
        broken: set[tuple[str, int]] = set()
        for resolver in (*resolvers, *resolvers):
            until = min(deadline, loop.time() + self._dns_timeout)
            if not pending or until <= loop.time():
                break
            if resolver in broken:
                continue
            got = await self._one_resolver(resolver, name, pending, until)
            where = authority(*resolver)
            for rrtype in pending:
                outcome = got.get(rrtype, "no answer in time")
                trail.looked_up(name, rrtype.name, where, *_for_record(outcome))
                replies[rrtype] = f"{where}: {outcome}" if isinstance(outcome, str) else outcome
                if isinstance(outcome, str) and rrtype in got:
                    broken.add(resolver)  # it did answer: asking again gives the same
            pending = [t for t in pending if isinstance(replies[t], str)]
        return replies

    async def _one_resolver(
        self, resolver: tuple[str, int], name: str, rrtypes: Sequence[RRType], until: float
    ) -> dict[RRType, Reply | str]:
        try:
            got = await exchange(resolver, name, rrtypes, until=until, most=self._most_bytes)
            if any(reply.rcode in (1, 4) for reply in got.values()):  # a resolver from before EDNS
                got = await exchange(resolver, name, rrtypes, until=until, most=self._most_bytes, edns=False)
        except NoAnswer as error:
            words = str(error)
            return {} if words == "no answer in time" else dict.fromkeys(rrtypes, words)
        except MalformedMessage as error:
            return dict.fromkeys(rrtypes, str(error))
        except OSError as error:
            return dict.fromkeys(rrtypes, f"cannot be reached ({error.strerror or 'no route'})")
        return {
            RRType(rrtype): reply
            if reply.rcode in (0, 3)
            else _RCODES.get(reply.rcode, f"RCODE {reply.rcode}")
            for rrtype, reply in got.items()
        }


def _read(asked: str, place: str, rrtype: RRType, reply: Reply | str) -> Answer | str:
    """The answer in a reply, or the name where to go on asking."""
    if isinstance(reply, str):
        return Answer(asked, place, rrtype, Outcome.FAILED, trouble=reply)
    name = place
    aliases = {r.owner: r.data for r in reply.records if r.rrtype == RRType.CNAME and isinstance(r.data, str)}
    for _ in range(MOST_CNAMES + 1):
        if name not in aliases:
            break
        name = aliases[name]
    else:
        return Answer(asked, name, rrtype, Outcome.FAILED, trouble="its CNAME records lead in a circle")
    found = tuple(
        r.data for r in reply.records if r.rrtype == rrtype and r.owner == name and isinstance(r.data, bytes)
    )
    if found:
        return Answer(asked, name, rrtype, Outcome.FOUND, found)
    if reply.rcode == 3:
        return Answer(asked, name, rrtype, Outcome.NO_NAME)
    if name != place:
        return name  # a server that is no full resolver gave the alias only
    return Answer(asked, name, rrtype, Outcome.NO_RECORDS)


def _for_record(outcome: Reply | str) -> tuple[str, tuple[str, ...]]:
    if isinstance(outcome, str):
        return outcome, ()
    if outcome.rcode == 3:
        return "NXDOMAIN", ()
    return "NOERROR", tuple(_readable(r.rrtype, r.data) for r in outcome.records[:16])


def _readable(rrtype: int, data: bytes | str) -> str:
    if isinstance(data, str):
        return f"CNAME {data}"
    if rrtype in (RRType.A, RRType.AAAA):
        return str(ipaddress.ip_address(data)) if len(data) in (4, 16) else "malformed"
    return data[:300].decode("ascii", "backslashreplace")
