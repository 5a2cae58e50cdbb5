//! Constants of a stage by name: ranges of files, bytes, or one number repeated.
//!
//! A backend reads each of them once, while it loads, and then says so: what only memory held is given
//! up at that moment, so that a constant and its packed form are never all there at once.

use super::{
    file::{Folder, Piece},
    optimise::Derived,
};
use crate::error::EngineError;
use graph::Graph;
use import::network::{Constant, HostError};
use plan::{LoadError, ReadError, Weight, WeightSource};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError, RwLock},
};

/// The constants that have not been given up.
#[derive(Debug, Default)]
pub(super) struct Constants {
    map: RwLock<BTreeMap<String, Held>>,
}

#[derive(Clone, Debug)]
pub(super) enum Held {
    Piece(Piece),
    Bytes(Arc<[u8]>),
    Splat([u8; 8]),
    /// Computed from others when it is read.
    Derived(Arc<Derived>),
}

impl Constants {
    pub(super) fn new(
        folder: &Arc<Folder>,
        constants: BTreeMap<String, Constant>,
    ) -> Result<Self, EngineError> {
        let mut map = BTreeMap::new();
        for (name, constant) in constants {
            let held = match constant {
                Constant::Bytes(bytes) => Held::Bytes(bytes),
                Constant::Splat(one) => Held::Splat(one),
                Constant::Stored(stored) => {
                    let found = folder.find(&stored);
                    Held::Piece(found.map_err(|error| unreadable(&name, &error))?)
                }
            };
            map.insert(name, held);
        }
        Ok(Self { map: RwLock::new(map) })
    }

    /// The constant of this name.
    pub(super) fn find(&self, name: &str) -> Option<Held> {
        self.map.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Adds a constant.
    pub(super) fn insert(&mut self, name: String, held: Held) {
        self.map.get_mut().unwrap_or_else(PoisonError::into_inner).insert(name, held);
    }

    /// Drops what the graph does not name.
    pub(super) fn keep(&mut self, graph: &Graph) {
        let used: BTreeSet<&str> = graph.weights.iter().map(|w| w.tensor.as_str()).collect();
        let map = self.map.get_mut().unwrap_or_else(PoisonError::into_inner);
        map.retain(|name, _| used.contains(name.as_str()));
    }
}

fn unreadable(name: &str, error: &HostError) -> EngineError {
    let error = ReadError { tensor: name.to_owned(), reason: error.to_string() };
    EngineError::Load(LoadError::Read(error))
}

impl WeightSource for Constants {
    fn read_rows(&self, weight: &Weight, row: u64, out: &mut [u8]) -> Result<(), ReadError> {
        let error = |reason: String| ReadError { tensor: weight.tensor.clone(), reason };
        let start = row.checked_mul(weight.row_bytes()).and_then(|n| usize::try_from(n).ok());
        let start = start.ok_or_else(|| error("a row behind its end".into()))?;
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        match map.get(&weight.tensor) {
            Some(Held::Piece(piece)) => {
                piece.read(start, out).map_err(|reason| error(reason.to_string()))
            }
            Some(Held::Bytes(bytes)) => {
                let end = start.checked_add(out.len());
                let part = end.and_then(|end| bytes.get(start..end));
                out.copy_from_slice(part.ok_or_else(|| error("a row behind its end".into()))?);
                Ok(())
            }
            Some(Held::Splat(one)) => {
                let width = usize::try_from(weight.ty.block_bytes()).unwrap_or(8);
                for chunk in out.chunks_mut(width) {
                    chunk.copy_from_slice(&one[..chunk.len()]);
                }
                Ok(())
            }
            Some(Held::Derived(derived)) => {
                let derived = Arc::clone(derived);
                drop(map);
                derived.read(start, out).map_err(|fault| error(fault.to_string()))
            }
            None => Err(error("is not in the model".into())),
        }
    }

    fn release(&self, weight: &Weight) {
        self.map.write().unwrap_or_else(PoisonError::into_inner).remove(&weight.tensor);
    }
}
