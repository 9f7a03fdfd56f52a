"""What schemathesis cannot know by itself: NDJSON and MessagePack, and the ids of things that are there."""

import json
import os
import random

import msgpack
import schemathesis

IDS = json.loads(os.environ.get("GRISTMILL_CONFORMANCE_IDS", "{}"))


@schemathesis.serializer("application/x-ndjson")
def write_lines(ctx, value):
    lines = value if isinstance(value, list) else [value]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


@schemathesis.deserializer("application/x-ndjson")
def read_lines(ctx, response):
    """The document describes one line."""
    lines = response.content.splitlines()
    return json.loads(lines[0]) if lines else {"index": 0, "error": None}


@schemathesis.serializer("application/msgpack")
def pack(ctx, value):
    try:
        return msgpack.packb(value)
    except (OverflowError, ValueError):
        return b"\xc1"


@schemathesis.deserializer("application/msgpack")
def unpack(ctx, response):
    """A byte string stands where JSON has a list of elements."""

    def readable(value):
        if isinstance(value, dict):
            return {key: readable(item) for key, item in value.items()}
        if isinstance(value, list):
            return [readable(item) for item in value]
        return list(value) if isinstance(value, bytes) else value

    return readable(msgpack.unpackb(response.content))


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    """Every other time an id is one of a thing that is there: made-up ones only ever find nothing."""
    kind = "deliveries" if "/deliveries/" in context.operation.path else "jobs"
    known = IDS.get(kind, [])
    if path_parameters and "id" in path_parameters and known and random.random() < 0.5:
        path_parameters["id"] = random.choice(known)
    if path_parameters and "name" in path_parameters and random.random() < 0.5:
        path_parameters["name"] = "identity"
    return path_parameters
