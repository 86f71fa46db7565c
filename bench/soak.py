"""`kill -9` at random moments, again and again, while ten accounts order certificates; then what was lost?

    make soak                                     fifty kills; 10 to 20 minutes
    .venv/bin/python -m bench.soak --kills 5      five
    .venv/bin/python -m bench.soak --seed 4711    the moments of an earlier run

The CA is a new one, in a folder of its own. Every account sees its last order through, downloads all that it was
ever told of once more, and the rows are held against it. The exit code is 1 if anything was lost.
"""

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.end_to_end.checks import CHECKS
from tests.end_to_end.torment import Plan, Report, torment

_SHOWN: Final = 20


def told(plan: Plan, report: Report, seconds: float) -> str:
    """What came of it, for a person."""
    ledger, found = report.ledger, report.violations
    asked = f"{ledger.begun} orders, {len(ledger.valid)} certificates, {ledger.interrupted} answers lost"
    lines = [f"{plan.kills} kills in {seconds / 60:.1f} minutes, seed {plan.seed}: {asked}"]
    if found:
        lines += [f"WRONG: {sentence}" for sentence in found[:_SHOWN]]
        lines += [f"... and {len(found) - _SHOWN} more"] * (len(found) > _SHOWN)
        lines += [f"again: {sys.executable} -m bench.soak --kills {plan.kills} --seed {plan.seed}"]
    else:
        lines += [f"ok: {check}" for check in CHECKS]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="bench.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50, metavar="N", help="how often (50)")
    parser.add_argument("--seed", type=int, metavar="S", help="which moments; by chance, and shown")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave the CA and its log in a new folder")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(1_000_000) if options.seed is None else options.seed
    plan = Plan(options.kills, seed)
    print(f"seed {seed}", flush=True)
    folder = options.keep or Path(tempfile.mkdtemp(prefix="certctl-soak-"))
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    try:
        report = asyncio.run(torment(folder, plan, lambda line: print(f"  {line}", flush=True)))
    finally:
        if options.keep is None:
            shutil.rmtree(folder)
    print(told(plan, report, time.monotonic() - began))
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
