//! The contract: types, encoding, names of subjects and keys. No I/O, no async, no clock, no environment.
