#!/usr/bin/env python3
"""Follow one job of many rows in Redis itself: what its rows gave as they are run, and then its outcome.

    pip install redis msgpack
    gristmill readers create --tenant acme
    python3 follow_progress.py redis://reader.acme.ID:PASSWORD@127.0.0.1:6379 JOB_ID

Prints a line of JSON for each part, and one for the end. docs/READING.md says what stands where.
"""

import argparse
import json
from urllib.parse import urlsplit

import msgpack
import redis

from follow_redis import BUCKETS, outputs, shown

# how soon the end of a job is seen that tells nothing more
BLOCK_MS = 500


def bucket(job_id):
    """The bucket of a job: byte 25 of its id, modulo how many there are. Base 32 with hex digits first is Python's own."""
    return int(job_id, 32).to_bytes(35, "big")[25] % BUCKETS


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="redis://reader.TENANT.ID:PASSWORD@HOST:PORT")
    parser.add_argument("job", help="the id of a job of the tenant")
    options = parser.parse_args()

    tenant = urlsplit(options.url).username.split(".")[1]
    store = redis.Redis.from_url(options.url, socket_timeout=BLOCK_MS / 1000 + 5)
    job = f"gm:{{{tenant}:{bucket(options.job)}}}:job:{options.job}"
    position, state = b"0-0", None
    while state is None:
        # asked first, so that what was told before the end is read before it
        state, outcome = store.hmget(job, "state", "outcome")
        block = BLOCK_MS if state is None else None
        for _, entries in store.xread({f"{job}:progress": position}, block=block):
            for position, entry in entries:
                line = {name.decode(): int(value) for name, value in entry.items() if name != b"outputs"}
                # empty where they are too many: then only the outcome has them
                line["outputs"] = shown(msgpack.unpackb(entry[b"outputs"])) if entry[b"outputs"] else None
                print(json.dumps(line), flush=True)
    print(json.dumps({"state": state.decode(), "outputs": outputs(outcome)}), flush=True)


if __name__ == "__main__":
    main()
