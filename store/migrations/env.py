"""Alembic's entry: the connection comes from `store.migrate`, never from a file."""

from alembic import context

from store.schema import metadata, on_postgresql

connection = context.config.attributes["connection"]
tables = [metadata, on_postgresql] if connection.dialect.name == "postgresql" else [metadata]
context.configure(connection=connection, target_metadata=tables, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
