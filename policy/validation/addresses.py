"""From a host to the addresses a check may connect to: looked up once, filtered by the profile's networks."""

import ipaddress
from dataclasses import dataclass, field

from policy.validation.dns_client import Answer, DNSClient, Outcome
from policy.validation.dns_wire import RRType
from policy.validation.hosts import SystemNames, as_address
from policy.validation.networks import IPAddress, NetworkRules
from policy.validation.problems import Problem, ValidationFailed
from policy.validation.records import Trail
from policy.validation.settings import ValidationSettings


class NameService:
    """Names to addresses and records, by the rules of `ValidationSettings.resolvers`."""

    def __init__(self, settings: ValidationSettings) -> None:
        self._resolvers = settings.resolvers
        self._system = None if settings.resolvers else SystemNames(settings.hosts_file, settings.resolv_conf)
        self._client = DNSClient(dns_timeout=settings.dns_timeout, most_bytes=settings.max_dns_reply)

    async def records(self, name: str, rrtype: RRType, *, deadline: float, trail: Trail) -> Answer:
        """What DNS says about one type; never raises for what a resolver does."""
        answers = await self._client.ask(self._servers(), name, (rrtype,), deadline=deadline, trail=trail)
        return answers[rrtype]

    async def addresses(self, name: str, *, deadline: float, trail: Trail) -> tuple[IPAddress, ...]:
        """All addresses of a name, as found.

        Raises:
            ValidationFailed: ``dns``, when there is none.
        """
        if self._system is not None:
            found, source = self._system.addresses(name)
            if found:
                trail.looked_up(name, "address", source, "found", tuple(map(str, found)))
                return found
        types = (RRType.AAAA, RRType.A)
        answers = await self._client.ask(self._servers(), name, types, deadline=deadline, trail=trail)
        v6, v4 = answers[RRType.AAAA], answers[RRType.A]
        sizes = {RRType.AAAA: 16, RRType.A: 4}
        addresses = [
            ipaddress.ip_address(rdata)
            for answer in (v6, v4)
            for rdata in answer.records
            if len(rdata) == sizes[answer.rrtype]
        ]
        if addresses:
            return tuple(addresses)
        if Outcome.FAILED in (v4.outcome, v6.outcome):
            raise (v4 if v4.outcome is Outcome.FAILED else v6).failure()
        if v4.outcome is Outcome.NO_NAME:
            raise v4.failure()
        raise ValidationFailed(
            Problem.DNS, f"{v4.name} has neither an A nor an AAAA record in DNS; create one"
        )

    def _servers(self) -> tuple[tuple[str, int], ...]:
        return self._resolvers if self._system is None else self._system.resolvers()


@dataclass(slots=True)
class Check:
    """What one running validation carries along: its bounds, its rules, and the trail it leaves."""

    settings: ValidationSettings
    names: NameService
    networks: NetworkRules
    deadline: float  # in the running loop's time
    trail: Trail = field(default_factory=Trail)

    async def targets(self, host: str) -> tuple[IPAddress, ...]:
        """Up to two addresses to try for a name or a literal address, in order: IPv6, then IPv4.

        Raises:
            ValidationFailed: ``dns`` without any address, ``connection`` when the networks forbid them all.
        """
        literal = as_address(host)
        if literal is not None:
            found: tuple[IPAddress, ...] = (literal,)
        else:
            found = await self.names.addresses(host, deadline=self.deadline, trail=self.trail)
        permitted = [address for address in found if self.networks.permits(address)]
        if not permitted:
            shown = ", ".join(map(str, found[:4]))
            raise ValidationFailed(
                Problem.CONNECTION,
                f"{host} is at {shown}, where the certificate server may not connect to; "
                "ask its operator about the networks of this profile",
            )
        v6 = [address for address in permitted if address.version == 6]
        v4 = [address for address in permitted if address.version == 4]
        return (v6[0], v4[0]) if v6 and v4 else tuple(permitted[:2])
