"""From what went wrong to one line and an exit code. What is not in the table is a bug."""

from ca.keys.file import KeyRefused
from policy.access import AccessDenied, RoleRefused
from policy.acme.external_accounts import PatternRefused
from policy.acme.external_keys import NoSuchKey
from policy.approvals import DecisionRefused
from policy.decisions import NoSuchApproval
from policy.principals import NoSuchPrincipal, PrincipalRefused
from policy.profile_cache import ProfileUnreadable
from policy.profiles import ProfileRefused
from policy.revocation import AlreadyRevoked, NoSuchCertificate
from policy.signers import WrongKey
from servers.authorities import NoAuthority
from servers.ceremony import CeremonyRefused
from servers.cli.options import Exit, Failed
from servers.files import FileRefused
from servers.own_certificate import CertificateUnavailable
from servers.serve import Broke, CannotListen
from servers.settings import SettingsRefused
from servers.setup import AlreadyThere, SetupRefused
from servers.supervisor import DidNotStart
from servers.web.tls import TlsRefused
from store.audit import ChainBroken
from store.database import DatabaseRefused, StorageFailed
from store.migrate import SchemaTooNew, SchemaTooOld
from store.open import UnknownDatabase

TABLE: dict[type[BaseException], Exit] = {
    SettingsRefused: Exit.CONFIGURATION,
    FileRefused: Exit.CONFIGURATION,
    KeyRefused: Exit.CONFIGURATION,
    WrongKey: Exit.CONFIGURATION,
    TlsRefused: Exit.CONFIGURATION,
    CannotListen: Exit.CONFIGURATION,
    NoAuthority: Exit.CONFIGURATION,
    SetupRefused: Exit.CONFIGURATION,
    UnknownDatabase: Exit.CONFIGURATION,
    CeremonyRefused: Exit.REFUSED,
    CertificateUnavailable: Exit.REFUSED,
    AlreadyThere: Exit.REFUSED,
    Broke: Exit.REFUSED,
    AlreadyRevoked: Exit.REFUSED,
    ChainBroken: Exit.REFUSED,
    DecisionRefused: Exit.REFUSED,
    PatternRefused: Exit.REFUSED,
    PrincipalRefused: Exit.REFUSED,
    ProfileRefused: Exit.REFUSED,
    RoleRefused: Exit.REFUSED,
    NoSuchApproval: Exit.NOT_FOUND,
    NoSuchCertificate: Exit.NOT_FOUND,
    NoSuchKey: Exit.NOT_FOUND,
    NoSuchPrincipal: Exit.NOT_FOUND,
    ProfileUnreadable: Exit.NOT_FOUND,
    AccessDenied: Exit.NOT_ALLOWED,
    StorageFailed: Exit.STORAGE,
    SchemaTooNew: Exit.STORAGE,
    SchemaTooOld: Exit.STORAGE,
    DatabaseRefused: Exit.REFUSED,
}


def failure_of(error: BaseException) -> Failed | None:
    """What to tell about `error`; None for a bug."""
    if isinstance(error, Failed):
        return error
    if isinstance(error, DidNotStart):
        return Failed(Exit(error.code) if error.code in set(Exit) else Exit.REFUSED, str(error))
    for kind, code in TABLE.items():
        if isinstance(error, kind):
            return Failed(code, " ".join(str(error).split()))
    return None
