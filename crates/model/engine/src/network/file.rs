//! The files of a network: the model's own, and those beside it that hold large weights.
//!
//! A file beside the model is reached by a path of plain names below the model's folder; no part
//! of it may be a link, and it must be a regular file that holds what is asked for.
#![expect(clippy::disallowed_methods, reason = "a network names further files beside its own")]

use crate::{
    error::EngineError,
    store::{Origin, StoreError},
};
use formats::{Kind, sniff};
use import::network::{HostError, Stored};
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};
use tensor::Bytes;

/// Enough of a file to tell what it is.
const SNIFFED: Bytes = Bytes::kib(4);

/// A model's bytes and the folder that it stands in.
#[derive(Debug)]
pub(super) struct Folder {
    bytes: Arc<[u8]>,
    path: Option<PathBuf>,
    /// Files beside the model that were read.
    others: Mutex<HashMap<Arc<str>, Arc<[u8]>>>,
}

/// Whether a file's content is that of a network.
pub(super) fn is_network(path: &Path) -> Result<bool, EngineError> {
    let origin = Origin::open(path)?;
    let kind = sniff(&origin.prefix(SNIFFED)?);
    let named =
        |ending: &str| path.extension().is_some_and(|suffix| suffix.eq_ignore_ascii_case(ending));
    Ok(match kind {
        Kind::OnnxLike | Kind::TfliteLike => true,
        Kind::Unknown => named("onnx") || named("tflite"),
        _ => false,
    })
}

impl Folder {
    pub(super) fn open(path: &Path) -> Result<Self, EngineError> {
        let origin = Origin::open(path)?;
        let bytes = origin.prefix(origin.bytes())?;
        let folder = path.parent().map(Path::to_path_buf);
        Ok(Self { bytes: bytes.into(), path: folder, others: Mutex::default() })
    }

    pub(super) fn from_bytes(bytes: Vec<u8>) -> Self {
        Self { bytes: bytes.into(), path: None, others: Mutex::default() }
    }

    /// The model's own file.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The whole file that holds these bytes, and where they begin in it.
    pub(super) fn find(
        &self,
        stored: &Stored,
    ) -> Result<(Arc<[u8]>, std::ops::Range<usize>), HostError> {
        let file = match &stored.file {
            None => self.bytes.clone(),
            Some(name) => self.other(name)?,
        };
        let start = usize::try_from(stored.offset).ok();
        let len = usize::try_from(stored.bytes).ok();
        let range = start.zip(len).and_then(|(start, len)| Some(start..start.checked_add(len)?));
        let range = range.filter(|range| range.end <= file.len());
        let range = range.ok_or_else(|| {
            let name = stored.file.as_deref().unwrap_or("the model");
            HostError::Read(format!(
                "{name}: {} bytes at {} are asked for, it has {}",
                stored.bytes,
                stored.offset,
                file.len()
            ))
        })?;
        Ok((file, range))
    }

    fn other(&self, name: &Arc<str>) -> Result<Arc<[u8]>, HostError> {
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bytes) = others.get(name) {
            return Ok(bytes.clone());
        }
        let refuse = |reason: &str| HostError::Read(format!("{name}: {reason}"));
        let folder =
            self.path.as_ref().ok_or_else(|| refuse("a network in memory has no files"))?;
        let mut path = folder.clone();
        for part in name.split('/') {
            if matches!(part, "" | "." | "..") || part.contains(['\\', ':']) {
                return Err(refuse("only files below the model's folder are read"));
            }
            path.push(part);
            let there = fs::symlink_metadata(&path).map_err(|error| refuse(&error.to_string()))?;
            if there.file_type().is_symlink() {
                return Err(refuse("links are not followed"));
            }
        }
        let read = |path: &Path| -> Result<Vec<u8>, StoreError> {
            let origin = Origin::open(path)?;
            origin.prefix(origin.bytes())
        };
        let bytes: Arc<[u8]> =
            read(&path).map_err(|error| refuse(&crate::error::chain(&error)))?.into();
        others.insert(name.clone(), bytes.clone());
        Ok(bytes)
    }
}
