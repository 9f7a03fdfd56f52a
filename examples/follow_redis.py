#!/usr/bin/env python3
"""Follow the ends of a tenant's jobs in Redis itself, with the outputs, from where an earlier run stopped.

    pip install redis msgpack
    gristmill readers create --tenant acme
    python3 follow_redis.py redis://reader.acme.ID:PASSWORD@127.0.0.1:6379 --state acme.cursor

Prints a line of JSON for each job. docs/READING.md says what stands where. On a Redis Cluster, read each bucket by a command
of its own: they need not lie on the same host.
"""

import argparse
import json
import pathlib
import struct
import sys
from urllib.parse import urlsplit

import msgpack
import redis

BUCKETS = 16
BLOCK_MS = 5000
SETTLED_S = 30
FORMATS = {
    "BOOL": "?", "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q",
    "INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q", "FP16": "e", "FP32": "f", "FP64": "d",
}


def values(tensor):
    """The elements of a tensor, in row-major order."""
    data = tensor["data"]
    if tensor["datatype"] == "BYTES":
        elements, at = [], 0
        while at < len(data):
            (length,) = struct.unpack_from("<I", data, at)
            elements.append(data[at + 4 : at + 4 + length].decode(errors="replace"))
            at += 4 + length
        return elements
    code = FORMATS[tensor["datatype"]]
    return list(struct.unpack(f"<{len(data) // struct.calcsize(code)}{code}", data))


def shown(tensors):
    """Tensors as JSON has them."""
    return [{"name": t["name"], "shape": t["shape"], "values": values(t)} for t in tensors]


def outputs(encoded):
    """The outputs of an outcome; None unless the job succeeded."""
    result = msgpack.unpackb(encoded)["result"]
    if not isinstance(result, dict) or "succeeded" not in result:
        return None
    return shown(result["succeeded"])


def is_behind_window(store, stream, position):
    """Whether events after this position may be gone."""
    window = store.hgetall(f"{stream}-window")
    if not window:
        return False
    millis = int(position.split(b"-")[0])
    if store.exists(stream):
        return millis < int(window[b"from"])
    return millis <= int(window[b"last"])


def later(position, other):
    """The later of two positions."""
    return max(position, other, key=lambda each: tuple(map(int, each.split(b"-"))))


def beginning(store, streams, state):
    """Where to read on: from the state file, or else from the oldest event that is kept."""
    if not (state and state.exists()):
        return {stream: b"0-0" for stream in streams}
    saved = {stream: position.encode() for stream, position in json.loads(state.read_text()).items()}
    for stream, position in saved.items():
        if is_behind_window(store, stream, position):
            print(f"{stream}: ends of jobs may be missing from before what is kept", file=sys.stderr)
    return saved


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="redis://reader.TENANT.ID:PASSWORD@HOST:PORT")
    parser.add_argument("--state", type=pathlib.Path, help="the file that remembers how far was read")
    parser.add_argument("--count", type=int, help="end after so many jobs")
    options = parser.parse_args()

    tenant = urlsplit(options.url).username.split(".")[1]
    store = redis.Redis.from_url(options.url, socket_timeout=BLOCK_MS / 1000 + 5)
    streams = [f"gm:{{{tenant}:{bucket}}}:events" for bucket in range(BUCKETS)]
    positions = beginning(store, streams, options.state)
    told = 0
    while options.count is None or told < options.count:
        # where nothing comes, the position moves on all the same, so that it does not look older than what is kept
        settled = b"%d-0" % ((store.time()[0] - SETTLED_S) * 1000)
        read = store.xread(positions, count=100, block=BLOCK_MS)
        silent = positions.keys() - {stream.decode() for stream, _ in read}
        positions |= {stream: later(positions[stream], settled) for stream in silent}
        for stream, entries in read:
            prefix = stream.decode().removesuffix("events")
            for position, event in entries:
                job = f"{prefix}job:{event[b'id'].decode()}"
                encoded = store.hget(job, "outcome")
                line = {name.decode(): value.decode() for name, value in event.items()}
                line["outputs"] = encoded and outputs(encoded)
                print(json.dumps(line), flush=True)
                told += 1
                positions[stream.decode()] = position
        if options.state:
            saved = {stream: position.decode() for stream, position in positions.items()}
            options.state.write_text(json.dumps(saved))


if __name__ == "__main__":
    main()
