#!/usr/bin/env python3
"""Writes light.onnx: a two-layer perceptron, as light as a model can be that is not nothing.

x INT32 [n, 2048] -> y FP32 [n, 214]. The first four numbers are handed through as they are (below 2^24 a float holds them
exactly), so that whoever measures sees every mix-up; 210 scores are what the two layers make of the other 2044. The weights are
sines that ONNX Runtime computes when it loads the graph: so the file is small. Needs the package onnx (tried with 1.23). Put the
printed size and SHA-256 into manifest.toml.
"""

import hashlib
from pathlib import Path

from onnx import TensorProto, checker, helper

WIDTH, HIDDEN, SCORES, THROUGH = 2048, 64, 210, 4


def weights(name: str, rows: int, columns: int, step: float, scale: float):
    """Constants and nodes for a matrix of scale * sin(step * place), in rows."""
    constants = [
        helper.make_tensor(f"{name}_from", TensorProto.FLOAT, [], [0.0]),
        helper.make_tensor(f"{name}_to", TensorProto.FLOAT, [], [float(rows * columns)]),
        helper.make_tensor(f"{name}_by", TensorProto.FLOAT, [], [1.0]),
        helper.make_tensor(f"{name}_step", TensorProto.FLOAT, [], [step]),
        helper.make_tensor(f"{name}_scale", TensorProto.FLOAT, [], [scale]),
        helper.make_tensor(f"{name}_shape", TensorProto.INT64, [2], [rows, columns]),
    ]
    nodes = [
        helper.make_node("Range", [f"{name}_from", f"{name}_to", f"{name}_by"], [f"{name}_places"]),
        helper.make_node("Mul", [f"{name}_places", f"{name}_step"], [f"{name}_angles"]),
        helper.make_node("Sin", [f"{name}_angles"], [f"{name}_sines"]),
        helper.make_node("Mul", [f"{name}_sines", f"{name}_scale"], [f"{name}_flat"]),
        helper.make_node("Reshape", [f"{name}_flat", f"{name}_shape"], [name]),
    ]
    return constants, nodes


def main() -> None:
    first, first_nodes = weights("first", WIDTH - THROUGH, HIDDEN, 0.7, 1.0 / 65536)
    second, second_nodes = weights("second", HIDDEN, SCORES, 1.3, 0.25)
    constants = first + second + [
        helper.make_tensor("begin", TensorProto.INT64, [1], [0]),
        helper.make_tensor("middle", TensorProto.INT64, [1], [THROUGH]),
        helper.make_tensor("end", TensorProto.INT64, [1], [WIDTH]),
        helper.make_tensor("columns", TensorProto.INT64, [1], [1]),
    ]
    nodes = first_nodes + second_nodes + [
        helper.make_node("Cast", ["x"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Slice", ["numbers", "begin", "middle", "columns"], ["through"]),
        helper.make_node("Slice", ["numbers", "middle", "end", "columns"], ["features"]),
        helper.make_node("MatMul", ["features", "first"], ["sums"]),
        helper.make_node("Relu", ["sums"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "second"], ["scores"]),
        helper.make_node("Concat", ["through", "scores"], ["y"], axis=1),
    ]
    graph = helper.make_graph(
        nodes, "light",
        [helper.make_tensor_value_info("x", TensorProto.INT32, ["n", WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", THROUGH + SCORES])],
        constants,
    )
    model = helper.make_model(graph, producer_name="gristmill", ir_version=8,
                              opset_imports=[helper.make_opsetid("", 17)])
    checker.check_model(model, full_check=True)
    content = model.SerializeToString(deterministic=True)
    Path(__file__).with_name("light.onnx").write_bytes(content)
    print(f"bytes = {len(content)}")
    print(f'sha256 = "{hashlib.sha256(content).hexdigest()}"')


if __name__ == "__main__":
    main()
