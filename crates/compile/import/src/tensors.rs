//! Stored tensors by role, whatever the file calls them. A role is looked up once, with the shape
//! that the settings demand.

use crate::{
    error::ImportError,
    names::{Names, Role},
};
use formats::{StoredTensor, TensorTable};

/// Tensors of a model with the names that roles have in it.
#[derive(Clone, Debug)]
pub struct Tensors {
    table: TensorTable,
    names: Vec<Names>,
    prefix: &'static str,
}

impl Tensors {
    /// Tensors whose roles are found by `names`, the first table that knows a role before others.
    pub fn new(table: TensorTable, names: Vec<Names>) -> Self {
        let prefixed = table.iter().any(|tensor| tensor.name.starts_with("bert."));
        Self { table, names, prefix: if prefixed { "bert." } else { "" } }
    }

    /// All tensors.
    pub fn table(&self) -> &TensorTable {
        &self.table
    }

    /// The tensor for a role in a layer, if there is one. `suffix` is `weight` or `bias`.
    pub fn find(&self, role: Role, layer: u32, suffix: &str) -> Option<&StoredTensor> {
        self.candidates(role, layer, suffix).iter().find_map(|name| self.table.get(name))
    }

    /// The weight for a role in a layer.
    ///
    /// # Errors
    /// If there is none: the error gives the first name that it could have had.
    pub fn require(&self, role: Role, layer: u32) -> Result<&StoredTensor, ImportError> {
        self.find(role, layer, "weight").ok_or_else(|| ImportError::Missing {
            name: self
                .candidates(role, layer, "weight")
                .into_iter()
                .next()
                .unwrap_or_else(|| format!("{role:?} of layer {layer}")),
        })
    }

    fn candidates(&self, role: Role, layer: u32, suffix: &str) -> Vec<String> {
        // The first table that knows a role hides it in later ones: a name may change its meaning.
        let known = |table: &&Names| table.iter().any(|(known, _)| *known == role);
        let table = self.names.iter().find(known).copied().unwrap_or(&[]);
        // Files from before 2019 call a norm's weight gamma and its bias beta.
        let old = if suffix == "weight" { "gamma" } else { "beta" };
        let roles = table.iter().filter(|(known, _)| *known == role);
        roles
            .flat_map(|(_, pattern)| {
                let stem = pattern.replace("{}", &layer.to_string());
                [suffix, old].map(|suffix| format!("{}{stem}.{suffix}", self.prefix))
            })
            .collect()
    }
}
