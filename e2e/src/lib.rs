//! Tests across processes, and the measurements that decisions rest on.
