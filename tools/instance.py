"""One `gristmill up` as a child: starting it, asking it over HTTP, ending it and looking for what it left behind.

Knows no model and prints nothing but progress.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

START_SECONDS = 120
STOP_SECONDS = 60

# a proxy that the environment names has no business with this machine's own address
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class DemoError(Exception):
    """Something did not go as it must; the text says what."""


class Instance:
    """A running `gristmill up` on free ports. Use it in a `with`: whatever happens, it is ended."""

    def __init__(self, binary: Path, folder: Path):
        if not binary.exists():
            raise DemoError(f"{binary} is not there: `make demo` builds it")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.log = folder / "up.log"
        self.ready_file = folder / "ready.json"
        command = [str(binary), "up", "--port", "0", "--data-dir", str(folder / "data"), "--ready-file", str(self.ready_file)]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.url = self.api_key = ""

    def __enter__(self) -> Instance:
        try:
            ready = self.wait_until_ready()
        except BaseException:
            self.kill()
            raise
        self.url, self.api_key = ready["url"].rstrip("/"), ready["api_key"]
        return self

    def __exit__(self, kind, error, trace) -> None:
        if self.process.poll() is None:
            self.kill()

    def wait_until_ready(self) -> dict:
        begin = time.monotonic()
        while not self.ready_file.exists():
            if self.process.poll() is not None:
                raise DemoError(f"gristmill up ended with {self.process.returncode}:\n{self.last_words()}")
            if time.monotonic() - begin > START_SECONDS:
                raise DemoError(f"gristmill up is not ready after {START_SECONDS} s:\n{self.last_words()}")
            progress(f"starting broker, store, ingest and workers: {time.monotonic() - begin:.0f} s")
            time.sleep(0.1)
        progress("")
        return json.loads(self.ready_file.read_text(encoding="utf-8"))

    def get(self, path: str) -> dict:
        return self.request("GET", path)

    def submit(self, body: dict) -> dict:
        """Hands a job in and waits for its outcome."""
        job = self.request("POST", "/v1/jobs", body, {"Prefer": "wait=30"})
        if job["status"] != "succeeded":
            raise DemoError(f"job {job['id']} of {body['model']} is {job['status']}, not succeeded: {job.get('failure')}")
        return job

    def request(self, method: str, path: str, body: dict | None = None, headers: dict | None = None) -> dict:
        headers = {"Authorization": f"Bearer {self.api_key}", "Accept": "application/json", **(headers or {})}
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with OPENER.open(request, timeout=60) as reply:
                return json.load(reply)
        except urllib.error.HTTPError as error:
            raise DemoError(f"{method} {path}: {error.code} {error.read().decode(errors='replace')}") from None

    def stop(self) -> int:
        """Ends it as Ctrl-C does; returns how many child processes it had. It must end by itself, with 0, and leave none."""
        family = descendants(self.process.pid)
        self.process.send_signal(signal.SIGINT)
        try:
            code = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise DemoError(f"gristmill up did not end within {STOP_SECONDS} s:\n{self.last_words()}") from None
        if code != 0:
            raise DemoError(f"gristmill up ended with {code}:\n{self.last_words()}")
        left = family & set(processes())
        if left:
            raise DemoError(f"gristmill up left processes behind: {sorted(pid for pid, _ in left)}")
        return len(family)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def last_words(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(f"    {line}" for line in lines[-20:])


def progress(text: str) -> None:
    """A line that the next one replaces, where somebody looks; nothing in a log."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


# --- processes ------------------------------------------------------------------------------------------------------

# A process is its number and its start time: numbers are given out again.
Process = tuple[int, str]


def descendants(pid: int) -> set[Process]:
    parents = processes()
    found: set[Process] = set()
    numbers = {pid}
    while True:
        more = {process for process, parent in parents.items() if parent in numbers} - found
        if not more:
            return found
        found |= more
        numbers |= {number for number, _ in more}


def processes() -> dict[Process, int]:
    """Every living process and its parent."""
    if not os.path.isdir("/proc/self"):
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,lstart="], check=True, capture_output=True, text=True)
        rows = (line.split(None, 2) for line in listed.stdout.splitlines())
        return {(int(pid), start): int(parent) for pid, parent, start in rows}
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = Path("/proc", entry, "stat").read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue  # ended meanwhile
            state, parent, *rest = stat.rpartition(")")[2].split()
            if state != "Z":
                found[int(entry), rest[17]] = int(parent)
    return found
