from pathlib import Path
from typing import Any

import pytest

from policy.validation import ValidationSettings


def test_the_defaults_stand() -> None:
    settings = ValidationSettings()
    assert (settings.http01_port, settings.tlsalpn01_port, settings.resolvers) == (80, 443, ())
    assert settings.hosts_file == Path("/etc/hosts")


def test_the_ends_of_each_range_are_in_it() -> None:
    ValidationSettings(
        resolvers=(("::1", 65535),) * 8, timeout=300, max_redirects=20, max_body=256, max_concurrent=1
    )
    ValidationSettings(max_redirects=0, max_body=1 << 16, max_head=1024, max_dns_reply=65535)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("http01_port", 0, "port 0"),
        ("tlsalpn01_port", 65536, "port 65536"),
        ("resolvers", (("dns.test", 53),), "IP address, not a name"),
        ("resolvers", (("127.0.0.1", 0),), "port 0"),
        ("resolvers", (("127.0.0.1", 53),) * 9, "at most 8"),
        ("timeout", 0, "timeout"),
        ("timeout", float("nan"), "timeout"),
        ("timeout", 301, "timeout"),
        ("connect_timeout", -1, "connect_timeout"),
        ("dns_timeout", 0, "dns_timeout"),
        ("max_redirects", 21, "max_redirects"),
        ("max_redirects", -1, "max_redirects"),
        ("max_head", 10, "max_head"),
        ("max_body", 10, "max_body"),
        ("max_body", 1 << 20, "max_body"),
        ("max_dns_reply", 70000, "max_dns_reply"),
        ("max_concurrent", 0, "max_concurrent"),
    ],
)
def test_nonsense_stops_the_start(field: str, value: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ValidationSettings(**{field: value})
