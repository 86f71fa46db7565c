"""Name constraints (RFC 5280 4.2.1.10): whether names lie within what a chain of authorities may issue for."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any, Final

from cryptography import x509

from ca import asn1
from ca.distinguished_names import SubjectRefused, read_name
from ca.names import Identifier, IdentifierType


def violations(
    subject: bytes, names: Iterable[Identifier], constraints: Sequence[x509.NameConstraints]
) -> Iterator[str]:
    """What of `subject` (DER Name) and `names` any of `constraints` forbids, as text."""
    names = tuple(names)
    for constraint in constraints:
        permitted = constraint.permitted_subtrees or ()
        excluded = constraint.excluded_subtrees or ()
        for name in names:
            kind, matches, overlaps = _RULES[name.type]
            inside = _of_kind(permitted, kind)
            outside = _of_kind(excluded, kind)
            if inside and not any(matches(name.value, tree) for tree in inside):
                yield f"{name} is not among the names that an authority of the chain is constrained to"
            if any(overlaps(name.value, tree) for tree in outside):
                yield f"{name} is among the names that an authority of the chain may not issue for"
        if subject != b"\x30\x00":
            yield from _directory_violations(subject, permitted, excluded)


def _of_kind(trees: Iterable[x509.GeneralName], kind: type[x509.GeneralName]) -> list[Any]:
    return [tree.value for tree in trees if isinstance(tree, kind)]


def _directory_violations(
    subject: bytes, permitted: Iterable[x509.GeneralName], excluded: Iterable[x509.GeneralName]
) -> Iterator[str]:
    inside = [tree.value for tree in permitted if isinstance(tree, x509.DirectoryName)]
    outside = [tree.value for tree in excluded if isinstance(tree, x509.DirectoryName)]
    if not inside and not outside:
        return
    try:
        rdns = read_name(subject)[0].rdns
    except (SubjectRefused, asn1.Malformed):
        rdns = []
    if inside and not any(rdns[: len(tree.rdns)] == tree.rdns for tree in inside):
        yield "the subject is not among the names that an authority of the chain is constrained to"
    if any(rdns[: len(tree.rdns)] == tree.rdns for tree in outside):
        yield "the subject is among the names that an authority of the chain may not issue for"


def _dns_within(name: str, tree: str) -> bool:
    tree = tree.lower()
    if tree.startswith("."):
        return name.endswith(tree)
    return not tree or name == tree or name.endswith("." + tree)


def _dns_overlaps(name: str, tree: str) -> bool:
    """A wildcard also overlaps a subtree that begins at one of the names it stands for."""
    if _dns_within(name, tree):
        return True
    return name.startswith("*.") and tree.lower().strip(".").partition(".")[2] == name[2:]


def _ip_within(name: str, tree: IPv4Network | IPv6Network) -> bool:
    return ip_address(name) in tree


def _host_within(host: str, tree: str) -> bool:
    tree = tree.lower()
    return host.endswith(tree) if tree.startswith(".") else host == tree


def _email_within(name: str, tree: str) -> bool:
    local, _, host = tree.rpartition("@")
    if local:
        return name == f"{local}@{host.lower()}"
    return _host_within(name.rpartition("@")[2], tree)


def _uri_within(name: str, tree: str) -> bool:
    """A URI without a host cannot be compared, so it is in no subtree."""
    authority = name.partition("://")[2].partition("/")[0].partition("?")[0].partition("#")[0]
    return bool(authority) and _host_within(authority.partition(":")[0], tree)


def _uri_overlaps(name: str, tree: str) -> bool:
    return "://" not in name or _uri_within(name, tree)


# The kind of subtree, whether a name lies within one, whether it shares names with one.
_RULES: Final[
    dict[
        IdentifierType, tuple[type[x509.GeneralName], Callable[[str, Any], bool], Callable[[str, Any], bool]]
    ]
] = {
    IdentifierType.DNS: (x509.DNSName, _dns_within, _dns_overlaps),
    IdentifierType.IP: (x509.IPAddress, _ip_within, _ip_within),
    IdentifierType.EMAIL: (x509.RFC822Name, _email_within, _email_within),
    IdentifierType.URI: (x509.UniformResourceIdentifier, _uri_within, _uri_overlaps),
}
