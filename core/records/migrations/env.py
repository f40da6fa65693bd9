"""What Alembic runs for each command: over the connection, and within the transaction, of core.records.migrate."""

from alembic import context

from core.records.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite changes a column by copying the table
)
with context.begin_transaction():
    context.run_migrations()
