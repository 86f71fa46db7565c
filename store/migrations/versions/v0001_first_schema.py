"""The first schema: the gate, its jobs, the ACME tables, the record."""

import sqlalchemy as sa
from alembic import op

from store.migrations.guards import GUARDS_0001

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TABLES = (
    "acme_order_authorizations",
    "intents",
    "certificates",
    "acme_orders",
    "acme_authorizations",
    "acme_account_keys",
    "request_line",
    "jobs",
    "acme_accounts",
    "requests",
    "principal_roles",
    "credentials",
    "approval_decisions",
    "acme_external_account_keys",
    "rate_limits",
    "profiles",
    "profile_versions",
    "principals",
    "issuers",
    "certificate_names",
    "blocked_keys",
    "audit",
    "approvals",
)


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "approvals",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("profile", sa.Text(), nullable=False),
        sa.Column("profile_version", sa.Integer(), nullable=False),
        sa.Column("required", sa.Integer(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("requested_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("reuse_window", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approvals")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_approvals_digest", "approvals", ["digest"], unique=False)
    op.create_index("ix_approvals_status_expires_at", "approvals", ["status", "expires_at"], unique=False)
    op.create_table(
        "audit",
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("prev_hash", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("chain", "seq", name=op.f("pk_audit")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_audit_subject", "audit", ["subject"], unique=False)
    op.create_table(
        "blocked_keys",
        sa.Column("spki_sha256", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("blocked_at", sa.BigInteger(), nullable=False),
        sa.Column("blocked_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("spki_sha256", name=op.f("pk_blocked_keys")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "certificate_names",
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("serial", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("value", "type", "issuer", "serial", name=op.f("pk_certificate_names")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "issuers",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("certificate", sa.LargeBinary(), nullable=False),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("key_file", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_issuers")),
    )
    op.create_table(
        "principals",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=True),
        sa.Column("disabled_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_principals")),
        sa.UniqueConstraint("name", name=op.f("uq_principals_name")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "profile_versions",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("requires_approval", sa.Boolean(), nullable=False),
        sa.Column("approvers", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("name", "version", name=op.f("pk_profile_versions")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "profiles",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_profiles")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "rate_limits",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("full_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_rate_limits")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "acme_external_account_keys",
        sa.Column("kid", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("sealed_key", sa.LargeBinary(), nullable=False),
        sa.Column("reusable", sa.Boolean(), nullable=False),
        sa.Column("profile", sa.Text(), nullable=True),
        sa.Column("name_patterns", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["created_by"],
            ["principals.id"],
            name=op.f("fk_acme_external_account_keys_created_by_principals"),
        ),
        sa.PrimaryKeyConstraint("kid", name=op.f("pk_acme_external_account_keys")),
    )
    op.create_table(
        "approval_decisions",
        sa.Column("approval_id", sa.Text(), nullable=False),
        sa.Column("principal_id", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["approval_id"], ["approvals.id"], name=op.f("fk_approval_decisions_approval_id_approvals")
        ),
        sa.ForeignKeyConstraint(
            ["principal_id"], ["principals.id"], name=op.f("fk_approval_decisions_principal_id_principals")
        ),
        sa.PrimaryKeyConstraint("approval_id", "principal_id", name=op.f("pk_approval_decisions")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "credentials",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("principal_id", sa.Text(), nullable=False),
        sa.Column("secret_sha256", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["principal_id"], ["principals.id"], name=op.f("fk_credentials_principal_id_principals")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credentials")),
        sa.UniqueConstraint("secret_sha256", name=op.f("uq_credentials_secret_sha256")),
    )
    op.create_table(
        "principal_roles",
        sa.Column("principal_id", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["principal_id"], ["principals.id"], name=op.f("fk_principal_roles_principal_id_principals")
        ),
        sa.PrimaryKeyConstraint("principal_id", "role", name=op.f("pk_principal_roles")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "requests",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("protocol", sa.Text(), nullable=False),
        sa.Column("principal_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=True),
        sa.Column("profile", sa.Text(), nullable=False),
        sa.Column("profile_version", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("identifiers", sa.Text(), nullable=False),
        sa.Column("not_before", sa.BigInteger(), nullable=True),
        sa.Column("not_after", sa.BigInteger(), nullable=True),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("approval_digest", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["principal_id"], ["principals.id"], name=op.f("fk_requests_principal_id_principals")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_requests")),
    )
    op.create_table(
        "acme_accounts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("principal_id", sa.Text(), nullable=False),
        sa.Column("thumbprint", sa.Text(), nullable=False),
        sa.Column("jwk", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("contacts", sa.Text(), nullable=False),
        sa.Column("terms_agreed", sa.Boolean(), nullable=False),
        sa.Column("eab_kid", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["eab_kid"],
            ["acme_external_account_keys.kid"],
            name=op.f("fk_acme_accounts_eab_kid_acme_external_account_keys"),
        ),
        sa.ForeignKeyConstraint(
            ["principal_id"], ["principals.id"], name=op.f("fk_acme_accounts_principal_id_principals")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_acme_accounts")),
        sa.UniqueConstraint("thumbprint", name=op.f("uq_acme_accounts_thumbprint")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("gated", sa.Boolean(), nullable=False),
        sa.Column("approval_id", sa.Text(), nullable=True),
        sa.Column("held", sa.Boolean(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("run_after", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["approval_id"], ["approvals.id"], name=op.f("fk_jobs_approval_id_approvals")
        ),
        sa.ForeignKeyConstraint(["request_id"], ["requests.id"], name=op.f("fk_jobs_request_id_requests")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        sa.UniqueConstraint("request_id", name=op.f("uq_jobs_request_id")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_jobs_approval_id",
        "jobs",
        ["approval_id"],
        unique=False,
        sqlite_where=sa.text("approval_id IS NOT NULL"),
        postgresql_where=sa.text("approval_id IS NOT NULL"),
    )
    op.create_index(
        "ix_jobs_open",
        "jobs",
        ["status", "run_after"],
        unique=False,
        sqlite_where=sa.text("status IN ('awaiting_approval', 'pending', 'running')"),
        postgresql_where=sa.text("status IN ('awaiting_approval', 'pending', 'running')"),
    )
    op.create_index(
        "uq_jobs_approval_id",
        "jobs",
        ["approval_id"],
        unique=True,
        sqlite_where=sa.text("status <> 'cancelled'"),
        postgresql_where=sa.text("status <> 'cancelled'"),
    )
    op.create_table(
        "request_line",
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("principal_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["principal_id"], ["principals.id"], name=op.f("fk_request_line_principal_id_principals")
        ),
        sa.ForeignKeyConstraint(
            ["request_id"], ["requests.id"], name=op.f("fk_request_line_request_id_requests")
        ),
        sa.PrimaryKeyConstraint("request_id", "principal_id", name=op.f("pk_request_line")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "acme_account_keys",
        sa.Column("spki_sha256", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["acme_accounts.id"], name=op.f("fk_acme_account_keys_account_id_acme_accounts")
        ),
        sa.PrimaryKeyConstraint("spki_sha256", name=op.f("pk_acme_account_keys")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "acme_authorizations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("profile", sa.Text(), nullable=False),
        sa.Column("profile_version", sa.Integer(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("wildcard", sa.Boolean(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("methods", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Text(), nullable=True),
        sa.Column("attempted_at", sa.BigInteger(), nullable=True),
        sa.Column("validated_at", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["acme_accounts.id"], name=op.f("fk_acme_authorizations_account_id_acme_accounts")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_acme_authorizations")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_acme_authorizations_account_id_value",
        "acme_authorizations",
        ["account_id", "value"],
        unique=False,
    )
    op.create_index(
        "ix_acme_authorizations_attempted_at",
        "acme_authorizations",
        ["attempted_at"],
        unique=False,
        sqlite_where=sa.text("status = 'pending' AND attempt IS NOT NULL"),
        postgresql_where=sa.text("status = 'pending' AND attempt IS NOT NULL"),
    )
    op.create_table(
        "acme_orders",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("profile", sa.Text(), nullable=False),
        sa.Column("profile_version", sa.Integer(), nullable=False),
        sa.Column("identifiers", sa.Text(), nullable=False),
        sa.Column("not_before", sa.BigInteger(), nullable=True),
        sa.Column("not_after", sa.BigInteger(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["acme_accounts.id"], name=op.f("fk_acme_orders_account_id_acme_accounts")
        ),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_acme_orders_job_id_jobs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_acme_orders")),
        sa.UniqueConstraint("job_id", name=op.f("uq_acme_orders_job_id")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_acme_orders_account_id_id", "acme_orders", ["account_id", "id"], unique=False)
    op.create_table(
        "certificates",
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("serial", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("approval_id", sa.Text(), nullable=True),
        sa.Column("profile", sa.Text(), nullable=False),
        sa.Column("profile_version", sa.Integer(), nullable=False),
        sa.Column("principal_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=True),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=False),
        sa.Column("tbs_sha256", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("spki_sha256", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("not_before", sa.BigInteger(), nullable=False),
        sa.Column("not_after", sa.BigInteger(), nullable=False),
        sa.Column("issued_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("revocation_reason", sa.Integer(), nullable=True),
        sa.Column("revoked_by", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["approval_id"], ["approvals.id"], name=op.f("fk_certificates_approval_id_approvals")
        ),
        sa.ForeignKeyConstraint(["issuer"], ["issuers.name"], name=op.f("fk_certificates_issuer_issuers")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_certificates_job_id_jobs")),
        sa.ForeignKeyConstraint(
            ["principal_id"], ["principals.id"], name=op.f("fk_certificates_principal_id_principals")
        ),
        sa.ForeignKeyConstraint(
            ["request_id"], ["requests.id"], name=op.f("fk_certificates_request_id_requests")
        ),
        sa.PrimaryKeyConstraint("issuer", "serial", name=op.f("pk_certificates")),
        sa.UniqueConstraint("approval_id", name=op.f("uq_certificates_approval_id")),
        sa.UniqueConstraint("job_id", name=op.f("uq_certificates_job_id")),
        sa.UniqueConstraint("sha256", name=op.f("uq_certificates_sha256")),
    )
    op.create_index("ix_certificates_not_after", "certificates", ["not_after"], unique=False)
    op.create_index("ix_certificates_spki_sha256", "certificates", ["spki_sha256"], unique=False)
    op.create_table(
        "intents",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("serial", sa.Text(), nullable=False),
        sa.Column("tbs_sha256", sa.Text(), nullable=False),
        sa.Column("not_before", sa.BigInteger(), nullable=False),
        sa.Column("not_after", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_intents_job_id_jobs")),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_intents")),
        sa.UniqueConstraint("issuer", "serial", name=op.f("uq_intents_issuer_serial")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "acme_order_authorizations",
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("authorization_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["authorization_id"],
            ["acme_authorizations.id"],
            name=op.f("fk_acme_order_authorizations_authorization_id_acme_authorizations"),
        ),
        sa.ForeignKeyConstraint(
            ["order_id"], ["acme_orders.id"], name=op.f("fk_acme_order_authorizations_order_id_acme_orders")
        ),
        sa.PrimaryKeyConstraint("order_id", "position", name=op.f("pk_acme_order_authorizations")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_acme_order_authorizations_authorization_id",
        "acme_order_authorizations",
        ["authorization_id"],
        unique=False,
    )
    sqlite = op.get_bind().dialect.name == "sqlite"
    schema = "" if sqlite else op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    for guard in GUARDS_0001:
        for statement in guard.for_sqlite() if sqlite else guard.for_postgresql(schema):
            op.execute(sa.text(statement.replace(":", "\\:")))


def downgrade() -> None:
    """Undo."""
    sqlite = op.get_bind().dialect.name == "sqlite"
    for guard in GUARDS_0001:
        op.execute(f"DROP TRIGGER {guard.name}" + ("" if sqlite else f" ON {guard.table}"))
        if not sqlite:
            op.execute(f"DROP FUNCTION {guard.name}() CASCADE")
    for table in _TABLES:
        op.drop_table(table)
