//! The typed graph that models are imported into, and its way to a plan.
//!
//! A [`Graph`] is in single-assignment form: every value is written once, by an input or a node,
//! and nodes stand in an order in which they can run. Weights are constants by name; what
//! persists between runs is declared state. [`Graph::push`] checks an operator's operands and
//! derives the type of its result, so that a graph that exists is well formed; [`verify()`] checks
//! it again from scratch after passes and after reading the text form.
//!
//! This crate does no input or output and no arithmetic on weights. It is internal to Ledge.
#![no_std]

extern crate alloc;

pub mod compile;
pub mod memory;
pub mod ops;
pub mod partition;
pub mod passes;
pub mod text;
pub mod verify;
pub mod work;

mod graph;

pub use compile::{compile, compile_for};
pub use graph::{Graph, Input, Node, Type, ValueId};
pub use ops::OpError;
pub use verify::{Fault, verify};
