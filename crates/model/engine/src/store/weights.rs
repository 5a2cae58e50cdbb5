//! Tensors by name: the source from which a backend reads weights.

use super::{Origin, Packs};
use crate::error::chain;
use plan::{PackStore, ReadError, Weight, WeightSource};
use std::{collections::HashMap, sync::Arc};

/// Where a tensor's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which of the model's files.
    pub file: usize,
    /// First byte.
    pub offset: u64,
    /// Number of bytes.
    pub bytes: u64,
}

/// All tensors of a model, with constants that were computed when it was imported.
#[derive(Debug)]
pub struct Weights {
    origins: Arc<[Origin]>,
    places: HashMap<String, Place>,
    constants: HashMap<String, Vec<u8>>,
    packs: Option<Packs>,
}

impl Weights {
    /// Tensors at these places; `constants` are single-precision vectors.
    pub fn new(
        origins: Arc<[Origin]>,
        places: HashMap<String, Place>,
        constants: Vec<(String, Vec<f32>)>,
    ) -> Self {
        let bytes = |list: Vec<f32>| list.into_iter().flat_map(f32::to_le_bytes).collect();
        let constants = constants.into_iter().map(|(name, list)| (name, bytes(list))).collect();
        Self { origins, places, constants, packs: None }
    }

    /// Keeps packed weights, too.
    #[must_use]
    pub fn kept_in(mut self, packs: Option<Packs>) -> Self {
        let computed = self.constants.iter();
        let computed = computed.map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
        self.packs = packs.map(|packs| packs.with_computed(computed));
        self
    }

    /// What happened to packed weights that the user did not ask for.
    pub fn notices(&self) -> Vec<String> {
        self.packs.as_ref().map(Packs::notices).unwrap_or_default()
    }
}

impl WeightSource for Weights {
    fn read_rows(&self, weight: &Weight, row: u64, out: &mut [u8]) -> Result<(), ReadError> {
        let error = |reason: String| ReadError { tensor: weight.tensor.clone(), reason };
        let missing = || error("is not in the model".into());
        let first = weight.ty.row_bytes(weight.first);
        let start = first.and_then(|first| first.checked_add(row.checked_mul(weight.row_bytes())?));
        let behind = || error(format!("row {row} is behind its end"));
        let start = start.ok_or_else(behind)?;
        let end = start.checked_add(out.len() as u64).ok_or_else(behind)?;
        if let Some(constant) = self.constants.get(&weight.tensor) {
            let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
            let source = range.and_then(|(start, end)| constant.get(start..end));
            out.copy_from_slice(source.ok_or_else(behind)?);
            return Ok(());
        }
        let place = self.places.get(&weight.tensor).ok_or_else(missing)?;
        let origin = self.origins.get(place.file).ok_or_else(missing)?;
        if end > place.bytes {
            return Err(behind());
        }
        let offset = place.offset.checked_add(start).ok_or_else(behind)?;
        origin.read_at(offset, out).map_err(|source| error(chain(&source)))
    }

    fn packs(&self) -> Option<&dyn PackStore> {
        self.packs.as_ref().map(|packs| packs as &dyn PackStore)
    }
}
