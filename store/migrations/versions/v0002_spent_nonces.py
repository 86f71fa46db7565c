"""Spent nonces on PostgreSQL. On SQLite they have a file of their own (store/nonces.py)."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    if op.get_bind().dialect.name != "postgresql":
        return
    op.create_table(
        "spent_nonces",
        sa.Column("identity", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("identity", name=op.f("pk_spent_nonces")),
        prefixes=["UNLOGGED"],
    )
    op.create_table(
        "nonce_origin",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("remembers_from", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_nonce_origin")),
        prefixes=["UNLOGGED"],
    )


def downgrade() -> None:
    """Undo."""
    if op.get_bind().dialect.name == "postgresql":
        op.drop_table("nonce_origin")
        op.drop_table("spent_nonces")
