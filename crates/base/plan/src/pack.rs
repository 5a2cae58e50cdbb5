//! Weights that a backend has packed, kept beyond the process.
//!
//! A backend alone knows its layout, and whoever opens files alone knows where something can be kept: they
//! meet here. What is kept is the same bytes that would lie in memory; a sum over them tells whether they
//! still are. Nothing that fails here needs to fail a load, as weights can always be packed again.

use crate::{LoadError, Weight, WeightSource};
use alloc::boxed::Box;
use core::fmt::{self, Debug};
use tensor::Bytes;

/// What packed weights are looked for by.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// Everything that decides the bytes beside the weights: the backend's version and places.
    pub layout: &'a str,
    /// Size of all packed weights.
    pub bytes: Bytes,
    /// The weights, in the order of the layout.
    pub weights: &'a [&'a Weight],
    /// Where their bytes are.
    pub source: &'a dyn WeightSource,
}

impl Debug for Wanted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wanted({} of {} weights)", self.bytes, self.weights.len())
    }
}

/// A place for packed weights that outlives the process.
pub trait PackStore: Sync {
    /// What is kept, or room for it.
    ///
    /// # Errors
    /// If the weights cannot be read, or there is no room and none may be taken elsewhere.
    fn open(&self, wanted: &Wanted<'_>) -> Result<Slot, LoadError>;

    /// Room in place of what was kept and turned out to be damaged.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    fn replace(&self, wanted: &Wanted<'_>, damaged: Box<dyn Kept>) -> Result<Slot, LoadError>;
}

/// The answer of a store.
#[derive(Debug)]
pub enum Slot {
    /// Packed weights; their sum is still to be compared.
    Kept(Box<dyn Kept>),
    /// Room to pack into.
    New(Box<dyn Making>),
    /// Nothing can be kept: pack into memory of the backend's own.
    Nowhere,
}

/// Packed weights of a store; nobody changes them.
pub trait Kept: Debug + Send + Sync {
    /// The bytes, at an address that is a multiple of 64.
    fn bytes(&self) -> &[u8];

    /// The sum that the backend gave when they were made.
    fn sum(&self) -> u64;
}

/// Room that nobody else sees yet.
pub trait Making: Debug + Send {
    /// Zeros of the size that was wanted, at an address that is a multiple of 64.
    fn bytes_mut(&mut self) -> &mut [u8];

    /// Keeps what was written, with the backend's sum over it.
    fn keep(self: Box<Self>, sum: u64) -> Box<dyn Kept>;
}
