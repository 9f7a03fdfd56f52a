#!/usr/bin/env python3
"""Holds a running Gristmill against its own OpenAPI document with schemathesis: no server error, no answer that is not described.

    python3 tools/conformance/run.py [--examples 50] [--page FILE] [--gristmill target/debug/gristmill]

Starts a `gristmill up` of its own, lets jobs succeed, fail and be cancelled in it, and asks every operation what its
description allows and what it does not. Two checks are not asked: that whatever the description allows is accepted
(names of models and cursors are not in a schema), and, of the bulk upload alone, that bad input is refused as a whole
(each line has its own answer). Exit code 1 if anything else is found. --page replaces the table between the marks.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
INSTALLED = ROOT / ".gristmill/conformance"
BEGIN, END = "<!-- conformance: begin -->", "<!-- conformance: end -->"
BULK = "submit_jobs"


class Site:
    """A `gristmill up` in a folder of its own."""

    def __init__(self, gristmill: pathlib.Path, folder: pathlib.Path) -> None:
        ready = folder / "ready.json"
        self.log = open(folder / "up.log", "wb")
        command = [gristmill, "up", "--data-dir", folder / "data", "--port", "0", "--workers", "1", "--ready-file", ready]
        self.up = subprocess.Popen(command, cwd=ROOT, stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + 120
        while not ready.exists():
            if self.up.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"gristmill up did not become ready: {(folder / 'up.log').read_text()[-2000:]}")
            time.sleep(0.1)
        told = json.loads(ready.read_text())
        self.url, self.key, self.redis = told["url"], told["api_key"], told["redis_url"]
        self.gristmill = gristmill

    def stop(self) -> None:
        self.up.send_signal(signal.SIGTERM)
        self.up.wait(timeout=60)

    def call(self, path: str, body: object = None, **headers: str) -> dict:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data)
        request.add_header("Authorization", f"Bearer {self.key}")
        request.add_header("Content-Type", "application/json")
        for name, value in headers.items():
            request.add_header(name, value)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def things(self) -> dict[str, list[str]]:
        """Jobs of every end, with a delivery each."""
        subprocess.run([self.gristmill, "webhooks", "set", "dev", "--redis-url", self.redis], check=True, stdout=subprocess.DEVNULL)
        rows = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}
        good = {"model": "identity", "inputs": [rows], "webhook": "https://nowhere.invalid/"}
        deadline = time.monotonic() + 30
        while True:
            try:
                first = self.call("/v1/jobs", good, Prefer="wait=30")
                break
            except urllib.error.HTTPError:
                # the ingest learns of the tenant's webhooks within seconds
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)
        jobs = [first["id"]] + [self.call("/v1/jobs", good, Prefer="wait=30")["id"] for _ in range(4)]
        deliveries = [f"{job}-job" for job in jobs]
        while not self.call("/v1/webhooks/deliveries")["deliveries"]:
            time.sleep(0.2)
        return {"jobs": jobs, "deliveries": deliveries}


def schemathesis(site: Site, folder: str, ids: dict[str, list[str]], examples: int, more: list[str]) -> tuple[int, str]:
    environment = os.environ | {
        "PYTHONPATH": str(INSTALLED),
        "SCHEMATHESIS_HOOKS": str(HERE / "hooks.py"),
        "GRISTMILL_CONFORMANCE_IDS": json.dumps(ids),
    }
    command = [sys.executable, INSTALLED / "bin/st", "run", f"{site.url}/openapi.json", "-H", f"Authorization: Bearer {site.key}"]
    # one worker: with more, CPython 3.11 loses count of its recursion where hypothesis parses in several threads
    command += ["--checks", "all", "--max-examples", str(examples), "--workers", "1", "--request-timeout", "30", "--no-color"]
    ended = subprocess.run([*map(str, command), *more], cwd=folder, env=environment, capture_output=True, text=True)
    return ended.returncode, ended.stdout + ended.stderr


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=50)
    parser.add_argument("--page", type=pathlib.Path)
    parser.add_argument("--gristmill", type=pathlib.Path, default=ROOT / "target/debug/gristmill")
    args = parser.parse_args()
    rows, failed = [], False
    with tempfile.TemporaryDirectory() as folder:
        site = Site(args.gristmill, pathlib.Path(folder))
        try:
            ids = site.things()
            for name, more in [
                ("all but the bulk upload", ["--exclude-operation-id", BULK, "--exclude-checks", "positive_data_acceptance"]),
                ("the bulk upload", ["--include-operation-id", BULK, "--exclude-checks", "positive_data_acceptance,negative_data_rejection"]),
            ]:
                code, report = schemathesis(site, folder, ids, args.examples, more)
                operations = re.search(r"Tested: (\d+)", report)
                cases = re.search(r"([\d,]+) generated(?:, (\d+) found)?", report)
                rows.append((name, operations and operations[1], cases and cases[1], (cases and cases[2]) or "0"))
                print(f"{name}: {operations and operations[1]} operations, {cases and cases[1]} cases, exit code {code}")
                if code != 0:
                    failed = True
                    print(report[-12000:])
        finally:
            site.stop()
    if args.page and not failed:
        lines = ["| | operations | cases | server errors, undescribed answers |", "|---|---|---|---|"]
        lines += [f"| {name} | {operations} | {cases} | {found} |" for name, operations, cases, found in rows]
        text = args.page.read_text()
        head, rest = text.split(BEGIN)
        tail = rest.split(END)[1]
        args.page.write_text(f"{head}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{tail}")
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
