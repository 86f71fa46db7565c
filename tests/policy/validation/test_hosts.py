import socket
from ipaddress import ip_address
from pathlib import Path

import pytest

from ca.names import parse_identifier
from policy.validation import Problem, ValidationFailed, ValidationSettings, Validator
from policy.validation.hosts import LOOPBACK, SystemNames, as_address
from tests.policy.validation.stage import KEY_AUTHORIZATION, RULES, TOKEN, Stage


@pytest.fixture
def names(tmp_path: Path) -> SystemNames:
    (tmp_path / "hosts").write_text(
        "127.0.0.1\tlocalhost\n"
        "# 10.0.0.9 commented.test\n"
        "10.0.0.1  a.test A2.TEST.  # 10.0.0.8 tail.test\n"
        "fd00::1 a.test\n"
        "nonsense b.test\n"
        "\n"
        "10.0.0.2\n"
    )
    (tmp_path / "resolv.conf").write_text(
        "# nameserver 10.0.0.9\nsearch x.test\nnameserver 10.0.0.53\nnameserver fd00::53 # second\n"
        "nameserver bad\noptions ndots:5\nnameserver 10.0.0.54\nnameserver 10.0.0.55\n"
    )
    return SystemNames(tmp_path / "hosts", tmp_path / "resolv.conf")


def test_the_hosts_file(names: SystemNames) -> None:
    found, source = names.addresses("a.test")
    assert found == (ip_address("10.0.0.1"), ip_address("fd00::1"))
    assert source == str(names.hosts_file)
    assert names.addresses("a2.test")[0] == (ip_address("10.0.0.1"),)
    assert names.addresses("localhost")[0] == (ip_address("127.0.0.1"),)
    for absent in ("commented.test", "tail.test", "b.test", "x.a.test"):
        assert names.addresses(absent) == ((), "")


def test_three_name_servers_as_the_system_takes_them(names: SystemNames) -> None:
    assert names.resolvers() == (("10.0.0.53", 53), ("fd00::53", 53), ("10.0.0.54", 53))


def test_names_that_are_loopback_without_any_file(tmp_path: Path) -> None:
    names = SystemNames(tmp_path / "none", tmp_path / "none2")
    assert names.addresses("localhost")[0] == LOOPBACK
    assert names.addresses("a.localhost")[0] == LOOPBACK
    assert names.addresses(socket.gethostname().lower())[0] == LOOPBACK
    assert names.addresses("notlocalhost") == ((), "")
    assert names.resolvers() == ()


def test_a_changed_file_is_read_again(names: SystemNames) -> None:
    assert names.addresses("new.test") == ((), "")
    names.hosts_file.write_text("10.0.0.7 new.test\n")
    assert names.addresses("new.test")[0] == (ip_address("10.0.0.7"),)
    assert names.addresses("a.test") == ((), "")
    names.hosts_file.unlink()
    assert names.addresses("new.test") == ((), "")
    assert names.addresses("new.test") == ((), "")


def test_an_unreadable_file_is_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "hosts").mkdir()
    (tmp_path / "resolv.conf").write_bytes(b"\xff\xfe\0nameserver\n" * 3)
    names = SystemNames(tmp_path / "hosts", tmp_path / "resolv.conf")
    assert names.addresses("a.test") == ((), "")
    assert names.resolvers() == ()


@pytest.mark.parametrize(
    ("text", "is_address"),
    [
        ("10.0.0.1", True),
        ("::1", True),
        ("fe80::1%eth0", False),
        ("a.test", False),
        ("127.1", False),
        ("2130706433", False),
        ("0x7f000001", False),
        ("010.0.0.1", False),
        ("", False),
        (":", False),
    ],
)
def test_what_an_address_looks_like(text: str, is_address: bool) -> None:
    assert (as_address(text) is not None) == is_address


async def test_a_newcomer_on_one_machine(stage: Stage, tmp_path: Path) -> None:
    """No resolver configured, no DNS anywhere: `localhost` and the machine's own name still validate."""
    stage.http.tokens[TOKEN] = KEY_AUTHORIZATION
    settings = ValidationSettings(
        http01_port=stage.http.port, hosts_file=tmp_path / "none", resolv_conf=tmp_path / "none"
    )
    validator = Validator(settings)
    for name in ("localhost", socket.gethostname().lower()):
        identifier = parse_identifier("dns", name)
        record = await validator.validate("http-01", identifier, TOKEN, KEY_AUTHORIZATION, RULES)
        assert record.connections[-1].outcome == "connected"
    with pytest.raises(ValidationFailed, match="no DNS resolver configured") as caught:
        await validator.validate(
            "http-01", parse_identifier("dns", "a.test"), TOKEN, KEY_AUTHORIZATION, RULES
        )
    assert caught.value.problem is Problem.DNS


async def test_configured_resolvers_alone_decide(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("127.0.0.1 b.example\n")
    await stage.refused("http-01", "b.example", Problem.DNS, "NXDOMAIN", hosts_file=tmp_path / "hosts")
    stage.http.tokens[TOKEN] = KEY_AUTHORIZATION
    record = await stage.validate("http-01", "b.example", resolvers=(), hosts_file=tmp_path / "hosts")
    assert record.lookups[0].resolver == str(tmp_path / "hosts")
