#!/usr/bin/env python3
"""The demonstration that `make demo` ends with: real files and sentences through a whole Gristmill, checked and shown.

    python3 tools/demo.py                      with target/release/gristmill
    python3 tools/demo.py --binary PATH        with another build

Starts `gristmill up` on free ports with its data under .gristmill/demo, asks over HTTP as any client would, prints what
came back, and ends it. Exits 1 if an answer is wrong or something is left behind. Needs no package besides Python 3.9.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

from instance import DemoError, Instance

REPO = Path(__file__).resolve().parent.parent

# Files of this repository and the types they have.
FILES = {
    "workers/src/lib.rs": "rust",
    "Cargo.toml": "toml",
    "README.md": "markdown",
    "tools/setup.py": "python",
    "Makefile": "makefile",
    ".ci/run": "shell",
    "models/identity/1/identity.onnx": "onnx",
    "e2e/fixtures/filetypes/files/png.png": "png",
    "e2e/fixtures/filetypes/files/docx.docx": "docx",
    "e2e/fixtures/filetypes/files/capture.pcap": "pcap",
}

# The second half says the first half in other words, in the same order.
SENTENCES = [
    "The miller grinds wheat into flour.",
    "A cat is asleep on the warm windowsill.",
    "How do I get my money back for an order that never arrived?",
    "The compiler rejects programs with data races.",
    "Flour is made by milling grain.",
    "A kitten naps by the sunny window.",
    "My parcel was lost on the way; can I have a refund?",
    "Rust finds concurrency bugs before the program runs.",
]


def main() -> int:
    options = parse_options()
    with Instance(options.binary, REPO / ".gristmill/demo") as up:
        print(f"gristmill up serves at {up.url}")
        jobs = show_file_types(up)
        show_sentences(up)
        show_lineage(up, next(iter(FILES)), jobs[0])
        count = up.stop()
    print(f"\nCtrl-C (SIGINT): gristmill up ended with 0, and its {count} child processes are gone.")
    show_next_steps()
    return 0


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Shows a whole Gristmill at work and checks its answers.")
    default = REPO / "target/release/gristmill"
    parser.add_argument("--binary", type=Path, default=default, help="the gristmill to run", metavar="PATH")
    return parser.parse_args()


def heading(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}")


def output(job: dict, name: str) -> list:
    return next(tensor["data"] for tensor in job["outputs"] if tensor["name"] == name)


# --- file types -----------------------------------------------------------------------------------------------------


def show_file_types(up: Instance) -> list[dict]:
    """One job a file, all at once, so that the workers batch them."""
    with ThreadPoolExecutor(len(FILES)) as pool:
        jobs = list(pool.map(lambda file: up.submit(file_job(file)), FILES))
    heading(f"File types: {len(FILES)} jobs for model magika")
    width = max(map(len, FILES))
    wrong = []
    for (file, expected), job in zip(FILES.items(), jobs):
        (label,), (score,) = output(job, "label"), output(job, "score")
        print(f"{file:<{width}}  {label:<10} {score:.4f}")
        if label != expected:
            wrong.append(f"{file} is {expected}, the answer was {label}")
    if wrong:
        raise DemoError("; ".join(wrong))
    return jobs


def file_job(file: str) -> dict:
    content = base64.b64encode((REPO / file).read_bytes()).decode()
    tensor = {"name": "content", "datatype": "BYTES", "shape": [1], "encoding": "base64", "data": [content]}
    provenance = {"dataset": f"repository/{file}"}
    return {"model": "magika", "inputs": [tensor], "provenance": provenance, "metadata": {"shown-by": "make demo"}}


# --- sentences ------------------------------------------------------------------------------------------------------


def show_sentences(up: Instance) -> None:
    """One job of eight rows; each sentence must be nearest to the one that says the same."""
    tensor = {"name": "text", "datatype": "BYTES", "shape": [len(SENTENCES)], "data": SENTENCES}
    job = up.submit({"model": "minilm", "inputs": [tensor]})
    vectors = rows(output(job, "embedding"), len(SENTENCES))
    heading(f"Nearest sentences: one job of {len(SENTENCES)} rows for model minilm")
    half = len(SENTENCES) // 2
    width = max(map(len, SENTENCES[:half]))
    for index, vector in enumerate(vectors):
        others = [(cosine(vector, other), at) for at, other in enumerate(vectors) if at != index]
        similarity, nearest = max(others)
        if nearest != (index + half) % len(SENTENCES):
            raise DemoError(f"{SENTENCES[index]!r} is said to be nearest to {SENTENCES[nearest]!r}")
        if index < half:
            print(f"{similarity:.3f}  {SENTENCES[index]:<{width}}  {SENTENCES[nearest]}")
    farthest, one, other = min(
        (cosine(a, b), i, j) for i, a in enumerate(vectors) for j, b in enumerate(vectors) if i < j
    )
    print(f"farthest apart:\n{farthest:.3f}  {SENTENCES[one]:<{width}}  {SENTENCES[other]}")


def rows(flat: list[float], count: int) -> list[list[float]]:
    width = len(flat) // count
    return [flat[start : start + width] for start in range(0, len(flat), width)]


def cosine(one: list[float], other: list[float]) -> float:
    """Of vectors of length 1."""
    return sum(a * b for a, b in zip(one, other))


# --- lineage --------------------------------------------------------------------------------------------------------


def show_lineage(up: Instance, file: str, job: dict) -> None:
    record = up.get(job["links"]["lineage"])
    heading(f"Lineage of the job that looked at {file}")
    stages = record.pop("stages")
    for line in laid_out(record):
        print(line)
    print("stages")
    begin = moment(stages["accepted_at"])
    for stage, at in sorted((item for item in stages.items() if item[1]), key=lambda item: item[1]):
        print(f"  {stage:<20} {at}  {(moment(at) - begin).total_seconds() * 1000:+9.2f} ms")
    check_lineage(record, (REPO / file).read_bytes())


def laid_out(value: dict, indent: str = "") -> list[str]:
    lines = []
    for key, entry in value.items():
        entries = entry if isinstance(entry, list) else [entry]
        for entry in entries:
            if isinstance(entry, dict):
                lines += [f"{indent}{key}", *laid_out(entry, indent + "  ")] if entry else []
            elif entry is not None:
                lines.append(f"{indent}{key:<{22 - len(indent)}} {entry}")
    return lines


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def check_lineage(record: dict, content: bytes) -> None:
    """The digests are computed here once more, out of the file and the manifest."""
    version = record["model"]["version"]
    manifest = (REPO / f"models/magika/{version}/manifest.toml").read_text(encoding="utf-8")
    artifact = re.search(r'\[artifacts\.model\]\s*sha256 = "([0-9a-f]{64})"', manifest)
    wanted = {
        "state": (record["state"], "succeeded"),
        "model": (record["model"]["name"], "magika"),
        "artifact": (record["model"]["artifact"], f"sha256:{artifact[1]}"),
        "input_digest": (record["input_digest"], input_digest(content)),
        "provenance": (record["provenance"]["dataset"], f"repository/{next(iter(FILES))}"),
    }
    for field, (answer, right) in wanted.items():
        if answer != right:
            raise DemoError(f"lineage: {field} is {answer}, not {right}")


def input_digest(content: bytes) -> str:
    """The digest of the input tensor as schemas/src/digest.rs defines it."""
    framed = len(content).to_bytes(4, "little") + content

    def counted(data: bytes) -> bytes:
        return len(data).to_bytes(8, "little") + data

    shape = (1).to_bytes(8, "little")
    parts = counted(b"content") + counted(b"BYTES") + (1).to_bytes(8, "little") + shape + counted(framed)
    return f"sha256:{hashlib.sha256(parts).hexdigest()}"


# --- what next ------------------------------------------------------------------------------------------------------


def show_next_steps() -> None:
    heading("Try next")
    print("""\
make up            keeps all of it running until Ctrl-C; then, in another terminal in this folder:

KEY=$(sed -n 's/.*"api_key" *: *"\\([^"]*\\)".*/\\1/p' .gristmill/ready.json)
curl -s http://127.0.0.1:8080/v1/jobs -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' \\
  -H 'Prefer: wait=30' -d '{"model": "magika", "inputs": [{"name": "content", "datatype": "BYTES", "shape": [1],
  "data": ["SELECT name, price FROM goods WHERE price < 10 ORDER BY name;"]}]}'

http://127.0.0.1:8080/docs describes every route. make lists what else there is.""")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
