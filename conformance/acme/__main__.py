"""``conformance/acme/run [CLIENT...]``: real clients against a server of their own; how each scenario went, as a table."""

import argparse
import json
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from conformance.acme import gate, scenarios
from conformance.acme.clients import CLIENTS
from conformance.acme.programs import Missing
from conformance.acme.scenarios import Result
from conformance.acme.stage import running_stage

KEYS: Final = ("p256", "rsa-2048")
_COLUMNS: Final = (*scenarios.SCENARIOS, *gate.SCENARIOS)


@dataclass
class Report:
    """How one client fared with a CA whose keys are of one kind."""

    client: str
    ca_key: str
    version: str = ""
    missing: str = ""
    results: list[Result] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not self.missing and all(result.outcome == "ok" for result in self.results)


def play_all(clients: list[str], key: str, wanted: list[str] | None, folder: Path) -> list[Report]:
    """Every client in turn, at one server with keys of this kind."""
    reports = []
    with running_stage(folder, key) as stage:
        for name in clients:
            report = Report(name, key)
            reports.append(report)
            try:
                report.version = CLIENTS[name].version()
                client = CLIENTS[name](stage, folder / name)
                for result in [*gate.play(client, wanted), *scenarios.play(client, wanted)]:
                    report.results.append(result)
                    print(f"  {key:<8} {name:<12} {_line(result)}", file=sys.stderr, flush=True)
            except Missing as error:
                report.missing = str(error)
                print(f"  {key:<8} {name:<12} not run: {error}", file=sys.stderr, flush=True)
    return reports


def table(reports: list[Report]) -> str:
    """Client x scenario: seconds, FAILED, or - for what the client cannot do."""
    shown = [name for name in _COLUMNS if any(name == r.scenario for one in reports for r in one.results)]
    rows = [["client", "CA key", *shown]]
    for one in reports:
        cells = {r.scenario: f"{r.seconds:.1f}s" if r.outcome == "ok" else "FAILED" for r in one.results}
        rows.append([one.client, one.ca_key, *(cells.get(name, "-") for name in shown)])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def _line(result: Result) -> str:
    detail = f"\n{result.detail}" if result.detail else ""
    return f"{result.scenario:<14} {result.outcome:<6} {result.seconds:5.1f}s{detail}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="conformance/acme/run", description=__doc__)
    parser.add_argument(
        "clients", nargs="*", metavar="CLIENT", help=f"of: {', '.join(CLIENTS)}; all by default"
    )
    parser.add_argument("--ca-key", action="append", choices=KEYS, help="keys of the CA; both by default")
    parser.add_argument(
        "--scenario", action="append", choices=_COLUMNS, help="only these (some lean on http-01)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--keep", type=Path, help="leave data, logs and certificates in this folder")
    options = parser.parse_args()
    unknown = [name for name in options.clients if name not in CLIENTS]
    if unknown:
        parser.error(f"no client {unknown[0]}: one of {', '.join(CLIENTS)}")

    clients, keys = options.clients or list(CLIENTS), options.ca_key or list(KEYS)
    with tempfile.TemporaryDirectory(prefix="certctl-") as temporary, ThreadPoolExecutor(len(keys)) as pool:
        base = options.keep or Path(temporary)
        begun = [pool.submit(play_all, clients, key, options.scenario, base / key) for key in keys]
        reports = [report for one in begun for report in one.result()]
    reports.sort(key=lambda report: clients.index(report.client))
    if options.json:
        print(json.dumps([asdict(report) for report in reports], indent=2))
    else:
        print(table(reports))
        versions = {report.client: report.version or report.missing for report in reports}
        print("\n" + "\n".join(f"{name:<12} {version}" for name, version in versions.items()))
    return 0 if all(report.good for report in reports) else 1


if __name__ == "__main__":
    sys.exit(main())
