"""The sections that say who lets a request through: the approval section and the ACME section."""

from datetime import timedelta
from enum import StrEnum
from ipaddress import ip_network
from typing import Annotated, Any, Final, Self

from pydantic import Field, model_validator

from policy.profile_sections import Section
from policy.profile_values import Duration, IPNetwork, Line, Once, OnceAtLeast, Slug


class ApprovalCovers(StrEnum):
    """What an approval speaks for: the one key that was shown, or the names with any key."""

    KEY = "key"
    NAMES = "names"


def _role_without_group(fields: dict[str, Any]) -> str | None:
    return None if fields.get("group") else "approver"


class ApprovalRules(Section):
    """Who must say yes, how long the question stands, and how long a yes can be collected."""

    approvers: int = Field(default=1, ge=1, le=10)
    """Distinct principals, none of them in the request's own line."""
    group: Slug | None = None
    """The group whose members may decide, instead of a role."""
    role: Slug | None = Field(default_factory=_role_without_group)
    """The role that may decide: "approver" unless a group is named."""
    expires: Duration = timedelta(days=7)
    """An approval undecided for so long is expired: the request is cancelled."""
    reuse_window: Duration = timedelta(days=7)
    """How long after the request a new order for the same (as `covers` says) may use its approval, once; 0s = never."""
    covers: ApprovalCovers = ApprovalCovers.NAMES

    @model_validator(mode="after")
    def _one_circle(self) -> Self:
        if (self.role is None) == (self.group is None):
            raise ValueError("name one circle whose members decide: a role or a group")
        if self.expires < timedelta(minutes=1):
            raise ValueError("expires must leave a person at least 1m")
        return self


class ACMEMode(StrEnum):
    """How an ACME account comes to its names: it proves control, or it is trusted within the profile."""

    CHALLENGE = "challenge"
    TRUSTED = "trusted"


class ChallengeType(StrEnum):
    """RFC 8555 8.3 and 8.4, RFC 8737."""

    HTTP_01 = "http-01"
    DNS_01 = "dns-01"
    TLS_ALPN_01 = "tls-alpn-01"


_EVERYWHERE: Final = (ip_network("0.0.0.0/0"), ip_network("::/0"))
_NEVER_A_SERVER: Final = tuple(
    map(
        ip_network,
        ("0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4", "::/128", "fe80::/10", "ff00::/8"),
    )
)
"""Link-local (where clouds keep their metadata services), multicast, unspecified and reserved addresses."""


class ACMERules(Section):
    """What an ACME client must show, and where the server may go to look at it."""

    enabled: bool = True
    mode: ACMEMode = ACMEMode.CHALLENGE
    challenges: Annotated[tuple[ChallengeType, ...], *OnceAtLeast] = tuple(ChallengeType)
    external_account_required: bool = False
    trusted_without_external_account: Annotated[Line, Field(min_length=20)] | None = None
    """Why mode = "trusted" is safe here although anybody can make an account: the operator's own sentence."""
    allowed_networks: Annotated[tuple[IPNetwork, ...], *OnceAtLeast] = _EVERYWHERE
    denied_networks: Annotated[tuple[IPNetwork, ...], *Once] = _NEVER_A_SERVER
    """Where validation never connects; stronger than allowed_networks (`policy.validation.networks` asks both)."""
    authorization_reuse: Duration = timedelta(0)
    """How long a valid authorization serves further orders of its account; 0s = each order proves anew."""
    order_lifetime: Duration = timedelta(days=7)
    caa: bool = False
    """Whether CAA records (RFC 8659) are asked when a name is proved, and must name this authority or nobody."""

    @model_validator(mode="after")
    def _trust_is_reasoned(self) -> Self:
        sentence = self.trusted_without_external_account
        if sentence is not None and len(sentence.strip()) < 20:
            raise ValueError("trusted_without_external_account must give the reason in a sentence")
        open_trust = self.mode is ACMEMode.TRUSTED and not self.external_account_required
        if open_trust and sentence is None:
            raise ValueError(
                'mode = "trusted" gives every account the profile\'s names without proof: set '
                "external_account_required = true, or write in trusted_without_external_account, as a "
                "sentence of at least 20 characters, why that is safe here"
            )
        if sentence is not None and not open_trust:
            raise ValueError(
                'trusted_without_external_account is for mode = "trusted" with '
                "external_account_required = false: remove it"
            )
        if self.mode is ACMEMode.TRUSTED and self.caa:
            raise ValueError(
                'caa has no effect with mode = "trusted", where no name is proved: set caa = false, '
                'or mode = "challenge"'
            )
        if not timedelta(minutes=10) <= self.order_lifetime <= timedelta(days=90):
            raise ValueError("order_lifetime lies between 10m and 90d")
        return self
