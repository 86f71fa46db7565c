"""ca stands alone: importing it brings in no storage, no network and nobody above it."""

import subprocess
import sys
from pathlib import Path

import ca

FOREIGN = (
    "store",
    "policy",
    "servers",
    "sqlalchemy",
    "aiosqlite",
    "aiohttp",
    "asyncio",
    "pydantic",
)


def modules() -> list[str]:
    folder = Path(ca.__file__).parent
    names = (path.relative_to(folder.parent).with_suffix("") for path in folder.rglob("*.py"))
    return sorted(".".join(name.parts).removesuffix(".__init__") for name in names)


def loaded_after(*imports: str) -> set[str]:
    code = "import sys\n" + "".join(f"import {name}\n" for name in imports) + "print(*sys.modules)"
    return set(
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        ).stdout.split()
    )


def test_nothing_foreign_comes_in() -> None:
    loaded = loaded_after(*modules())
    assert set(modules()) <= loaded
    assert loaded.isdisjoint(FOREIGN)


def test_the_signer_is_reached_by_its_own_name_only() -> None:
    """Reading, judging and building need no hand that signs."""
    others = [name for name in modules() if name != "ca.signer"]
    assert "ca.signer" not in loaded_after(*others)


def test_no_module_asks_for_the_time() -> None:
    folder = Path(ca.__file__).parent
    for path in folder.rglob("*.py"):
        text = path.read_text()
        assert "datetime.now" not in text, path
        assert "time.time" not in text, path
        assert len(text.splitlines()) <= 400, path
