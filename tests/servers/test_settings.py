"""Settings: where they come from, what refuses to start, and that each of them is used."""

import ast
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from policy.rate_limits import Limit
from servers.addresses import Address, parse_address, parse_resolver
from servers.settings import Settings, SettingsRefused, load_settings

ROOT = Path(__file__).parent.parent.parent
SECTIONS = {name: field.annotation for name, field in Settings.model_fields.items()}
FIELDS = [
    (section, name)
    for section, model in SECTIONS.items()
    if isinstance(model, type) and issubclass(model, BaseModel)
    for name in model.model_fields
]


def write(folder: Path, text: str) -> None:
    (folder / "certctl.toml").write_text(text)


def test_an_empty_directory_has_settings_for_one_machine(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, {})
    assert settings.external_url == "https://localhost:8443"
    assert settings.external_http_url == "http://localhost:8080"
    assert settings.database_url == f"sqlite:///{tmp_path}/certctl.db"
    assert settings.path(settings.keys.passphrase_file) == tmp_path / "passphrase"
    assert settings.validation.http01_port == 80
    assert settings.acme_limits.orders_per_account.count == 1000


def test_environment_beats_file_and_command_line_beats_both(tmp_path: Path) -> None:
    write(tmp_path, '[server]\nhttps = "127.0.0.1:1001"\nhttp = "127.0.0.1:1002"\nprocesses = 2\n')
    environment = {"CERTCTL_SERVER__HTTP": "127.0.0.1:2002", "CERTCTL_SERVER__PROCESSES": "3"}
    overrides = {"server": {"processes": 4, "https": None}}
    server = load_settings(tmp_path, environment, overrides).server
    assert (server.https, server.http, server.processes) == (
        Address("127.0.0.1", 1001),
        Address("127.0.0.1", 2002),
        4,
    )


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (
            '[server]\nexternal_ulr = "https://a.example"\n',
            'external_ulr: unknown field; did you mean "external_url"',
        ),
        ("[sever]\nprocesses = 1\n", "[sever]: unknown field"),
        ("processes = 1\n", "processes stands in no section"),
        ("[limits]\nmax_boddy = 1\n", "max_boddy"),
        ("[log]\nlevel = 'loud'\n", "[log] level"),
        ("[server\n", "not TOML"),
    ],
)
def test_a_key_that_nobody_knows_is_named(tmp_path: Path, text: str, named: str) -> None:
    write(tmp_path, text)
    with pytest.raises(SettingsRefused) as refused:
        load_settings(tmp_path, {})
    assert named in str(refused.value)


@pytest.mark.parametrize(
    "name", ["CERTCTL_SERVER__EXTERNAL_ULR", "CERTCTL_SEVER__HTTPS", "CERTCTL_LOG__LEVEL__X"]
)
def test_so_is_one_of_the_environment(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsRefused):
        load_settings(tmp_path, {name: "1"})


def test_what_belongs_to_the_command_line_is_no_setting(tmp_path: Path) -> None:
    load_settings(tmp_path, {"CERTCTL_DATA": "x", "CERTCTL_TOKEN_FILE": "y"})


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("server", "https", "8443"),
        ("server", "https", "ca.example:8443"),
        ("server", "https", "127.0.0.1:70000"),
        ("server", "external_url", "http://ca.example"),
        ("server", "external_url", "https://user:word@ca.example"),
        ("server", "external_url", "https://ca.example/?x"),
        ("server", "external_url", "https://exämple.example"),
        ("server", "external_http_url", "https://ca.example"),
        ("server", "processes", "0"),
        ("acme", "http01_port", "0"),
        ("acme", "resolvers", "dns.example:53"),
        ("acme", "resolvers", "10.0.0.1:0"),
        ("acme", "terms_of_service", "terms.html"),
        ("limits", "orders_per_account", "300"),
        ("limits", "max_body", "1"),
        ("limits", "body_seconds", "0"),
    ],
)
def test_values_that_make_no_sense_are_refused(tmp_path: Path, section: str, key: str, value: str) -> None:
    with pytest.raises(SettingsRefused) as refused:
        load_settings(tmp_path, {f"CERTCTL_{section.upper()}__{key.upper()}": value})
    assert f"[{section}]" in str(refused.value)


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    write(tmp_path, '[server]\nhttps = "x"\n[limits]\nfailed_validations = "many"\n')
    with pytest.raises(SettingsRefused) as refused:
        load_settings(tmp_path, {})
    assert len(refused.value.problems) == 2


def test_an_empty_link_is_none(tmp_path: Path) -> None:
    acme = load_settings(tmp_path, {"CERTCTL_ACME__TERMS_OF_SERVICE": "", "CERTCTL_ACME__WEBSITE": ""}).acme
    assert (acme.terms_of_service, acme.website) == (None, None)


def test_lists_and_limits_are_written_as_people_write_them(tmp_path: Path) -> None:
    write(
        tmp_path,
        '[acme]\nresolvers = ["10.0.0.1:53", "::1"]\n[limits]\norders_per_address = "300/3h"\n',
    )
    settings = load_settings(tmp_path, {"CERTCTL_ACME__CAA_IDENTITIES": "ca.example, ca2.example"})
    assert settings.validation.resolvers == (("10.0.0.1", 53), ("::1", 53))
    assert settings.acme.caa_identities == ("ca.example", "ca2.example")
    assert settings.acme_limits.orders_per_address == Limit.parse("300/3h")


def test_relative_paths_count_from_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "url").write_text("sqlite:///sub/ca.db\n")
    environment = {"CERTCTL_DATABASE__URL_FILE": "url", "CERTCTL_KEYS__PASSPHRASE_FILE": "/etc/pass"}
    settings = load_settings(Path("data"), environment)
    assert settings.database_url == f"sqlite:///{tmp_path}/data/sub/ca.db"
    assert settings.path(settings.keys.passphrase_file) == Path("/etc/pass")
    assert load_settings(Path("data"), {"CERTCTL_DATABASE__URL": "postgresql://u@h/n"}).database_url == (
        "postgresql://u@h/n"
    )


def test_a_missing_url_file_is_named(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, {"CERTCTL_DATABASE__URL_FILE": "gone"})
    with pytest.raises(SettingsRefused, match="gone"):
        _ = settings.database_url


@pytest.mark.parametrize(
    ("environment", "https", "http"),
    [
        ({"CERTCTL_SERVER__HTTPS": "[::1]:443"}, "https://localhost", "http://localhost:8080"),
        ({"CERTCTL_SERVER__HTTPS": "10.1.2.3:9443"}, "https://10.1.2.3:9443", "http://10.1.2.3:8080"),
        ({"CERTCTL_SERVER__HTTPS": "[fd00::1]:9443"}, "https://[fd00::1]:9443", "http://[fd00::1]:8080"),
        (
            {"CERTCTL_SERVER__EXTERNAL_URL": "https://ca.example/pki/", "CERTCTL_SERVER__HTTP": "0.0.0.0:80"},
            "https://ca.example/pki",
            "http://ca.example",
        ),
        (
            {
                "CERTCTL_SERVER__EXTERNAL_URL": "https://ca.example",
                "CERTCTL_SERVER__EXTERNAL_HTTP_URL": "http://pki.example/",
            },
            "https://ca.example",
            "http://pki.example",
        ),
    ],
)
def test_what_clients_see(tmp_path: Path, environment: dict[str, str], https: str, http: str) -> None:
    settings = load_settings(tmp_path, environment)
    assert (settings.external_url, settings.external_http_url) == (https, http)


def test_a_server_on_every_address_is_called_by_its_own_name(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, {"CERTCTL_SERVER__HTTPS": "0.0.0.0:8443"})
    assert "0.0.0.0" not in settings.external_url


def test_nothing_changes_after_the_start(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, {})
    with pytest.raises(ValidationError):
        settings.server.processes = 3
    with pytest.raises(ValidationError):
        settings.server = settings.server


def test_secrets_do_not_show(tmp_path: Path) -> None:
    environment = {
        "CERTCTL_KEYS__PASSPHRASE": "open-sesame",
        "CERTCTL_DATABASE__URL": "postgresql://u:hunter2@h/n",
    }
    settings = load_settings(tmp_path, environment)
    for text in (repr(settings), str(settings), settings.model_dump_json(), repr(settings.database)):
        assert "open-sesame" not in text
        assert "hunter2" not in text
    with pytest.raises(SettingsRefused) as refused:
        load_settings(tmp_path, environment | {"CERTCTL_KEYS__PASPHRASE": "open-sesame"})
    assert "open-sesame" not in str(refused.value)


def test_a_passphrase_does_not_stand_beside_its_keys(tmp_path: Path) -> None:
    write(tmp_path, '[keys]\npassphrase = "open-sesame"\n')
    with pytest.raises(SettingsRefused, match="CERTCTL_KEYS__PASSPHRASE") as refused:
        load_settings(tmp_path, {})
    assert "open-sesame" not in str(refused.value)


@pytest.mark.parametrize(("section", "name"), FIELDS)
def test_every_setting_is_used(section: str, name: str) -> None:
    """A setting that no code reads would be a promise that nobody keeps."""
    read = set()
    for path in (ROOT / "servers").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                read.add((node.attr, path.name))
    assert any(attribute == name for attribute, _ in read), f"[{section}] {name}"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        ("localhost:8443", ("127.0.0.1", 8443)),
        ("[::1]:443", ("::1", 443)),
        ("[2001:0db8::0001]:1", ("2001:db8::1", 1)),
    ],
)
def test_addresses_are_read(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address
    assert parse_address(str(parse_address(text))) == address


@pytest.mark.parametrize(
    "text", ["", ":", "80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:a", "127.0.0.1:-1", "h:1", "::1:٣"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"write an IP address and a port|between 1 and 65535"):
        parse_address(text)


@pytest.mark.parametrize(
    ("text", "resolver"),
    [("10.0.0.1", ("10.0.0.1", 53)), ("::1", ("::1", 53)), ("[::1]:5353", ("::1", 5353))],
)
def test_resolvers_listen_on_53_unless_said(text: str, resolver: tuple[str, int]) -> None:
    assert parse_resolver(text) == resolver
    assert type(parse_resolver(text)) is tuple
