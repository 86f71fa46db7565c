"""Hypothesis: profiles that hold together, of every shape the model has."""

from typing import Any

from hypothesis import strategies as st

from ca.keys import KeyAlgorithm
from policy.profile_subject import SubjectField
from policy.profiles import Profile
from tests.policy.examples import Section, profile

DOMAINS = ("a.example", "b.a.example", "c.b.a.example", "xa.example", "b.example", "host")
NETWORKS = ("0.0.0.0/0", "10.0.0.0/8", "10.128.0.0/9", "10.0.0.0/9", "192.0.2.0/24", "::/0", "2001:db8::/32")
DURATIONS = ("1h", "90m", "1d", "2d", "36h", "7d", "90d")
PATHS = ("/**", "/a/**", "/*/**", "/a", "/*", "/a/b", "/a/*", "/*/b")
PREFIXES = ("https:", "https://a.example/", "https://a.example/dev/", "urn:dev:", "urn:dev:mac:")
TEXTS = ("A", "B")


def some(values: tuple[str, ...] | list[str], at_least: int = 0) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), min_size=at_least, max_size=3, unique=True)


def mapping(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Section]:
    """Each field present or absent."""
    return st.fixed_dictionaries({}, optional=fields)


@st.composite
def dns(draw: st.DrawFn) -> Section:
    if draw(st.integers(0, 3)) == 0:
        return {"any": True, "suffixes": None, "wildcards": draw(st.booleans())}
    suffixes = draw(some(DOMAINS))
    exact = draw(some(DOMAINS))
    if not suffixes or draw(st.booleans()):
        return {"suffixes": suffixes, "exact": exact}
    wild = [f"*.{name}" for name in draw(some(DOMAINS))]
    return {"suffixes": suffixes, "exact": [*exact, *wild], "wildcards": True}


@st.composite
def identifiers(draw: st.DrawFn) -> Section:
    spiffe = st.dictionaries(st.sampled_from(["a.example", "b.example"]), some(PATHS, 1), max_size=2)
    section = {
        "dns": draw(dns()),
        "ip": {"networks": draw(some(NETWORKS))},
        "email": {"domains": draw(some(DOMAINS)), "addresses": draw(some(["x@a.example", "y@b.example"]))},
        "uri": {
            "prefixes": draw(some(PREFIXES)),
            "spiffe": [{"trust_domain": name, "paths": paths} for name, paths in draw(spiffe).items()],
        },
        "max_names": draw(st.integers(1, 5)),
    }
    if not any(value for part in section.values() if isinstance(part, dict) for value in part.values()):
        section["dns"] = {"suffixes": ["a.example"]}
    return section


@st.composite
def validity(draw: st.DrawFn) -> Section:
    default, longest = sorted(draw(st.tuples(st.integers(1, 200), st.integers(1, 200))))
    return {
        "default": f"{default}h",
        "max": f"{longest}h",
        "backdate": draw(st.sampled_from(["0s", "15m", "59m"])),
    }


@st.composite
def approval(draw: st.DrawFn) -> Section:
    section = draw(
        mapping(
            approvers=st.integers(1, 10),
            expires=st.sampled_from(DURATIONS),
            covers=st.sampled_from(["names", "key"]),
            reuse_window=st.sampled_from(["0s", *DURATIONS]),
        )
    )
    if draw(st.booleans()):
        section[draw(st.sampled_from(["role", "group"]))] = draw(st.sampled_from(["approver", "security"]))
    return section


@st.composite
def acme(draw: st.DrawFn) -> Section:
    section = draw(
        mapping(
            enabled=st.booleans(),
            challenges=some(["http-01", "dns-01", "tls-alpn-01"], 1),
            external_account_required=st.booleans(),
            allowed_networks=some(NETWORKS, 1),
            denied_networks=some(NETWORKS),
            authorization_reuse=st.sampled_from(["0s", *DURATIONS]),
            order_lifetime=st.sampled_from(DURATIONS),
            caa=st.booleans(),
        )
    )
    if draw(st.booleans()):
        section["mode"] = "trusted"
        section.pop("caa", None)
        if not section.get("external_account_required"):
            section["trusted_without_external_account"] = "Only our own machines reach this network."
    return section


@st.composite
def subject(draw: st.DrawFn) -> Section:
    fields = [field.value for field in SubjectField if field is not SubjectField.COUNTRY]
    taken = draw(some(fields))
    free = [field for field in fields if field not in taken]
    fixed = draw(st.dictionaries(st.sampled_from(free), st.sampled_from(TEXTS), max_size=3))
    common_name = draw(st.sampled_from(["omit", "csr", "first-name"]))
    return {"from_csr": taken, "fixed": fixed, "common_name": common_name}


@st.composite
def profiles(draw: st.DrawFn, *, gated: bool | None = None) -> Profile:
    """Any profile; with `gated` only those that do, or do not, require approval."""
    asks = draw(st.booleans()) if gated is None else gated
    small, large = sorted(draw(st.tuples(*[st.sampled_from([2048, 3072, 4096])] * 2)))
    keys = {
        "algorithms": draw(some([kind.value for kind in KeyAlgorithm], 1)),
        "rsa_min_bits": small,
        "rsa_max_bits": large,
        "allow_reuse": draw(st.booleans()),
    }
    changes: Section = {
        "name": draw(st.sampled_from(["web", "mail"])),
        "issuer": draw(st.sampled_from(["issuing", "second"])),
        "description": draw(st.sampled_from(["", "for the web"])),
        "key_usage": [
            "digitalSignature",
            *draw(some(["contentCommitment", "keyEncipherment", "keyAgreement"])),
        ],
        "extended_key_usage": draw(some(["serverAuth", "clientAuth", "1.2.3.4"])),
        "must_staple": draw(st.sampled_from(["never", "allowed", "always"])),
        "requires_approval": asks,
        "keys": keys,
        "validity": draw(validity()),
        "identifiers": {"dns": None} | draw(identifiers()),
        "subject": draw(subject()),
        "acme": draw(acme()),
    }
    if asks:
        changes["approval"] = draw(approval())
    return profile(**changes)
