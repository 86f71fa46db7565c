"""`certctl init`: a new CA, or an existing issuing CA taken in."""

import asyncio
from pathlib import Path
from typing import Annotated, Final, Literal

from cyclopts import Group, Parameter

from servers import log
from servers.ceremony import Constraints, Import, Plan
from servers.cli.options import Exit, Failed, Place
from servers.cli.output import say
from servers.settings import Settings, load_settings
from servers.setup import Made, alone, initialise
from store import clock
from store.open import open_database

_NAMES: Final = Group("What the CA is called and may issue for", sort_key=10)
_IMPORT: Final = Group("An issuing CA that exists already", sort_key=20)

KeyAlgorithm = Literal["p256", "p384", "p521", "ed25519", "rsa-2048", "rsa-3072", "rsa-4096"]
Text = Annotated[str, Parameter(group=_NAMES)]
Many = Annotated[tuple[str, ...], Parameter(group=_NAMES)]
Days = Annotated[int, Parameter(group=_NAMES)]
File = Annotated[Path | None, Parameter(group=_IMPORT)]


def init(
    *,
    key_algorithm: KeyAlgorithm = "p256",
    organization: Annotated[str | None, Parameter(group=_NAMES)] = None,
    root_name: Text = "certctl Root CA",
    issuing_name: Text = "certctl Issuing CA",
    root_days: Days = 7305,
    issuing_days: Days = 3652,
    permit_dns: Many = (),
    permit_ip: Many = (),
    exclude_dns: Many = (),
    exclude_ip: Many = (),
    import_chain: File = None,
    import_key: File = None,
    import_passphrase_file: File = None,
    place: Place = Place(),
) -> None:
    """Make a data directory into a CA: keys, certificates, database, first profiles and an admin's token.

    An interrupted run can simply be repeated. A directory that has a CA is left as it is.

    Args:
        key_algorithm: Of the root's and the issuing CA's key.
        organization: O of both names.
        root_name: CN of the root.
        issuing_name: CN of the issuing CA.
        root_days: How long the root lives.
        issuing_days: How long the issuing CA lives.
        permit_dns: Issue only for this DNS suffix; may be repeated.
        permit_ip: Issue only for this network; may be repeated.
        exclude_dns: Never issue for this DNS suffix; may be repeated.
        exclude_ip: Never issue for this network; may be repeated.
        import_chain: PEM, the issuing certificate first, its root last.
        import_key: The issuing CA's key, PKCS#8 in PEM, mode 0600.
        import_passphrase_file: What opens that key, if it is encrypted.
    """
    if (import_chain is None) != (import_key is None):
        raise Failed(Exit.USAGE, "give --import-chain and --import-key together")
    if import_chain is not None and import_key is not None:
        plan: Plan | Import = Import(import_chain, import_key, import_passphrase_file)
    else:
        plan = Plan(
            key_algorithm=key_algorithm,
            organization=organization,
            root_name=root_name,
            issuing_name=issuing_name,
            root_days=root_days,
            issuing_days=issuing_days,
            constraints=Constraints(permit_dns, permit_ip, exclude_dns, exclude_ip),
        )
    settings = load_settings(place.data)
    log.configure(settings.log.level, settings.log.format)
    made = asyncio.run(_make(settings, plan))
    say(_document(made), as_json=place.json, text=describe(made))


def describe(made: Made, *, show_token: bool = True) -> str:
    """What a person has to know about a new CA; the token only where no log would keep it."""
    lines = [
        f"made a CA: {made.issuing_subject}",
        f"  root certificate  {made.root_certificate}   (what clients trust)",
    ]
    if made.root_key is not None:
        lines.append(
            f"  root key          {made.root_key}   (encrypted; not needed to serve: take it offline)"
        )
    kept = f"kept in {made.root_certificate.with_name('admin.token')} (0600)"
    if show_token:
        lines += [f"  admin's token     {made.admin_token}", f"                    shown once; {kept}"]
    else:
        lines.append(f"  admin's token     {kept}")
    return "\n".join(lines)


async def _make(settings: Settings, plan: Plan | Import) -> Made:
    with alone(settings.directory):
        database = await open_database(settings.database_url)
        try:
            return await initialise(database, settings, plan, clock.now())
        finally:
            await database.close()


def _document(made: Made) -> dict[str, str | None]:
    return {
        "issuer": made.issuing_subject,
        "root_certificate": str(made.root_certificate),
        "root_key": None if made.root_key is None else str(made.root_key),
        "admin_token": made.admin_token,
    }
