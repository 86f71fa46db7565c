"""From what went wrong to one line and an exit code. What is not in the table is a bug."""

from ca.keys.file import KeyRefused
from policy.signers import WrongKey
from servers.authorities import NoAuthority
from servers.ceremony import CeremonyRefused
from servers.cli.options import Exit, Failed
from servers.files import FileRefused
from servers.own_certificate import CertificateUnavailable
from servers.serve import Broke, CannotListen
from servers.settings import SettingsRefused
from servers.setup import AlreadyThere, SetupRefused
from servers.web.tls import TlsRefused
from store.database import StorageFailed
from store.migrate import SchemaTooNew
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
    StorageFailed: Exit.STORAGE,
    SchemaTooNew: Exit.STORAGE,
}


def failure_of(error: BaseException) -> Failed | None:
    """What to tell about `error`; None for a bug."""
    if isinstance(error, Failed):
        return error
    for kind, code in TABLE.items():
        if isinstance(error, kind):
            return Failed(code, " ".join(str(error).split()))
    return None
