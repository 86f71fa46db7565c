"""What the DNS responder knows: records by name, and ways to misbehave by name."""

import asyncio
from dataclasses import dataclass, field
from typing import NamedTuple

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset


class Query(NamedTuple):
    """One question that arrived: lower-case name without final dot, type, "udp" or "tcp"."""

    name: str
    rrtype: str
    transport: str


@dataclass
class Zone:
    """Names under ``.test`` exist and have ``default_a``; others exist when something was set for them.

    Every change counts at once. Names are given without final dot, in any case.
    """

    default_a: tuple[str, ...] = ("127.0.0.1",)
    default_aaaa: tuple[str, ...] = ()
    queries: list[Query] = field(default_factory=list)
    _records: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    _rcodes: dict[str, dns.rcode.Rcode] = field(default_factory=dict)
    _delays: dict[str, float] = field(default_factory=dict)
    _silent: set[str] = field(default_factory=set)

    def add_txt(self, name: str, value: str) -> None:
        """One more TXT value; over 255 bytes it becomes several strings."""
        pieces = [value[i : i + 255] for i in range(0, len(value), 255)] or [""]
        self.add(
            name, "TXT", " ".join('"' + p.replace("\\", "\\\\").replace('"', '\\"') + '"' for p in pieces)
        )

    def add(self, name: str, rrtype: str, *texts: str) -> None:
        """Records in presentation format: ``add("x.test", "CAA", '0 issue "ca.test"')``."""
        for text in texts:
            dns.rdata.from_text("IN", rrtype, text)  # refuses nonsense here, not in the server
        self._records.setdefault((_key(name), rrtype), []).extend(texts)

    def clear(self, name: str, rrtype: str) -> None:
        self._records.pop((_key(name), rrtype), None)

    def fail(self, name: str, rcode: str) -> None:
        """Answer everything about a name with this code, e.g. SERVFAIL or NXDOMAIN."""
        self._rcodes[_key(name)] = dns.rcode.from_text(rcode)

    def delay(self, name: str, seconds: float) -> None:
        self._delays[_key(name)] = seconds

    def silence(self, name: str) -> None:
        """Never answer anything about a name."""
        self._silent.add(_key(name))

    def heal(self, name: str) -> None:
        """Take back `fail`, `delay` and `silence`."""
        self._rcodes.pop(_key(name), None)
        self._delays.pop(_key(name), None)
        self._silent.discard(_key(name))

    def asked(self, name: str) -> list[Query]:
        return [query for query in self.queries if query.name == _key(name)]

    async def answer(self, wire: bytes, transport: str) -> bytes | None:
        """The reply on the wire, or None for silence."""
        query = dns.message.from_wire(wire)
        reply = dns.message.make_response(query, recursion_available=True)
        question = query.question[0]
        name, rrtype = _key(question.name.to_text()), dns.rdatatype.to_text(question.rdtype)
        self.queries.append(Query(name, rrtype, transport))
        await asyncio.sleep(self._delays.get(name, 0))
        if name in self._silent:
            return None
        self._fill(reply, question.name, name, rrtype)
        if transport == "tcp":
            return reply.to_wire(max_size=65535)
        limit = query.payload if query.edns >= 0 else 512
        full = reply.to_wire(max_size=65535)
        if len(full) <= limit:
            return full
        reply.answer.clear()
        reply.flags |= dns.flags.TC
        return reply.to_wire()

    def _fill(self, reply: dns.message.Message, owner: dns.name.Name, name: str, rrtype: str) -> None:
        for _ in range(20):
            if name in self._rcodes:
                reply.set_rcode(self._rcodes[name])
                return
            texts = self._texts(name, rrtype)
            if texts:
                reply.answer.append(dns.rrset.from_text_list(owner, 0, "IN", rrtype, texts))
                return
            aliases = self._records.get((name, "CNAME"))
            if not aliases:
                if not self._exists(name):
                    reply.set_rcode(dns.rcode.NXDOMAIN)
                return
            reply.answer.append(dns.rrset.from_text_list(owner, 0, "IN", "CNAME", aliases[:1]))
            owner = dns.name.from_text(aliases[0])
            name = _key(aliases[0])

    def _texts(self, name: str, rrtype: str) -> list[str]:
        found = self._records.get((name, rrtype))
        if found is not None:
            return found
        if not _in_test(name) or (name, "CNAME") in self._records:
            return []
        return list({"A": self.default_a, "AAAA": self.default_aaaa}.get(rrtype, ()))

    def _exists(self, name: str) -> bool:
        return _in_test(name) or any(
            known == name or known.endswith("." + name) for known, _ in self._records
        )


def _key(name: str) -> str:
    return name.lower().removesuffix(".")


def _in_test(name: str) -> bool:
    return name == "test" or name.endswith(".test")
