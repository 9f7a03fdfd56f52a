//! Admission and the doors: HTTP in, one transport-free submit behind every door.
