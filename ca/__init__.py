"""The certification authority: bytes in, bytes out. It knows no database, no HTTP and no clock."""
