//! Passes: graph to graph, one file each, in the order in which they run.

pub mod dead_code;
