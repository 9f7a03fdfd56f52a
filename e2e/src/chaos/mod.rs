//! The harness that tries to break every promise: real processes under load, a fault, and a judge.
//!
//! | file | what it owns |
//! |---|---|
//! | `seed`, `question`, `plan` | what is asked, when, by whom: a function of the seed |
//! | `caller`, `subscriber`, `workload`, `history` | clients that do it and write down what they were told |
//! | `cluster`, `member` | the processes, and one of them over all its lives |
//! | `fault` | what is done to them, and what proves it |
//! | `stores`, `secrets`, `checker`, `recovery` | what is left, and whether all promises were kept |
//! | `planted` | defects on purpose, which the suite has to notice |
//! | `row`, `suite` | one fault from start to verdict; all of them, or those of `make test` |
//! | `table` | what came of them, for people and machines |

pub mod caller;
pub mod checker;
pub mod cluster;
pub mod fault;
pub mod history;
pub mod member;
pub mod plan;
pub mod planted;
pub mod question;
pub mod recovery;
pub mod row;
pub mod secrets;
pub mod seed;
pub mod stores;
pub mod subscriber;
pub mod suite;
pub mod table;
pub mod workload;
