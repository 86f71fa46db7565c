"""The tables. Migrations make them; a test holds the two together. Guards: `store/migrations/guards.py`.

On SQLite most tables lie in the order of their primary key (WITHOUT ROWID): one tree to write to
instead of two. `requests` and `certificates` hold long rows and keep theirs apart.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

_NAMES: Final = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=_NAMES)
on_postgresql = MetaData(naming_convention=_NAMES)
"""Tables that SQLite has no need of: `store/nonces.py` keeps a file of its own instead."""


def _words(name: str, *, optional: bool = False) -> Column[str]:
    return Column(name, Text, nullable=optional)


def _time(name: str, *, optional: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=optional)


def _key() -> Column[str]:
    return Column("id", Text, primary_key=True)


def _refers(name: str, target: str, *, optional: bool = False) -> Column[str]:
    return Column(name, Text, ForeignKey(target), nullable=optional)


principals = Table(
    "principals",
    metadata,
    _key(),
    Column("name", Text, nullable=False, unique=True),
    _words("kind"),
    _time("created_at"),
    _words("created_by", optional=True),
    _time("disabled_at", optional=True),
    sqlite_with_rowid=False,
)

principal_roles = Table(
    "principal_roles",
    metadata,
    _refers("principal_id", "principals.id"),
    _words("role"),
    PrimaryKeyConstraint("principal_id", "role"),
    sqlite_with_rowid=False,
)

credentials = Table(
    "credentials",
    metadata,
    _key(),
    _refers("principal_id", "principals.id"),
    Column("secret_sha256", Text, nullable=False, unique=True),
    _words("prefix"),
    _time("created_at"),
    _words("created_by", optional=True),
    _time("expires_at", optional=True),
    _time("revoked_at", optional=True),
)

issuers = Table(
    "issuers",
    metadata,
    Column("name", Text, primary_key=True),
    Column("certificate", LargeBinary, nullable=False),
    _words("chain"),
    _words("key_file"),
    _time("created_at"),
)

profile_versions = Table(
    "profile_versions",
    metadata,
    _words("name"),
    Column("version", Integer, nullable=False),
    _words("definition"),
    _words("digest"),
    Column("requires_approval", Boolean, nullable=False),
    Column("approvers", Integer, nullable=False),
    _time("created_at"),
    _words("created_by", optional=True),
    PrimaryKeyConstraint("name", "version"),
    sqlite_with_rowid=False,
)

profiles = Table(
    "profiles",
    metadata,
    Column("name", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    _time("updated_at"),
    _time("deleted_at", optional=True),
    sqlite_with_rowid=False,
)

requests = Table(
    "requests",
    metadata,
    _key(),
    _words("kind"),
    _words("protocol"),
    _refers("principal_id", "principals.id"),
    _words("account_id", optional=True),
    _words("profile"),
    Column("profile_version", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    _words("identifiers"),
    _time("not_before", optional=True),
    _time("not_after", optional=True),
    _words("digest"),
    _words("approval_digest"),
    _words("source", optional=True),
    _time("created_at"),
)

request_line = Table(
    "request_line",
    metadata,
    _refers("request_id", "requests.id"),
    _refers("principal_id", "principals.id"),
    PrimaryKeyConstraint("request_id", "principal_id"),
    sqlite_with_rowid=False,
)

approvals = Table(
    "approvals",
    metadata,
    _key(),
    _words("digest"),
    _words("kind"),
    _words("profile"),
    Column("profile_version", Integer, nullable=False),
    Column("required", Integer, nullable=False),
    _words("role"),
    _words("status"),
    _time("requested_at"),
    _time("expires_at"),
    Column("reuse_window", BigInteger, nullable=False),
    _time("ended_at", optional=True),
    Index("ix_approvals_status_expires_at", "status", "expires_at"),
    Index("ix_approvals_digest", "digest"),
    sqlite_with_rowid=False,
)

approval_decisions = Table(
    "approval_decisions",
    metadata,
    _refers("approval_id", "approvals.id"),
    _refers("principal_id", "principals.id"),
    _words("verdict"),
    _words("note"),
    _time("decided_at"),
    PrimaryKeyConstraint("approval_id", "principal_id"),
    sqlite_with_rowid=False,
)

jobs = Table(
    "jobs",
    metadata,
    _key(),
    _words("kind"),
    Column("request_id", Text, ForeignKey("requests.id"), nullable=False, unique=True),
    _words("status"),
    Column("gated", Boolean, nullable=False),
    _refers("approval_id", "approvals.id", optional=True),
    Column("held", Boolean, nullable=False),
    Column("fence", Integer, nullable=False),
    _words("worker", optional=True),
    _time("lease_until", optional=True),
    Column("attempts", Integer, nullable=False),
    _time("run_after"),
    _words("error", optional=True),
    _time("created_at"),
    _time("updated_at"),
    # The worker's two questions: what may be claimed, whose lease ran out. Ended jobs are in neither.
    Index(
        "ix_jobs_open",
        "status",
        "run_after",
        sqlite_where=text("status IN ('awaiting_approval', 'pending', 'running')"),
        postgresql_where=text("status IN ('awaiting_approval', 'pending', 'running')"),
    ),
    # Every job that ever leaned on an approval, the cancelled ones among them.
    Index(
        "ix_jobs_approval_id",
        "approval_id",
        sqlite_where=text("approval_id IS NOT NULL"),
        postgresql_where=text("approval_id IS NOT NULL"),
    ),
    # An approval is used once: one live job at a time, and an ended one keeps it for good.
    Index(
        "uq_jobs_approval_id",
        "approval_id",
        unique=True,
        sqlite_where=text("status <> 'cancelled'"),
        postgresql_where=text("status <> 'cancelled'"),
    ),
    sqlite_with_rowid=False,
)

intents = Table(
    "intents",
    metadata,
    Column("job_id", Text, ForeignKey("jobs.id"), primary_key=True),
    _words("issuer"),
    _words("serial"),
    _words("tbs_sha256"),
    _time("not_before"),
    _time("not_after"),
    _time("recorded_at"),
    UniqueConstraint("issuer", "serial"),
    sqlite_with_rowid=False,
)

certificates = Table(
    "certificates",
    metadata,
    _refers("issuer", "issuers.name"),
    _words("serial"),
    Column("job_id", Text, ForeignKey("jobs.id"), nullable=False, unique=True),
    _refers("request_id", "requests.id"),
    Column("approval_id", Text, ForeignKey("approvals.id"), nullable=True, unique=True),
    _words("profile"),
    Column("profile_version", Integer, nullable=False),
    _refers("principal_id", "principals.id"),
    _words("account_id", optional=True),
    Column("fence", Integer, nullable=False),
    Column("der", LargeBinary, nullable=False),
    _words("tbs_sha256"),
    Column("sha256", Text, nullable=False, unique=True),
    _words("spki_sha256"),
    _words("subject"),
    _time("not_before"),
    _time("not_after"),
    _time("issued_at"),
    _time("revoked_at", optional=True),
    Column("revocation_reason", Integer, nullable=True),
    _words("revoked_by", optional=True),
    PrimaryKeyConstraint("issuer", "serial"),
    Index("ix_certificates_spki_sha256", "spki_sha256"),
    Index("ix_certificates_not_after", "not_after"),
)

certificate_names = Table(
    "certificate_names",
    metadata,
    _words("value"),
    _words("type"),
    _words("issuer"),
    _words("serial"),
    PrimaryKeyConstraint("value", "type", "issuer", "serial"),
    sqlite_with_rowid=False,
)

blocked_keys = Table(
    "blocked_keys",
    metadata,
    Column("spki_sha256", Text, primary_key=True),
    _words("reason"),
    _time("blocked_at"),
    _words("blocked_by", optional=True),
    sqlite_with_rowid=False,
)

acme_external_account_keys = Table(
    "acme_external_account_keys",
    metadata,
    Column("kid", Text, primary_key=True),
    _words("name"),
    Column("sealed_key", LargeBinary, nullable=False),
    Column("reusable", Boolean, nullable=False),
    _words("profile", optional=True),
    _words("name_patterns"),
    _refers("created_by", "principals.id"),
    _time("created_at"),
    _time("expires_at", optional=True),
    _time("revoked_at", optional=True),
    _time("used_at", optional=True),
)

acme_accounts = Table(
    "acme_accounts",
    metadata,
    _key(),
    _refers("principal_id", "principals.id"),
    Column("thumbprint", Text, nullable=False, unique=True),
    _words("jwk"),
    _words("status"),
    _words("contacts"),
    Column("terms_agreed", Boolean, nullable=False),
    _refers("eab_kid", "acme_external_account_keys.kid", optional=True),
    _time("created_at"),
    _time("updated_at"),
    sqlite_with_rowid=False,
)

acme_account_keys = Table(
    # Every key that an account has or had: none of them may become a certificate's key.
    "acme_account_keys",
    metadata,
    Column("spki_sha256", Text, primary_key=True),
    _refers("account_id", "acme_accounts.id"),
    _time("added_at"),
    sqlite_with_rowid=False,
)

acme_orders = Table(
    "acme_orders",
    metadata,
    _key(),
    _refers("account_id", "acme_accounts.id"),
    _words("profile"),
    Column("profile_version", Integer, nullable=False),
    _words("identifiers"),
    _time("not_before", optional=True),
    _time("not_after", optional=True),
    _time("expires_at"),
    Column("job_id", Text, ForeignKey("jobs.id"), nullable=True, unique=True),
    _time("created_at"),
    Index("ix_acme_orders_account_id_id", "account_id", "id"),
    sqlite_with_rowid=False,
)

acme_authorizations = Table(
    "acme_authorizations",
    metadata,
    _key(),
    _refers("account_id", "acme_accounts.id"),
    _words("profile"),
    Column("profile_version", Integer, nullable=False),
    _words("type"),
    _words("value"),
    Column("wildcard", Boolean, nullable=False),
    _words("status"),
    _time("expires_at"),
    _words("token"),
    _words("methods"),
    _words("attempt", optional=True),
    _time("attempted_at", optional=True),
    _time("validated_at", optional=True),
    _words("error", optional=True),
    _time("created_at"),
    Index("ix_acme_authorizations_account_id_value", "account_id", "value"),
    # A challenge that was being tried when the process died is found here and tried again.
    Index(
        "ix_acme_authorizations_attempted_at",
        "attempted_at",
        sqlite_where=text("status = 'pending' AND attempt IS NOT NULL"),
        postgresql_where=text("status = 'pending' AND attempt IS NOT NULL"),
    ),
    sqlite_with_rowid=False,
)

acme_order_authorizations = Table(
    "acme_order_authorizations",
    metadata,
    _refers("order_id", "acme_orders.id"),
    Column("position", Integer, nullable=False),
    _refers("authorization_id", "acme_authorizations.id"),
    PrimaryKeyConstraint("order_id", "position"),
    Index("ix_acme_order_authorizations_authorization_id", "authorization_id"),
    sqlite_with_rowid=False,
)

rate_limits = Table(
    "rate_limits",
    metadata,
    Column("key", Text, primary_key=True),
    _time("full_at"),
    sqlite_with_rowid=False,
)

audit = Table(
    "audit",
    metadata,
    _words("chain"),
    Column("seq", BigInteger, nullable=False),
    _time("at"),
    _words("actor"),
    _words("action"),
    _words("subject"),
    _words("detail"),
    _words("prev_hash"),
    _words("hash"),
    PrimaryKeyConstraint("chain", "seq"),
    Index("ix_audit_subject", "subject"),
    sqlite_with_rowid=False,
)

# Unlogged: quick, and empty after a crash of PostgreSQL and on a standby that takes over. Both are, or neither:
# nonces minted before `remembers_from`, and all of them while the row is missing, are refused.
spent_nonces = Table(
    "spent_nonces",
    on_postgresql,
    Column("identity", LargeBinary, primary_key=True),
    prefixes=["UNLOGGED"],
)

nonce_origin = Table(
    "nonce_origin",
    on_postgresql,
    Column("id", Integer, primary_key=True, autoincrement=False),
    _time("remembers_from"),
    prefixes=["UNLOGGED"],
)
