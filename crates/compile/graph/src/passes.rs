//! Passes: graph to graph, one file each, in the order in which they run. A pass keeps what the
//! graph computes, and what it returns passes the verifier.

pub mod dead_code;
