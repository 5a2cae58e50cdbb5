//! What a device needs in order to run a model, and nothing else.
//!
//! A [`Plan`] is frozen: steps in order, operands at fixed places in named buffers, and every
//! buffer with its size, so that [`Plan::promise`] is known before a single weight is read.
//! `graph` compiles to a plan; a [`Backend`] runs it; neither knows the other. Nothing here
//! names a file, a family or an instruction set.
//!
//! Shapes are written outermost dimension first. This crate is internal to Ledge.
#![no_std]

extern crate alloc;

pub mod array;
pub mod backend;
pub mod buffer;
pub mod dim;
pub mod grant;
pub mod op;
pub mod pack;
pub mod state;
pub mod step;
pub mod trace;
pub mod weight;

mod plan;

pub use array::ArrayOp;
pub use backend::{
    Backend, Control, Freedom, LoadError, Needs, Part, Program, Refusal, RunError, State,
    Uncontrolled,
};
pub use buffer::{Buffer, BufferId, BufferKind, Promise};
pub use dim::{Dim, Symbol, SymbolId};
pub use grant::{Exceeded, Grant};
pub use op::Op;
pub use pack::{Kept, Making, PackStore};
pub use plan::{Plan, Port};
pub use state::{KvCache, KvType, StateId};
pub use step::{Operand, Slot, Step};
pub use trace::{Factors, Span, Trace, Unit, Who};
pub use weight::{ReadError, Weight, WeightId, WeightSource};
