//! The benchmark: the pipeline against what the machine allows, measured in turn in one run. What is published are ratios; times of
//! one machine mean little on another.
//!
//! | file | what it owns |
//! |---|---|
//! | `target` | something under load, and the processor time of its processes |
//! | `site` | a pipeline at a durability level |
//! | `engine` | sessions of ONNX Runtime with nothing around them |
//! | `bare` | the same way through the stores with nothing of ours on it |
//! | `alone` | the durable writes that a job cannot do without, with nothing around them |
//! | `backlog` | a queue with a backlog: how fast it is worked off, what memory it takes |
//! | `bulk` | one long upload |
//! | `figure`, `page`, `plot` | what came of the rounds, for machines and people |
//! | `suite` | the rounds |

pub mod alone;
pub mod backlog;
pub mod bare;
pub mod bulk;
pub mod engine;
pub mod figure;
pub mod page;
pub mod plot;
pub mod site;
pub mod suite;
pub mod target;
