#!/usr/bin/env python3
"""Writes identity.onnx beside this file: one Identity node, FP32 [n, d] in and out.

The committed identity.onnx is the model; this script only says where its bytes come from, and gives the
same bytes on every run. It is the one script here that needs a package (onnx, tried with 1.23), and only
whoever changes the model runs it. Then put the printed size and SHA-256 into manifest.toml.
"""

import hashlib
from pathlib import Path

from onnx import TensorProto, checker, helper

OPSET = 17
IR_VERSION = 8  # what opset 17 came with; ONNX Runtime reads every older one too


def main() -> None:
    rows_and_columns = ["n", "d"]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "identity",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, rows_and_columns)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, rows_and_columns)],
    )
    model = helper.make_model(
        graph,
        producer_name="gristmill",
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    checker.check_model(model, full_check=True)
    content = model.SerializeToString(deterministic=True)
    Path(__file__).with_name("identity.onnx").write_bytes(content)
    print(f"bytes = {len(content)}")
    print(f'sha256 = "{hashlib.sha256(content).hexdigest()}"')


if __name__ == "__main__":
    main()
