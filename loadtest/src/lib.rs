//! The load tester: a black-box client that counts what became of every job.
