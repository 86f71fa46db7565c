"""The system's own rules for names, used only when no resolvers are configured.

Order: the hosts file; then ``localhost`` (RFC 6761 6.3) and this machine's own name, which are loopback; then
the name servers of resolv.conf. No search domains: a certificate names what was asked for, nothing longer.
Both files are read again when they change.
"""

import ipaddress
import os
import socket
from pathlib import Path
from typing import Final

from policy.validation.networks import IPAddress

MOST_BYTES: Final = 4 << 20
LOOPBACK: Final[tuple[IPAddress, ...]] = (ipaddress.IPv6Address("::1"), ipaddress.IPv4Address("127.0.0.1"))


class SystemNames:
    """What ``hosts_file`` and ``resolv_conf`` say now."""

    def __init__(self, hosts_file: Path, resolv_conf: Path) -> None:
        self.hosts_file = hosts_file
        self.resolv_conf = resolv_conf
        self._seen: dict[Path, tuple[int, int]] = {}
        self._hosts: dict[str, tuple[IPAddress, ...]] = {}
        self._resolvers: tuple[tuple[str, int], ...] = ()

    def addresses(self, name: str) -> tuple[tuple[IPAddress, ...], str]:
        """Addresses that need no DNS, and where they come from; no addresses when DNS must be asked."""
        if (text := self._changed(self.hosts_file)) is not None:
            self._hosts = _read_hosts(text)
        if found := self._hosts.get(name):
            return found, str(self.hosts_file)
        if name == "localhost" or name.endswith(".localhost"):
            return LOOPBACK, "localhost"
        if name == socket.gethostname().lower():
            return LOOPBACK, "this machine's name"
        return (), ""

    def resolvers(self) -> tuple[tuple[str, int], ...]:
        """The ``nameserver`` lines, at most three of them as in resolv.conf(5)."""
        if (text := self._changed(self.resolv_conf)) is not None:
            self._resolvers = _read_resolvers(text)
        return self._resolvers

    def _changed(self, path: Path) -> str | None:
        """The file's text if it is new; an absent or unreadable file is an empty one."""
        try:
            state = os.stat(path)  # noqa: PTH116 - half the price of Path.stat, once for every name
            mark = (state.st_mtime_ns, state.st_size)
            if self._seen.get(path) == mark:
                return None
            with path.open("rb") as file:
                text = file.read(MOST_BYTES).decode("utf-8", "replace")
        except OSError:
            if self._seen.get(path) == (0, 0):
                return None
            mark, text = (0, 0), ""
        self._seen[path] = mark
        return text


def _read_hosts(text: str) -> dict[str, tuple[IPAddress, ...]]:
    hosts: dict[str, tuple[IPAddress, ...]] = {}
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        address = as_address(words[0]) if words else None
        if address is not None:
            for name in words[1:]:
                key = name.lower().removesuffix(".")
                hosts[key] = (*hosts.get(key, ()), address)
    return hosts


def _read_resolvers(text: str) -> tuple[tuple[str, int], ...]:
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver" and as_address(words[1]) is not None:
            found.append((words[1], 53))
    return tuple(found[:3])


def as_address(text: str) -> IPAddress | None:
    """The IP address that this text spells, or None."""
    if "%" in text or (":" not in text and not text[-1:].isdigit()):
        return None  # every name ends here, at a tenth of the price of an exception; zones mean nothing to others
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
