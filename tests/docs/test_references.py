"""The reference tables hold every field and every setting, with its true default; the examples can be used."""

from __future__ import annotations

import json
import tomllib
import typing
from collections.abc import Iterator
from datetime import timedelta
from enum import Enum
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from policy.profile_values import write_duration
from policy.profiles import Profile, parse_toml
from policy.rate_limits import Limit
from servers.addresses import Address
from servers.cli.options import EXITS
from servers.settings import FILE, LimitsSection, Settings, load_settings
from tests.docs.markdown import PAGES, ROOT, blocks, rows

PROFILES = ROOT / "docs" / "profiles.md"
OPERATIONS = ROOT / "docs" / "operations.md"
UNIT = {timedelta(hours=1): "1h"}


def written(value: object) -> str:
    """A default as the tables have it."""
    match value:
        case None:
            return "none"
        case _:
            return f"`{json.dumps(plain(value))}`"


def plain(value: object) -> object:
    """A default in the words of JSON, which TOML shares."""
    match value:
        case timedelta():
            return write_duration(value)
        case Limit():
            return f"{value.count}/{UNIT[value.period]}"
        case Enum():
            return value.value
        case Address() | IPv4Network() | IPv6Network() | Path():
            return str(value)
        case tuple():
            return [plain(one) for one in value]
        case _:
            return value


def section_in(field: FieldInfo) -> tuple[type[BaseModel] | None, str]:
    """The model that a field holds, and how its path goes on."""
    annotation = field.annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, "."
    for argument in typing.get_args(annotation):
        if isinstance(argument, type) and issubclass(argument, BaseModel):
            return argument, "[]." if typing.get_origin(annotation) is tuple else "."
    return None, ""


def fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    """(dotted path, default as written) of every field, sections followed."""
    for name, field in model.model_fields.items():
        inner, goes_on = section_in(field)
        if inner is None or goes_on == "[].":
            yield f"{prefix}{name}", default_of(field)
        if inner is not None:
            yield from fields(inner, f"{prefix}{name}{goes_on}")


def default_of(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default_factory is not None:
        return written(field.get_default(call_default_factory=True, validated_data={}))
    return written(field.default)


def test_every_field_of_a_profile_is_described() -> None:
    described = {cells[0].strip("`"): cells[1] for _, cells in rows(PROFILES) if cells[0].startswith("`")}
    assert described == dict(fields(Profile))


def test_every_setting_is_described() -> None:
    described: dict[str, str] = {}
    for heading, cells in rows(OPERATIONS):
        if heading.startswith("["):
            described[f"{heading.strip('[]')}.{cells[0].strip('`')}"] = cells[1]
    assert described == dict(fields(Settings))


def test_a_limit_is_written_as_it_is_read() -> None:
    assert written(LimitsSection().orders_per_account) == '"1000/1h"'.join("``")


def test_secrets_have_no_default() -> None:
    for section in Settings.model_fields.values():
        model, _ = section_in(section)
        assert model is not None
        for field in model.model_fields.values():
            if SecretStr in typing.get_args(field.annotation):
                assert field.default is None


def test_every_exit_code_is_described() -> None:
    described = {
        cells[0].strip("`"): cells[1] for heading, cells in rows(OPERATIONS) if heading == "Exit codes"
    }
    told = dict(
        line.split(maxsplit=1) for line in EXITS.splitlines() if line[:1].isspace() or line[:1].isdigit()
    )
    assert described == {code.strip(): words for code, words in told.items()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_can_be_used(page: Path, tmp_path: Path) -> None:
    for block in blocks(page):
        if block.language != "toml":
            continue
        document = tomllib.loads(block.text)
        if "profile" in document:
            assert parse_toml(block.text.encode()), block.place
        else:
            folder = tmp_path / str(block.line)
            folder.mkdir()
            (folder / FILE).write_text(block.text)
            load_settings(folder, {})
