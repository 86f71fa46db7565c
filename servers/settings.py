"""What an operator can set: DIR/certctl.toml, and over it the environment as CERTCTL_SECTION__KEY.

Everything is read once, at the start, and never changes. A key that nobody knows stops the start with its name: a
misspelt limit that is silently not there is worse than a server that does not come up.
"""

import os
import socket
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from policy.acme.limits import AcmeLimits
from policy.profile_toml import explain
from policy.rate_limits import Limit
from policy.validation import ValidationSettings
from servers.addresses import Address, parse_address, parse_resolver

FILE: Final = "certctl.toml"
PREFIX: Final = "CERTCTL_"
_SEPARATOR: Final = "__"
_MAX_FILE: Final = 256 * 1024
_DEFAULT_LIMITS: Final = AcmeLimits()
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1"})
_ANYWHERE: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - recognised, not bound


class SettingsRefused(ValueError):
    """The settings cannot be used. `problems` holds one sentence for each thing to put right."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems: Final = problems


def _words(value: object) -> object:
    """A list, also from `a, b` as the environment has it."""
    return [part for part in value.replace(",", " ").split() if part] if isinstance(value, str) else value


def _public_url(text: str, *schemes: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in schemes or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f'write the URL that clients use, as in "{schemes[0]}://ca.example.com"')
    if parts.username or parts.password:
        raise ValueError("a URL that everybody sees holds no user and no password")
    if not (parts.hostname.isascii() and text.isprintable() and " " not in text):
        raise ValueError("write the host name in ASCII (its A-labels), and no spaces")
    return text.rstrip("/")


def _limit(value: object) -> object:
    return Limit.parse(value) if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
HttpsUrl = Annotated[str, AfterValidator(lambda text: _public_url(text, "https"))]
HttpUrl = Annotated[str, AfterValidator(lambda text: _public_url(text, "http"))]
AnyUrl = Annotated[str, AfterValidator(lambda text: _public_url(text, "https", "http"))]
OptionalUrl = Annotated[AnyUrl | None, BeforeValidator(lambda text: text or None)]
"""Nothing when empty: a directory that says "" breaks clients, and one that says nothing does not."""
Rate = Annotated[Limit, BeforeValidator(_limit)]
Listen = Annotated[Address, BeforeValidator(lambda text: parse_address(str(text)))]
Port = Annotated[int, Field(ge=1, le=65535)]


class Section(BaseModel):
    """Frozen; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ServerSection(Section):
    """Where the server listens, and what it is called."""

    https: Listen = Address("127.0.0.1", 8443)
    """ACME, health and metrics, over TLS."""
    http: Listen = Address("127.0.0.1", 8080)
    """What relying parties fetch in the clear: CA certificates."""
    external_url: HttpsUrl | None = None
    """What clients see in front of /acme. Without it: the https listener's own address."""
    external_http_url: HttpUrl | None = None
    """What certificates point to. Without it: the host of external_url at the port of the http listener."""
    processes: int = Field(default=1, ge=1, le=256)


class DatabaseSection(Section):
    """Where everything is kept: sqlite:///path or postgresql://user@host/name."""

    url: SecretStr | None = None
    """Without it: sqlite:///DIR/certctl.db."""
    url_file: Path | None = None
    """A file that holds the URL, because a password may be in it."""


class KeysSection(Section):
    """What opens the key files."""

    passphrase_file: Path = Path("passphrase")
    passphrase: SecretStr | None = None
    """In the environment only: CERTCTL_KEYS__PASSPHRASE. Stronger than passphrase_file."""


class AcmeSection(Section):
    """How challenges are checked, and what the directory says (RFC 8555 section 7.1.1)."""

    http01_port: Port = 80
    tlsalpn01_port: Port = 443
    resolvers: Words = ()
    """`address:port` of the DNS servers to ask. Without any: the system's, and /etc/hosts."""
    terms_of_service: OptionalUrl = None
    website: OptionalUrl = None
    caa_identities: Words = ()


class LimitsSection(Section):
    """How much one client may ask for: `count/span` as in "300/3h"; and what one connection may cost."""

    orders_per_account: Rate = _DEFAULT_LIMITS.orders_per_account
    orders_per_address: Rate = _DEFAULT_LIMITS.orders_per_address
    orders_per_external_account: Rate = _DEFAULT_LIMITS.orders_per_external_account
    accounts_per_address: Rate = _DEFAULT_LIMITS.accounts_per_address
    failed_validations: Rate = _DEFAULT_LIMITS.failed_validations
    max_body: int = Field(default=128 * 1024, ge=16 * 1024, le=16 * 1024 * 1024)
    """The largest request body, in bytes."""
    max_connections: int = Field(default=4096, ge=1, le=1_000_000)
    """Open connections of one process and listener."""
    idle_seconds: float = Field(default=75, gt=0, le=3600)
    """How long a connection may stay without a whole request head."""
    body_seconds: float = Field(default=15, gt=0, le=600)
    """How long a request may take to arrive once its head is there."""
    handshake_seconds: float = Field(default=10, gt=0, le=60)
    drain_seconds: float = Field(default=30, gt=0, le=600)
    """How long a stop waits for the requests under way."""


class LogSection(Section):
    """What is written to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"
    """auto: for people where a person looks on, JSON otherwise."""


class Settings(BaseSettings):
    """All of them. Made by `load_settings`."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid")

    server: ServerSection = ServerSection()
    database: DatabaseSection = DatabaseSection()
    keys: KeysSection = KeysSection()
    acme: AcmeSection = AcmeSection()
    limits: LimitsSection = LimitsSection()
    log: LogSection = LogSection()
    _directory: Path = PrivateAttr(default=Path())

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What the caller hands over is all there is: `load_settings` has put the sources in order."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    @property
    def directory(self) -> Path:
        """DIR, absolute."""
        return self._directory

    def path(self, path: Path) -> Path:
        """`path`, which counts from DIR unless it is absolute."""
        return self._directory / path

    @property
    def external_url(self) -> str:
        """What clients see in front of `/acme`, without a final slash."""
        if self.server.external_url is not None:
            return self.server.external_url
        host, port = self.server.https
        name = "localhost" if host in _LOOPBACK else _own_name() if host in _ANYWHERE else host
        return _origin("https", name, port)

    @property
    def external_http_url(self) -> str:
        """Where certificates say that CA certificates, CRLs and OCSP are, without a final slash."""
        if self.server.external_http_url is not None:
            return self.server.external_http_url
        host = urlsplit(self.external_url).hostname
        assert host is not None
        return _origin("http", host, self.server.http.port)

    @property
    def database_url(self) -> str:
        """The URL to open; it may hold a password. Raises SettingsRefused when its file cannot be read."""
        if self.database.url is not None:
            url = self.database.url.get_secret_value()
        elif self.database.url_file is not None:
            url = _first_line(self.path(self.database.url_file), "[database] url_file")
        else:
            url = "sqlite:///certctl.db"
        scheme, slashes, rest = url.partition(":///")
        if scheme == "sqlite" and slashes:
            return f"sqlite:///{self.path(Path(rest))}"
        return url

    @property
    def acme_limits(self) -> AcmeLimits:
        """The limits that policy holds ACME clients to."""
        limits = self.limits
        return AcmeLimits(
            orders_per_account=limits.orders_per_account,
            orders_per_address=limits.orders_per_address,
            orders_per_external_account=limits.orders_per_external_account,
            accounts_per_address=limits.accounts_per_address,
            failed_validations=limits.failed_validations,
        )

    @property
    def validation(self) -> ValidationSettings:
        """How challenges are checked."""
        return ValidationSettings(
            http01_port=self.acme.http01_port,
            tlsalpn01_port=self.acme.tlsalpn01_port,
            resolvers=tuple(parse_resolver(text) for text in self.acme.resolvers),
        )


def load_settings(
    directory: Path,
    environment: Mapping[str, str] | None = None,
    overrides: Mapping[str, Mapping[str, object]] | None = None,
) -> Settings:
    """The settings for DIR: its certctl.toml, over that the environment, over that the command line.

    Raises SettingsRefused with everything that is wrong.
    """
    directory = directory.absolute()
    merged = _read_file(directory / FILE)
    for section, values in _read_environment(os.environ if environment is None else environment).items():
        merged.setdefault(section, {}).update(values)
    for section, overriding in (overrides or {}).items():
        given = {key: value for key, value in overriding.items() if value is not None}
        merged.setdefault(section, {}).update(given)
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        problems = [f"{_spelt(path)}: {words}" for path, words in explain(Settings, error)]
        raise SettingsRefused(*problems) from None
    settings._directory = directory  # noqa: SLF001 - pydantic's way to keep what is not a setting
    try:
        _ = settings.validation
    except ValueError as error:
        raise SettingsRefused(f"[acme]: {error}") from None
    return settings


def is_environment(name: str) -> bool:
    """Whether an environment variable of this name sets a setting."""
    return name.startswith(PREFIX) and _SEPARATOR in name


def _read_file(path: Path) -> dict[str, dict[str, Any]]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise SettingsRefused(f"{path}: {error.strerror}") from None
    if len(data) > _MAX_FILE:
        raise SettingsRefused(f"{path}: larger than {_MAX_FILE} bytes")
    try:
        document = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise SettingsRefused(f"{path}: not TOML: {error}") from None
    strays = [key for key, value in document.items() if not isinstance(value, dict)]
    if strays:
        raise SettingsRefused(*(f"{path}: {key} stands in no section" for key in strays))
    if "passphrase" in document.get("keys", {}):
        raise SettingsRefused(
            f"{path}: [keys] passphrase: a passphrase does not stand beside its keys; "
            "set CERTCTL_KEYS__PASSPHRASE or passphrase_file"
        )
    return document


def _read_environment(environment: Mapping[str, str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for name, value in environment.items():
        if is_environment(name):
            section, _, key = name.removeprefix(PREFIX).lower().partition(_SEPARATOR)
            found.setdefault(section, {})[key] = value
    return found


def _spelt(path: str) -> str:
    section, _, key = path.partition(".")
    return f"[{section}] {key}" if key else f"[{section}]"


def _first_line(path: Path, what: str) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise SettingsRefused(f"{what}: {path}: {reason}") from None


def _origin(scheme: str, host: str, port: int) -> str:
    written = f"[{host}]" if ":" in host else host
    return f"{scheme}://{written}" + ("" if port == {"https": 443, "http": 80}[scheme] else f":{port}")


def _own_name() -> str:
    return socket.getfqdn().lower()
