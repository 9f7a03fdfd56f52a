//! Workers: intake, batcher, engine (ONNX Runtime) and settle.
