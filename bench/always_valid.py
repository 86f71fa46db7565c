"""`certctl` with a validator that never looks: for comparing with a pebble that does not look either.

Not part of the product and not installed with it. The gate is untouched: only proof of control is.
"""

from typing import Any

import servers.app
from policy.validation import ValidationRecord, Validator
from servers.cli.main import main


class NeverLooks(Validator):
    """Says yes."""

    async def validate(self, *arguments: Any, **named: Any) -> ValidationRecord:
        del arguments, named
        return ValidationRecord.__new__(ValidationRecord)


if __name__ == "__main__":
    servers.app.Validator = NeverLooks  # type: ignore[misc]
    main()
