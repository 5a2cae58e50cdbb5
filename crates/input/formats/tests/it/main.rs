//! Tests of the readers and writers through the public face.
#![expect(clippy::disallowed_methods, reason = "tests read their goldens")]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test says why it stopped")]

mod alloc;
mod capacity;
mod hostile;
mod mutation;
mod network_tables;
mod networks;
mod raw;
mod real;
mod round_trip;
mod samples;
mod table;
