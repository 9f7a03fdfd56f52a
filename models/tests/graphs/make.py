#!/usr/bin/env python3
"""Writes the small graphs beside this file: each goes wrong in one way, or passes one datatype through.

The committed *.onnx files are what the tests use; this script only says where their bytes come from, and gives the
same bytes on every run. It needs the package onnx (tried with 1.23), and only whoever changes a graph runs it.
"""

from pathlib import Path

from onnx import TensorProto, checker, helper

HERE = Path(__file__).resolve().parent
OPSET = 17
IR_VERSION = 8

DATATYPES = {
    "bool": TensorProto.BOOL,
    "uint8": TensorProto.UINT8,
    "uint16": TensorProto.UINT16,
    "uint32": TensorProto.UINT32,
    "uint64": TensorProto.UINT64,
    "int8": TensorProto.INT8,
    "int16": TensorProto.INT16,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "fp16": TensorProto.FLOAT16,
    "fp32": TensorProto.FLOAT,
    "fp64": TensorProto.DOUBLE,
    "bf16": TensorProto.BFLOAT16,
    "bytes": TensorProto.STRING,
}


def main() -> None:
    write("pick", pick())
    write("pick_any", pick_any())
    write("spin", spin())
    write("allocate", allocate())
    write("total", total())
    write("every_datatype", every_datatype())
    write("poisonous", poisonous())
    write("outside", outside(), checked=False)


def pick():
    """x INT64 [n] -> y INT64 [n]: x squared out of a table of 16; another x is an error of ONNX Runtime."""
    table = helper.make_tensor("table", TensorProto.INT64, [16], [i * i for i in range(16)])
    node = helper.make_node("Gather", ["table", "x"], ["y"])
    return helper.make_graph([node], "pick", [value("x", TensorProto.INT64, ["n"])],
                             [value("y", TensorProto.INT64, ["n"])], [table])


def outside():
    """x FP32 [n] -> y FP32 [n]: x and a tensor that lies in another file."""
    tensor = TensorProto(name="weights", data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    node = helper.make_node("Add", ["x", "weights"], ["y"])
    return helper.make_graph([node], "outside", [value("x", TensorProto.FLOAT, ["n"])],
                             [value("y", TensorProto.FLOAT, ["n"])], [tensor])


def pick_any():
    """x INT64 [n] -> y INT64 [n]: as pick, but every x is taken modulo 16: the version that mends it."""
    table = helper.make_tensor("table", TensorProto.INT64, [16], [i * i for i in range(16)])
    sixteen = helper.make_tensor("sixteen", TensorProto.INT64, [], [16])
    nodes = [helper.make_node("Mod", ["x", "sixteen"], ["place"]),
             helper.make_node("Gather", ["table", "place"], ["y"])]
    return helper.make_graph(nodes, "pick_any", [value("x", TensorProto.INT64, ["n"])],
                             [value("y", TensorProto.INT64, ["n"])], [table, sixteen])


def allocate():
    """x INT64 [n] -> y INT64 [n]: x itself, after as many bytes were allocated as the largest x says."""
    filler = helper.make_tensor("filler", TensorProto.INT8, [1], [0])
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["bytes"], keepdims=1),
        helper.make_node("ConstantOfShape", ["bytes"], ["block"], value=filler),
        helper.make_node("Size", ["block"], ["size"]),
        helper.make_node("Mul", ["size", "zero"], ["nothing"]),
        helper.make_node("Add", ["x", "nothing"], ["y"]),
    ]
    constants = [helper.make_tensor("zero", TensorProto.INT64, [], [0])]
    return helper.make_graph(nodes, "allocate", [value("x", TensorProto.INT64, ["n"])],
                             [value("y", TensorProto.INT64, ["n"])], constants)


def spin():
    """x INT64 [n] -> y INT64 [n]: x itself, after as many rounds of a loop as the largest x says."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_in"], ["go_out"]),
            helper.make_node("Add", ["sum_in", "one"], ["sum_out"]),
        ],
        "round",
        [value("round", TensorProto.INT64, []), value("go_in", TensorProto.BOOL, []),
         value("sum_in", TensorProto.INT64, [])],
        [value("go_out", TensorProto.BOOL, []), value("sum_out", TensorProto.INT64, [])],
        [helper.make_tensor("one", TensorProto.INT64, [], [1])],
    )
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["rounds"], keepdims=0),
        helper.make_node("Loop", ["rounds", "go", "zero"], ["sum"], body=body),
        helper.make_node("Mul", ["sum", "zero"], ["nothing"]),
        helper.make_node("Add", ["x", "nothing"], ["y"]),
    ]
    constants = [helper.make_tensor("go", TensorProto.BOOL, [], [True]),
                 helper.make_tensor("zero", TensorProto.INT64, [], [0])]
    return helper.make_graph(nodes, "spin", [value("x", TensorProto.INT64, ["n"])],
                             [value("y", TensorProto.INT64, ["n"])], constants)


def total():
    """x INT64 [n] -> y INT64 [1]: the sum over the rows, which is no answer for a batch."""
    node = helper.make_node("ReduceSum", ["x"], ["y"], keepdims=1)
    return helper.make_graph([node], "total", [value("x", TensorProto.INT64, ["n"])],
                             [value("y", TensorProto.INT64, ["m"])])


def every_datatype():
    """x_<datatype> [n, 2] -> y_<datatype> [n, 2], the same values, for all fourteen."""
    nodes = [helper.make_node("Identity", [f"x_{name}"], [f"y_{name}"]) for name in DATATYPES]
    inputs = [value(f"x_{name}", kind, ["n", 2]) for name, kind in DATATYPES.items()]
    outputs = [value(f"y_{name}", kind, ["n", 2]) for name, kind in DATATYPES.items()]
    return helper.make_graph(nodes, "every_datatype", inputs, outputs)


def poisonous():
    """x FP32 [n, w] -> y FP32 [n, w]: x itself, unless a row begins with a number that is, modulo 500,

    101: then the whole batch is an error of ONNX Runtime, 102: it never comes to an end, 103: it allocates 32 TiB.
    """
    effects = [(101, "place", 16), (102, "rounds", 1 << 62), (103, "bytes", 1 << 45)]
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_in"], ["go_out"]),
            helper.make_node("Add", ["sum_in", "one"], ["sum_out"]),
        ],
        "round",
        [value("round", TensorProto.INT64, []), value("go_in", TensorProto.BOOL, []),
         value("sum_in", TensorProto.INT64, [1])],
        [value("go_out", TensorProto.BOOL, []), value("sum_out", TensorProto.INT64, [1])],
        [helper.make_tensor("one", TensorProto.INT64, [1], [1])],
    )
    nodes = [helper.make_node("Gather", ["x", "first"], ["number"], axis=1),
             helper.make_node("Mod", ["number", "modulus"], ["begins"], fmod=1)]
    for _, name, _ in effects:
        nodes += [
            helper.make_node("Equal", ["begins", f"{name}_number"], [f"{name}_rows"]),
            helper.make_node("Cast", [f"{name}_rows"], [f"{name}_hits"], to=TensorProto.INT64),
            helper.make_node("ReduceMax", [f"{name}_hits"], [f"{name}_hit"], axes=[0], keepdims=1),
            helper.make_node("Mul", [f"{name}_hit", f"{name}_factor"], [name]),
        ]
    nodes += [
        helper.make_node("Gather", ["table", "place"], ["looked_up"]),
        helper.make_node("Squeeze", ["rounds"], ["rounds_scalar"]),
        helper.make_node("Loop", ["rounds_scalar", "go", "zero"], ["sum"], body=body),
        helper.make_node("ConstantOfShape", ["bytes"], ["block"],
                         value=helper.make_tensor("filler", TensorProto.INT8, [1], [0])),
        helper.make_node("Size", ["block"], ["size"]),
        helper.make_node("Add", ["sum", "size"], ["work"]),
        helper.make_node("Add", ["work", "looked_up"], ["all_work"]),
        helper.make_node("Mul", ["all_work", "zero"], ["nothing"]),
        helper.make_node("Cast", ["nothing"], ["nothing_float"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["x", "nothing_float"], ["y"]),
    ]
    constants = [
        helper.make_tensor("first", TensorProto.INT64, [], [0]),
        helper.make_tensor("modulus", TensorProto.FLOAT, [], [500]),
        helper.make_tensor("table", TensorProto.INT64, [1], [0]),
        helper.make_tensor("go", TensorProto.BOOL, [], [True]),
        helper.make_tensor("zero", TensorProto.INT64, [1], [0]),
    ]
    for number, name, factor in effects:
        constants += [helper.make_tensor(f"{name}_number", TensorProto.FLOAT, [], [number]),
                      helper.make_tensor(f"{name}_factor", TensorProto.INT64, [1], [factor])]
    return helper.make_graph(nodes, "poisonous", [value("x", TensorProto.FLOAT, ["n", "w"])],
                             [value("y", TensorProto.FLOAT, ["n", "w"])], constants)


def value(name: str, kind: int, shape: list):
    return helper.make_tensor_value_info(name, kind, shape)


def write(name: str, graph, checked: bool = True) -> None:
    model = helper.make_model(graph, producer_name="gristmill", ir_version=IR_VERSION,
                              opset_imports=[helper.make_opsetid("", OPSET)])
    if checked:
        checker.check_model(model, full_check=True)
    (HERE / f"{name}.onnx").write_bytes(model.SerializeToString(deterministic=True))


if __name__ == "__main__":
    main()
