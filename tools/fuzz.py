#!/usr/bin/env python3
"""Runs every fuzz target for a while, from its corpus in fuzz/corpus, and prints a line for each.

    python3 tools/fuzz.py [--seconds 60] [--page FILE] [target ...]

Needs a nightly compiler and cargo-fuzz (`rustup toolchain install nightly`, `cargo install cargo-fuzz --locked`). What it finds
new is added to a corpus in target/, not to the one that is kept; a crash ends it with exit code 1 and leaves its input in
fuzz/artifacts. --page replaces the table between the marks in a Markdown file.
"""

from __future__ import annotations

import argparse
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
CORPUS = ROOT / "fuzz/corpus"
BEGIN, END = "<!-- fuzz: begin -->", "<!-- fuzz: end -->"


def run(target: str, seconds: int) -> dict[str, str]:
    """One target; what libFuzzer says at its end."""
    grown = ROOT / "target/fuzz-corpus" / target
    shutil.rmtree(grown, ignore_errors=True)
    grown.mkdir(parents=True)
    command = ["cargo", "+nightly", "fuzz", "run", "--fuzz-dir", str(ROOT / "fuzz"), target]
    command += [str(grown), str(CORPUS / target)]
    command += ["--", f"-max_total_time={seconds}", "-print_final_stats=1", "-rss_limit_mb=1024", "-timeout=10", "-max_len=65536"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if ended.returncode != 0:
        sys.stderr.write(ended.stderr[-4000:])
        raise SystemExit(f"{target}: it crashed, or could not be run")
    stat = dict(re.findall(r"stat::(\w+):\s+(\d+)", ended.stderr))
    coverage = re.findall(r"cov: (\d+)", ended.stderr)
    return {
        "target": target,
        "executions": stat.get("number_of_executed_units", "?"),
        "edges": coverage[-1] if coverage else "?",
        "rss": stat.get("peak_rss_mb", "?"),
    }


def table(rows: list[dict[str, str]], seconds: int) -> str:
    lines = ["| target | executions | edges covered | peak memory | crashes |", "|---|---|---|---|---|"]
    for row in rows:
        lines.append(f"| `{row['target']}` | {int(row['executions']):,} | {row['edges']} | {row['rss']} MB | 0 |")
    return f"{seconds} s each, `make fuzz`:\n\n" + "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--page", type=pathlib.Path)
    args = parser.parse_args()
    known = sorted(path.stem for path in (ROOT / "fuzz/fuzz_targets").glob("*.rs"))
    rows = []
    for target in args.targets or known:
        row = run(target, args.seconds)
        rows.append(row)
        print(f"{target:16} {int(row['executions']):>12,} executions  {row['edges']:>6} edges  {row['rss']:>5} MB", flush=True)
    if args.page:
        text = args.page.read_text()
        head, rest = text.split(BEGIN)
        _, tail = rest.split(END)
        args.page.write_text(f"{head}{BEGIN}\n{table(rows, args.seconds)}\n{END}{tail}")


if __name__ == "__main__":
    main()
