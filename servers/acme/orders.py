"""newOrder, orders, finalize and the certificate (RFC 8555 section 7.4)."""

import asyncio
import base64
from datetime import datetime
from typing import Final

from ca.csr import CsrRefused
from ca.names import Identifier, IdentifierType, NameRefused, parse_identifier
from policy.acme import orders
from policy.acme.order_view import OrderStatus, OrderView
from policy.acme.orders import NewOrder
from policy.enrollment import read_csr
from servers.acme import base64url
from servers.acme.answers import answer
from servers.acme.front import AcmeFront, Signed
from servers.acme.objects import order_object, parse_timestamp
from servers.acme.problems import AcmeProblem, ProblemType, Subproblem
from servers.web.answer import Answer
from servers.web.problem import quoted
from servers.web.strict_json import JsonObject, JsonValue
from store.ids import JobId, OrderId, ProfileName
from store.jobs import moved_topic

MAX_IDENTIFIERS: Final = 1000
_OFFERED: Final = (IdentifierType.DNS, IdentifierType.IP)
_POLL_SECONDS: Final = "3"  # Retry-After while an order is processing
_LOOK_SECONDS: Final = 0.25  # another process may do the job, and on SQLite its word does not reach us
_CHAIN_TYPE: Final = "application/pem-certificate-chain"


class OrderResources:
    """The handlers."""

    def __init__(self, front: AcmeFront) -> None:
        self._front = front
        self._services = front.services
        self._urls = front.urls

    async def new_order(self, signed: Signed) -> Answer:
        """POST newOrder."""
        fields = signed.fields()
        wanted = NewOrder(
            _identifiers(fields.get("identifiers")), _date(fields, "notBefore"), _date(fields, "notAfter")
        )
        profile = ProfileName(signed.asked.profile)
        seen = await self._services.database.write(
            lambda tx: orders.create(
                tx,
                self._services.cache,
                signed.owner,
                profile,
                wanted,
                signed.source,
                self._services.limits,
                signed.now,
            )
        )
        return self._answer(signed, seen, 201)

    async def order(self, signed: Signed) -> Answer:
        """POST-as-GET of an order. Whoever asks while it is processing is here to collect it."""
        signed.expect_empty()
        order_id = OrderId(signed.parameters["order"])
        seen = await self._services.database.read(
            lambda tx: orders.load(tx, signed.owner, order_id, signed.now)
        )
        if seen.status is OrderStatus.PROCESSING:
            seen = await self._settle(signed, order_id, seen)
        return self._answer(signed, seen)

    async def finalize(self, signed: Signed) -> Answer:
        """POST finalize: the request goes to the gate; an answer that comes soon is waited for."""
        order_id = OrderId(signed.parameters["order"])
        der = _csr(signed.fields())
        try:
            csr = read_csr(der)
        except CsrRefused as error:
            # An order that is not ready is refused as that, whatever was sent to it.
            await self._services.database.read(
                lambda tx: orders.check_ready(tx, signed.owner, order_id, signed.now)
            )
            raise AcmeProblem(ProblemType.BAD_CSR, error.reason) from None
        seen = await self._services.finalizer.finalize(signed.owner, order_id, csr, signed.source, signed.now)
        if seen.status is OrderStatus.PROCESSING:
            seen = await self._settle(signed, order_id, seen)
        return self._answer(signed, seen)

    async def certificate(self, signed: Signed) -> Answer:
        """POST-as-GET of the certificate of an order, with its chain (section 7.4.2)."""
        signed.expect_empty()
        order_id = OrderId(signed.parameters["order"])

        issuer, der = await orders.certificate(self._services.database.single, signed.owner, order_id)
        chain = await self._services.chain_of(issuer)
        return Answer(pem(der) + chain, headers=[("Content-Type", _CHAIN_TYPE)])

    async def _come_back(self, signed: Signed, order_id: OrderId) -> OrderView:
        return await self._services.database.write(
            lambda tx: orders.come_back(tx, signed.owner, order_id, self._services.clock())
        )

    async def _settle(self, signed: Signed, order_id: OrderId, seen: OrderView) -> OrderView:
        """Let a job that may run do so, and wait for its end for a bounded time."""
        assert seen.order.job_id is not None
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._services.issuance_wait
        database = self._services.database
        while True:
            with database.signals.expect(moved_topic(JobId(seen.order.job_id))) as moved:
                seen = await self._come_back_if_held(signed, order_id, seen)
                left = deadline - loop.time()
                if seen.status is not OrderStatus.PROCESSING or left <= 0 or seen.waits_for_people:
                    return seen
                await asyncio.wait([moved], timeout=min(left, _LOOK_SECONDS))
            seen = await database.read(
                lambda tx: orders.load(tx, signed.owner, order_id, self._services.clock())
            )

    async def _come_back_if_held(self, signed: Signed, order_id: OrderId, seen: OrderView) -> OrderView:
        return await self._come_back(signed, order_id) if seen.held else seen

    def _answer(self, signed: Signed, seen: OrderView, status: int = 200) -> Answer:
        signed.asked.profile = seen.order.profile
        retry = _POLL_SECONDS if seen.status is OrderStatus.PROCESSING else None
        return answer(
            order_object(self._urls, seen, self._services.clock()),
            status,
            location=self._urls.order(seen.order.id),
            retry_after=retry,
        )


def pem(der: bytes) -> bytes:
    """A certificate as RFC 8555 section 9.1 wants it: no text, no blank line, LF, a final LF."""
    body = base64.b64encode(der)
    lines = [body[i : i + 64] for i in range(0, len(body), 64)]
    return b"-----BEGIN CERTIFICATE-----\n" + b"\n".join(lines) + b"\n-----END CERTIFICATE-----\n"


def _identifiers(value: JsonValue) -> tuple[Identifier, ...]:
    """The identifiers of a newOrder, each once, in the order asked for; every bad one is named."""
    if type(value) is not list or not value:
        raise AcmeProblem(ProblemType.MALFORMED, "identifiers is a list with at least one element")
    if len(value) > MAX_IDENTIFIERS:
        raise AcmeProblem(ProblemType.MALFORMED, f"at most {MAX_IDENTIFIERS} identifiers")
    found: dict[Identifier, None] = {}
    wrong: list[Subproblem] = []
    for element in value:
        if type(element) is not dict:
            raise AcmeProblem(ProblemType.MALFORMED, "an identifier is an object with type and value")
        type_, name = element.get("type"), element.get("value")
        if type(type_) is not str or type(name) is not str:
            raise AcmeProblem(ProblemType.MALFORMED, "an identifier has a type and a value, both strings")
        try:
            if type_ not in _OFFERED:
                words = f"identifiers of type {quoted(type_)} are not offered over ACME here"
                wrong.append(Subproblem(ProblemType.UNSUPPORTED_IDENTIFIER, words, (type_[:64], name[:253])))
                continue
            found[parse_identifier(type_, name)] = None
        except NameRefused as error:
            wrong.append(Subproblem(ProblemType.MALFORMED, str(error), (type_, name[:253])))
    if wrong:
        kinds = {one.type for one in wrong}
        kind = wrong[0].type if len(kinds) == 1 else ProblemType.COMPOUND
        raise AcmeProblem(kind, "; ".join(one.detail for one in wrong), status=400, subproblems=wrong)
    return tuple(found)


def _date(fields: JsonObject, name: str) -> datetime | None:
    value = fields.get(name)
    if value is None:
        return None
    if type(value) is str:
        try:
            return parse_timestamp(value)
        except (ValueError, OverflowError):
            pass
    raise AcmeProblem(ProblemType.MALFORMED, f"{name} is an RFC 3339 date-time such as 2026-11-25T12:00:00Z")


def _csr(fields: JsonObject) -> bytes:
    value = fields.get("csr")
    if type(value) is not str:
        raise AcmeProblem(ProblemType.MALFORMED, "csr is the base64url text of a DER certification request")
    try:
        return base64url.decode(value)
    except base64url.NotBase64url as error:
        words = f"csr is {error}: send DER, not PEM, in base64url"
        raise AcmeProblem(ProblemType.MALFORMED, words) from None
