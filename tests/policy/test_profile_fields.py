"""Every field of a profile is enforced: here by a test that fails without it, or by the code that is named."""

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, get_args

import pytest
from pydantic import BaseModel

from policy.profiles import Profile

ROOT: Final = Path(__file__).parents[2]

PROFILES, GATES = "test_profiles", "test_profile_gates"
RULES, DATES, NAMES, SUBJECT = "test_rules", "test_rules_dates", "test_identifier_rules", "test_subject"
EXACTLY: Final = f"{NAMES}::test_exactly_what_a_section_says_is_allowed"

ENFORCED: Final[dict[str, str]] = {
    "key_usage": f"{RULES}::test_a_key_gets_the_usages_it_is_able_to",
    "extended_key_usage": f"{RULES}::test_purposes_beyond_the_profile_are_refused",
    "must_staple": f"{RULES}::test_must_staple_is_never_allowed_or_always",
    "requires_approval": f"{RULES}::test_a_gated_profile_permits_only_with_approval",
    "keys.algorithms": f"{RULES}::test_only_the_algorithms_of_the_profile_are_taken",
    "keys.rsa_min_bits": f"{RULES}::test_rsa_keys_have_a_smallest_size",
    "keys.rsa_max_bits": f"{RULES}::test_rsa_keys_have_a_largest_size",
    "keys.allow_reuse": f"{RULES}::test_without_reuse_a_key_must_be_known_to_be_new",
    "validity.default": f"{DATES}::test_without_wishes_the_profile_s_dates_are_used",
    "validity.max": f"{DATES}::test_wishes_outside_the_profile_are_refused",
    "validity.backdate": f"{DATES}::test_a_start_in_the_past_is_refused_at_the_door_but_not_after_waiting",
    "identifiers.dns.any": EXACTLY,
    "identifiers.dns.suffixes": EXACTLY,
    "identifiers.dns.exact": EXACTLY,
    "identifiers.dns.wildcards": EXACTLY,
    "identifiers.ip.networks": EXACTLY,
    "identifiers.email.domains": EXACTLY,
    "identifiers.email.addresses": EXACTLY,
    "identifiers.uri.prefixes": EXACTLY,
    "identifiers.uri.spiffe.trust_domain": EXACTLY,
    "identifiers.uri.spiffe.paths": EXACTLY,
    "identifiers.max_names": f"{NAMES}::test_more_names_than_max_names_are_refused_in_one_short_answer",
    "subject.from_csr": f"{SUBJECT}::test_a_field_is_taken_from_the_csr_only_if_the_profile_takes_it",
    "subject.fixed.*": f"{SUBJECT}::test_a_fixed_field_stands_whatever_the_csr_says",
    "subject.common_name": f"{SUBJECT}::test_the_common_name_is_an_authorized_name_or_absent",
    "acme.trusted_without_external_account": f"{GATES}::test_trust_needs_an_external_account_or_a_written_reason",
}

# What others must read: `path` -> a pattern in the code of policy/ or servers/, outside the profile itself.
READ_ELSEWHERE: Final[dict[str, str]] = {
    "name": r"profile\.name\b",
    "issuer": r"profile\.issuer\b",
    "approval.approvers": r"\.approvers\b",
    "approval.group": r"\.group\b",
    "approval.role": r"\.role\b",
    "approval.expires": r"approval\.expires\b|rules\.expires\b",
    "approval.reuse_window": r"\.reuse_window\b",
    "approval.covers": r"\.covers\b",
    "acme.enabled": r"acme\.enabled\b",
    "acme.mode": r"acme\.mode\b",
    "acme.external_account_required": r"\.external_account_required\b",
    "acme.authorization_reuse": r"\.authorization_reuse\b",
    "acme.order_lifetime": r"\.order_lifetime\b",
    "acme.challenges": r"\bprovable_by\(",
    "acme.allowed_networks": r"\.allowed_networks\b",
    "acme.denied_networks": r"\.denied_networks\b",
    "acme.caa": r"\b(?:acme|rules)\.caa\b",
}
# Rules that only rule when the others ask them.
ASKED_ELSEWHERE: Final = (
    r"\bcheck_identifiers\(",
    r"\bcheck_provable\(",
    r"\bcheck_validity\(",
    r"\bevaluate\(",
    r"\bloosens\(",
)

FOR_PEOPLE: Final = {"description"}


def paths(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every field of the model, into sections and into lists of sections."""
    for name, field in model.model_fields.items():
        inner = section(field.annotation)
        if inner is None:
            yield f"{prefix}{name}"
        else:
            yield from paths(inner, f"{prefix}{name}.")


def section(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := section(part))), None)


def test_every_field_is_in_one_of_the_tables() -> None:
    found = {re.sub(r"^subject\.fixed\..*", "subject.fixed.*", path) for path in paths(Profile)}
    tables = [set(ENFORCED), set(READ_ELSEWHERE), FOR_PEOPLE]
    assert found == set.union(*tables)
    assert sum(map(len, tables)) == len(found), "a field stands in two tables"


@pytest.mark.parametrize("test", sorted(set(ENFORCED.values())))
def test_the_tests_that_are_named_exist(test: str) -> None:
    module, _, function = test.partition("::")
    assert callable(getattr(importlib.import_module(f"tests.policy.{module}"), function))


def code_of_others() -> str:
    own = {"loosening.py", "profiles.py", "rules.py", "identifier_rules.py", "subject.py"}
    own |= {f"profile_{part}.py" for part in ("values", "sections", "subject", "gates", "toml")}
    files = [path for package in ("policy", "servers") for path in sorted((ROOT / package).rglob("*.py"))]
    mine = [path for path in files if path.parent.name == "policy" and path.name in own]
    return "\n".join(path.read_text() for path in files if path not in mine)


@pytest.mark.parametrize("what", [*READ_ELSEWHERE, *ASKED_ELSEWHERE])
def test_what_is_enforced_elsewhere_is_read_there(what: str) -> None:
    assert re.search(READ_ELSEWHERE.get(what, what), code_of_others()), f"nothing reads {what}"
