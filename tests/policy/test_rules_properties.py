"""Properties of evaluate and loosens over profiles and requests of every shape."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from functools import cache

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from ca.csr import CertificateRequest
from ca.keys import KeyAlgorithm
from ca.names import Identifier
from policy.identifier_rules import allows
from policy.loosening import loosens
from policy.profiles import Profile, ProfileRefused
from policy.rules import Facts, IssuanceRequest, Permitted, Refused, check_validity, evaluate
from tests.policy.examples import GOOD, NOW, Section, csr, names, profile
from tests.policy.profile_strategies import identifiers, profiles

NAMES = (
    *("a.example", "b.a.example", "d.c.b.a.example", "xa.example", "b.example", "host"),
    *("*.a.example", "*.b.example", "*.host"),
    *("ip:10.0.0.1", "ip:10.200.0.1", "ip:192.0.2.1", "ip:203.0.113.1", "ip:2001:db8::1", "ip:2001:db9::1"),
    *("email:x@a.example", "email:y@b.example", "email:y@c.example"),
    *("uri:https://a.example/dev/1", "uri:https://a.example/", "uri:urn:dev:mac:1", "uri:urn:dev:1"),
    *(
        "uri:spiffe://a.example/a",
        "uri:spiffe://a.example/a/b",
        "uri:spiffe://b.example/b/b/b",
        "uri:spiffe://a.example",
    ),
)
POOL = sorted(names(*NAMES))
SETS = st.frozensets(st.sampled_from(POOL), max_size=6)
KEYS = st.sampled_from([(kind, 2048) for kind in KeyAlgorithm] + [(KeyAlgorithm.RSA, 3072)])
_MOMENTS = st.datetimes(
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))])
)
NEAR = st.integers(-200 * 3600 * 1000, 200 * 3600 * 1000).map(lambda ms: NOW + timedelta(milliseconds=ms))
WISHES = st.none() | NEAR | _MOMENTS
FACTS = st.builds(Facts, st.none() | st.just("stolen"), st.booleans(), st.none() | st.booleans())


@st.composite
def requests(draw: st.DrawFn) -> CertificateRequest:
    wanted = draw(SETS)
    algorithm, bits = draw(KEYS)
    common_name = draw(st.sampled_from([None, "a.example", "B.EXAMPLE", "10.0.0.1", "Jo Doe"]))
    return csr(wanted, algorithm=algorithm, bits=bits, common_name=common_name)


@settings(deadline=None)
@given(profiles(), requests(), SETS, FACTS, WISHES, WISHES)
def test_evaluate_always_decides(
    made: Profile,
    asked: CertificateRequest,
    authorized: frozenset[Identifier],
    facts: Facts,
    not_before: datetime | None,
    not_after: datetime | None,
) -> None:
    request = IssuanceRequest(asked, authorized, not_before, not_after)
    decision = evaluate(made, request, facts, NOW)
    assert evaluate(made, request, facts, NOW) == decision
    check_validity(made, not_before, not_after, NOW)
    if isinstance(decision, Refused):
        assert decision.reasons
        assert all(reason.words for reason in decision.reasons)


@st.composite
def fitting(draw: st.DrawFn) -> tuple[Profile, IssuanceRequest]:
    """A profile and a request for names that it allows with a key that it takes."""
    made = draw(profiles())
    allowed = [name for name in POOL if allows(made, name)]
    most = made.identifiers.max_names
    wanted = (
        draw(st.frozensets(st.sampled_from(allowed), min_size=1, max_size=most)) if allowed else frozenset()
    )
    algorithm = draw(st.sampled_from(made.keys.algorithms))
    asked = csr(wanted, algorithm=algorithm, bits=draw(st.sampled_from([2048, 3072])))
    near = st.none() | st.integers(-3600_000, made.validity.max // timedelta(milliseconds=1)).map(
        lambda ms: NOW + timedelta(milliseconds=ms)
    )
    return made, IssuanceRequest(asked, wanted, draw(near), draw(near))


@settings(deadline=None)
@given(fitting())
def test_a_plan_never_says_more_than_the_profile(pair: tuple[Profile, IssuanceRequest]) -> None:
    made, request = pair
    asked = request.csr
    facts = Facts(None, key_is_account_key=False, key_used_before=False)
    decision = evaluate(made, request, facts, NOW)
    if isinstance(decision, Refused):
        return
    plan = decision.content
    assert frozenset(plan.identifiers) == asked.identifiers
    assert len(plan.identifiers) == len(asked.identifiers) <= made.identifiers.max_names
    assert all(allows(made, name) for name in plan.identifiers)
    assert decision.needs_approval is made.requires_approval
    assert asked.key.algorithm in made.keys.algorithms
    assert set(plan.key_usage) <= set(made.key_usage)
    assert plan.key_usage
    assert plan.extended_key_usage == made.extended_key_usage
    now = NOW.replace(microsecond=0)
    assert plan.not_before < plan.not_after
    assert plan.not_before >= now - made.validity.backdate
    assert plan.not_after <= now + made.validity.max
    assert plan.not_after - plan.not_before <= made.validity.max
    assert plan.not_after > NOW
    assert {plan.not_before.microsecond, plan.not_after.microsecond} == {0}


@settings(deadline=None)
@given(SETS, SETS)
@example(frozenset(), frozenset())
def test_names_must_be_equal_both_ways(
    wanted: frozenset[Identifier], authorized: frozenset[Identifier]
) -> None:
    everything = profile(
        identifiers={
            "dns": {"any": True, "suffixes": None, "wildcards": True},
            "ip": {"networks": ["0.0.0.0/0", "::/0"]},
            "email": {"domains": ["a.example", "b.example", "c.example"]},
            "uri": {"prefixes": ["https:", "urn:"]},
        }
    )
    spiffe = [name for name in wanted | authorized if name.value.startswith("spiffe:")]
    assume(not spiffe)
    decision = evaluate(
        everything, IssuanceRequest(csr(wanted), authorized), Facts(None, key_is_account_key=False), NOW
    )
    assert isinstance(decision, Permitted) is (wanted == authorized != frozenset())


@st.composite
def touched(draw: st.DrawFn, section: Section, fresh: Section) -> Section:
    """The section with some entries of its lists gone and some of `fresh` added, and its flags from either."""
    result: Section = {}
    for name, value in section.items():
        other = fresh.get(name, value)
        if isinstance(value, dict):
            result[name] = draw(touched(value, dict(other or {})))
        elif isinstance(value, list) and isinstance(other, list):
            kept = [entry for entry in value if draw(st.integers(0, 2))]
            added = [entry for entry in other if entry not in value and not draw(st.integers(0, 3))]
            result[name] = kept + added
        else:
            result[name] = draw(st.sampled_from([value, other]))
    return result


@st.composite
def edits(draw: st.DrawFn, times: int = 1) -> list[Profile]:
    """A gated profile and later versions of it, with other names and keys."""
    versions: list[Profile] = []
    section = draw(identifiers())
    keys: Section = {"algorithms": ["rsa", "p256"], "rsa_min_bits": 2048, "rsa_max_bits": 4096}
    for _ in range(20):
        with suppress(ProfileRefused):  # an edit that contradicts itself is no version
            versions.append(profile(requires_approval=True, identifiers={"dns": None} | section, keys=keys))
        if len(versions) > times:
            return versions
        section = draw(touched(section, draw(identifiers())))
        keys = draw(
            st.sampled_from([keys, {"algorithms": ["p256"]}, {"rsa_min_bits": 3072}, {"rsa_max_bits": 8192}])
        )
    return (versions * (times + 1))[: times + 1]


@cache
def _csr_for(name: Identifier, algorithm: KeyAlgorithm, bits: int) -> CertificateRequest:
    return csr([name], algorithm=algorithm, bits=bits)


@settings(deadline=None, max_examples=100)
@given(
    edits(),
    st.sampled_from([(KeyAlgorithm.RSA, 2048), (KeyAlgorithm.P256, 2048), (KeyAlgorithm.ED25519, 2048)]),
)
def test_what_does_not_loosen_permits_nothing_new(
    versions: list[Profile], key: tuple[KeyAlgorithm, int]
) -> None:
    old, new = versions
    if loosens(old, new):
        return
    for name in POOL:
        request = IssuanceRequest(_csr_for(name, *key), frozenset({name}))
        if isinstance(evaluate(new, request, GOOD, NOW), Permitted):
            assert isinstance(evaluate(old, request, GOOD, NOW), Permitted), name


@settings(deadline=None, max_examples=50)
@given(edits(times=2))
def test_tightening_twice_is_tightening(versions: list[Profile]) -> None:
    one, two, three = versions
    if not loosens(one, two) and not loosens(two, three):
        assert loosens(one, three) == ()


@settings(deadline=None, max_examples=30)
@given(profiles())
def test_no_change_is_no_loosening(made: Profile) -> None:
    assert loosens(made, made) == ()
