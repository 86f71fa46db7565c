"""The chain that audit rows hang on: one per writing connection, so that writers never queue for it.

Each row's hash covers the row and the hash before it; what was written can neither be altered nor
taken from the middle without every later hash telling.
"""

import hashlib
import secrets
from dataclasses import dataclass


@dataclass(slots=True)
class Chain:
    """The head of one chain: the number and the hash of its newest row."""

    id: str
    seq: int
    head: str

    @classmethod
    def start(cls) -> "Chain":
        """A new chain with a name of its own and nothing on it."""
        chain_id = secrets.token_hex(8)
        return cls(chain_id, 0, genesis(chain_id))

    def mark(self) -> tuple[int, str]:
        """Where the chain stands, for `rewind`."""
        return self.seq, self.head

    def rewind(self, mark: tuple[int, str]) -> None:
        """Back to `mark`: the rows since were rolled back."""
        self.seq, self.head = mark


def genesis(chain_id: str) -> str:
    """The hash before the first row of a chain."""
    return hashlib.sha256(f"certctl audit chain {chain_id}".encode()).hexdigest()


def link(prev_hash: str, chain_id: str, seq: int, at: int, fields: tuple[str, str, str, str]) -> str:
    """The hash of a row: over its predecessor's and every field, each with its length in front."""
    parts = (prev_hash, chain_id, str(seq), str(at), *fields)
    framed = "".join([f"{len(part)}:{part}" for part in parts])
    return hashlib.sha256(framed.encode()).hexdigest()
