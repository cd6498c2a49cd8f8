"""What the server keeps: one SQLite database, and files by digest. No row leaves this room as an object of the database."""

from neurath.server.store.database import Store
from neurath.server.store.files import Files

__all__ = ["Files", "Store"]
