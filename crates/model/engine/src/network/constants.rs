//! Constants of a stage by name: ranges of files, bytes, or one number repeated.
//!
//! A backend reads each of them once, while it loads, and then says so: what only memory held is given
//! up at that moment, so that a constant and its packed form are never all there at once.

use super::{
    derived::Derived,
    file::{Folder, Piece},
};
use crate::error::EngineError;
use graph::Graph;
use import::network::{Constant, HostError};
use plan::{LoadError, ReadError, Weight, WeightSource};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Arc, PoisonError, RwLock},
};
use tensor::{DType, Shape, TensorType};

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

impl Held {
    /// Fills `out` from byte `start` on, which begins an element of this type.
    pub(super) fn read(&self, dtype: DType, start: usize, out: &mut [u8]) -> Result<(), HostError> {
        match self {
            Self::Piece(piece) => piece.read(start, out),
            Self::Bytes(bytes) => {
                let part = start.checked_add(out.len()).and_then(|end| bytes.get(start..end));
                let behind = || HostError::Read("bytes behind its end".into());
                out.copy_from_slice(part.ok_or_else(behind)?);
                Ok(())
            }
            Self::Splat(one) => {
                let width = usize::try_from(dtype.bytes()).unwrap_or(8);
                for chunk in out.chunks_mut(width) {
                    chunk.copy_from_slice(&one[..chunk.len()]);
                }
                Ok(())
            }
            Self::Derived(derived) => derived.read(start, out),
        }
    }

    /// Tells `state` what the bytes are, without computing them.
    pub(super) fn identify(&self, state: &mut DefaultHasher) {
        std::mem::discriminant(self).hash(state);
        match self {
            Self::Piece(Piece::Held(bytes, range)) => (Arc::as_ptr(bytes), range).hash(state),
            Self::Piece(Piece::Filed { origin, offset, len }) => {
                (Arc::as_ptr(origin), offset, len).hash(state);
            }
            Self::Bytes(bytes) => bytes.hash(state),
            Self::Splat(one) => one.hash(state),
            Self::Derived(derived) => derived.identify(state),
        }
    }

    /// All bytes of a constant of this type and these extents.
    pub(super) fn all(&self, dtype: DType, dims: Shape) -> Result<Cow<'_, [u8]>, HostError> {
        if let Self::Bytes(bytes) = self {
            return Ok(Cow::Borrowed(bytes));
        }
        let size = tensor::view::tensor_bytes(dtype.into(), dims);
        let size = size.ok().and_then(tensor::Bytes::to_usize);
        let size = size.ok_or_else(|| HostError::Read(format!("{dims} is larger than memory")))?;
        let mut bytes = vec![0; size];
        self.read(dtype, 0, &mut bytes)?;
        Ok(Cow::Owned(bytes))
    }
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
                    Held::Piece(found.map_err(|error| match &stored.file {
                        Some(file) => EngineError::Beside {
                            file: folder.place(file),
                            reason: error.to_string(),
                        },
                        None => unreadable(&name, &error),
                    })?)
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
        let held = map.get(&weight.tensor).ok_or_else(|| error("is not in the model".into()))?;
        let TensorType::Plain(dtype) = weight.ty else {
            return Err(error("is no array".into()));
        };
        held.read(dtype, start, out).map_err(|reason| error(reason.to_string()))
    }

    fn read_columns(
        &self,
        weight: &Weight,
        column: u64,
        out: &mut [u8],
    ) -> Result<bool, ReadError> {
        let error = |reason: String| ReadError { tensor: weight.tensor.clone(), reason };
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let Some(Held::Derived(derived)) = map.get(&weight.tensor) else { return Ok(false) };
        let column =
            usize::try_from(column).map_err(|_| error("a column behind its end".into()))?;
        derived.read_columns(column, out).map_err(|reason| error(reason.to_string()))
    }

    fn identity(&self, weight: &Weight) -> Option<u64> {
        let mut state = DefaultHasher::new();
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        map.get(&weight.tensor)?.identify(&mut state);
        Some(state.finish())
    }

    fn release(&self, weight: &Weight) {
        self.map.write().unwrap_or_else(PoisonError::into_inner).remove(&weight.tensor);
    }
}
