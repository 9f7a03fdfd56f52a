//! Graphs that would have the engine read files: ONNX lets any tensor lie outside of it, by a path (`external_data`). The bytes
//! of such a file are in no digest, and the path may lead anywhere, so a graph that has one anywhere is refused.
//!
//! The messages are those of onnx.proto3 as far as a tensor can be found by them; everything else is passed over. prost reads
//! them: kept by the tokio project, and small without its code generator.

use prost::Message;

/// Why a graph is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum UnsafeGraph {
    /// It is no ONNX model at all.
    #[error("it is no ONNX model: {0}")]
    Unreadable(String),
    /// A tensor lies outside.
    #[error("its tensor {0:?} lies in a file of its own (external data), which no digest covers")]
    ExternalData(String),
}

/// Looks through a whole ONNX model: its graph, the graphs in that, functions and training information.
///
/// # Errors
/// [`UnsafeGraph`].
pub(super) fn refuse_external_data(model: &[u8]) -> Result<(), UnsafeGraph> {
    let model = Model::decode(model).map_err(|error| UnsafeGraph::Unreadable(error.to_string()))?;
    let mut graphs: Vec<&Graph> = model.graph.iter().collect();
    let training = model.training_info.iter();
    graphs.extend(training.flat_map(|training| training.initialization.iter().chain(&training.algorithm)));
    let mut nodes: Vec<&Node> = model.functions.iter().flat_map(|function| &function.node).collect();
    let mut attributes: Vec<&Attribute> = model
        .functions
        .iter()
        .flat_map(|function| &function.attribute)
        .collect();
    loop {
        if let Some(graph) = graphs.pop() {
            graph.initializer.iter().try_for_each(check)?;
            graph.sparse_initializer.iter().try_for_each(Sparse::check)?;
            nodes.extend(&graph.node);
        } else if let Some(node) = nodes.pop() {
            attributes.extend(&node.attribute);
        } else if let Some(attribute) = attributes.pop() {
            attribute.t.iter().chain(&attribute.tensors).try_for_each(check)?;
            let mut sparse = attribute.sparse_tensor.iter().chain(&attribute.sparse_tensors);
            sparse.try_for_each(Sparse::check)?;
            graphs.extend(attribute.g.iter().chain(&attribute.graphs));
        } else {
            return Ok(());
        }
    }
}

/// `TensorProto.DataLocation.EXTERNAL`.
const EXTERNAL: i32 = 1;

fn check(tensor: &Tensor) -> Result<(), UnsafeGraph> {
    if tensor.data_location == Some(EXTERNAL) || !tensor.external_data.is_empty() {
        let name = tensor.name.chars().take(128).collect();
        return Err(UnsafeGraph::ExternalData(name));
    }
    Ok(())
}

impl Sparse {
    fn check(&self) -> Result<(), UnsafeGraph> {
        self.values.iter().chain(&self.indices).try_for_each(check)
    }
}

#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(message, optional, tag = "7")]
    graph: Option<Graph>,
    #[prost(message, repeated, tag = "20")]
    training_info: Vec<Training>,
    #[prost(message, repeated, tag = "25")]
    functions: Vec<Function>,
}

#[derive(Clone, PartialEq, Message)]
struct Training {
    #[prost(message, optional, tag = "1")]
    initialization: Option<Graph>,
    #[prost(message, optional, tag = "2")]
    algorithm: Option<Graph>,
}

#[derive(Clone, PartialEq, Message)]
struct Function {
    #[prost(message, repeated, tag = "7")]
    node: Vec<Node>,
    #[prost(message, repeated, tag = "11")]
    attribute: Vec<Attribute>,
}

#[derive(Clone, PartialEq, Message)]
struct Graph {
    #[prost(message, repeated, tag = "1")]
    node: Vec<Node>,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<Tensor>,
    #[prost(message, repeated, tag = "15")]
    sparse_initializer: Vec<Sparse>,
}

#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(message, repeated, tag = "5")]
    attribute: Vec<Attribute>,
}

#[derive(Clone, PartialEq, Message)]
struct Attribute {
    #[prost(message, optional, tag = "5")]
    t: Option<Tensor>,
    #[prost(message, optional, tag = "6")]
    g: Option<Graph>,
    #[prost(message, repeated, tag = "10")]
    tensors: Vec<Tensor>,
    #[prost(message, repeated, tag = "11")]
    graphs: Vec<Graph>,
    #[prost(message, optional, tag = "22")]
    sparse_tensor: Option<Sparse>,
    #[prost(message, repeated, tag = "23")]
    sparse_tensors: Vec<Sparse>,
}

#[derive(Clone, PartialEq, Message)]
struct Sparse {
    #[prost(message, optional, tag = "1")]
    values: Option<Tensor>,
    #[prost(message, optional, tag = "2")]
    indices: Option<Tensor>,
}

#[derive(Clone, PartialEq, Message)]
struct Tensor {
    #[prost(string, tag = "8")]
    name: String,
    #[prost(message, repeated, tag = "13")]
    external_data: Vec<Entry>,
    #[prost(int32, optional, tag = "14")]
    data_location: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
struct Entry {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outside() -> Tensor {
        Tensor {
            name: "weights".to_owned(),
            external_data: vec![Entry {
                key: "location".to_owned(),
                value: "../../etc/passwd".to_owned(),
            }],
            data_location: Some(EXTERNAL),
        }
    }

    fn sparse() -> Sparse {
        Sparse {
            values: Some(Tensor::default()),
            indices: Some(outside()),
        }
    }

    fn with(attribute: Attribute) -> Graph {
        let node = Node {
            attribute: vec![attribute],
        };
        Graph {
            node: vec![node],
            ..Graph::default()
        }
    }

    fn of(graph: Graph) -> Model {
        Model {
            graph: Some(graph),
            ..Model::default()
        }
    }

    #[test]
    fn external_data_is_found_wherever_a_tensor_can_be() {
        let initializer = || Graph {
            initializer: vec![Tensor::default(), outside()],
            ..Graph::default()
        };
        let inner = |graph: Graph| Attribute {
            g: Some(graph),
            ..Attribute::default()
        };
        let constant = || Attribute {
            t: Some(outside()),
            ..Attribute::default()
        };
        let of_functions = |function| Model {
            functions: vec![function],
            ..Model::default()
        };
        for model in [
            of(initializer()),
            of(Graph {
                sparse_initializer: vec![sparse()],
                ..Graph::default()
            }),
            of(with(constant())),
            of(with(Attribute {
                tensors: vec![outside()],
                ..Attribute::default()
            })),
            of(with(Attribute {
                sparse_tensors: vec![sparse()],
                ..Attribute::default()
            })),
            of(with(Attribute {
                graphs: vec![Graph::default(), initializer()],
                ..Attribute::default()
            })),
            // a branch within a loop
            of(with(inner(with(inner(initializer()))))),
            of_functions(Function {
                node: with(constant()).node,
                ..Function::default()
            }),
            of_functions(Function {
                attribute: vec![inner(initializer())],
                ..Function::default()
            }),
            Model {
                training_info: vec![Training {
                    algorithm: Some(initializer()),
                    ..Training::default()
                }],
                ..Model::default()
            },
        ] {
            let refused = refuse_external_data(&model.encode_to_vec());
            assert_eq!(
                refused,
                Err(UnsafeGraph::ExternalData("weights".to_owned())),
                "{model:?}"
            );
        }
    }

    #[test]
    fn of_the_graphs_of_the_tests_one_has_some_and_noise_is_no_graph() {
        let graphs = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/tests/graphs");
        let graphs = std::fs::read_dir(graphs).unwrap().map(|entry| entry.unwrap().path());
        let graphs: Vec<_> = graphs
            .filter(|path| path.extension().is_some_and(|end| end == "onnx"))
            .collect();
        assert!(!graphs.is_empty());
        for path in graphs {
            let graph = std::fs::read(&path).unwrap();
            let refused = refuse_external_data(&graph);
            let outside = path.ends_with("outside.onnx");
            assert_eq!(refused.is_err(), outside, "{}: {refused:?}", path.display());
        }
        assert!(matches!(
            refuse_external_data(b"\xff\xff\xff"),
            Err(UnsafeGraph::Unreadable(_))
        ));
    }
}
