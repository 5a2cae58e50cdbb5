//! The files of a network: the model's own, and those beside it that hold large weights.
//!
//! Of the model's own file everything is held but the elements of large tensors: these stay in the file
//! and are read when a backend packs them, so that no weight is in memory twice. A file beside the model
//! is reached by a path of plain names below the model's folder; no part of it may be a link, and it
//! must be a regular file that holds what is asked for.
#![expect(clippy::disallowed_methods, reason = "a network names further files beside its own")]

use crate::{
    error::EngineError,
    store::{Origin, StoreError},
};
use formats::{Kind, onnx::skeleton, sniff};
use import::network::{HostError, Stored};
use std::{
    collections::HashMap,
    fs,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};
use tensor::Bytes;

/// Enough of a file to tell what it is.
const SNIFFED: Bytes = Bytes::kib(4);

/// A model's bytes and the folder that it stands in.
#[derive(Debug)]
pub(super) struct Folder {
    /// The file; zeros where `holes` are.
    bytes: Arc<Vec<u8>>,
    /// Ranges that were not read, in order.
    holes: Vec<Range<usize>>,
    /// Where they are; none for a model that was given in memory.
    origin: Option<Arc<Origin>>,
    path: Option<PathBuf>,
    /// Files beside the model that were opened.
    others: Mutex<HashMap<Arc<str>, Arc<Origin>>>,
}

/// Bytes of a tensor, wherever they are.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    /// In the part of the model's file that is held.
    Held(Arc<Vec<u8>>, Range<usize>),
    /// In a file, from this byte on.
    Filed {
        /// The file.
        origin: Arc<Origin>,
        /// First byte.
        offset: u64,
        /// Number of bytes.
        len: usize,
    },
}

impl Piece {
    /// Number of bytes.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Held(_, range) => range.len(),
            Self::Filed { len, .. } => *len,
        }
    }

    /// Fills `out` from byte `start` of the piece on.
    pub(super) fn read(&self, start: usize, out: &mut [u8]) -> Result<(), HostError> {
        let behind = || HostError::Read("bytes behind its end".into());
        let end = start.checked_add(out.len()).filter(|&end| end <= self.len());
        let end = end.ok_or_else(behind)?;
        match self {
            Self::Held(bytes, range) => {
                out.copy_from_slice(&bytes[range.start + start..range.start + end]);
                Ok(())
            }
            Self::Filed { origin, offset, .. } => origin
                .read_at(offset + start as u64, out)
                .map_err(|error| HostError::Read(crate::error::chain(&error))),
        }
    }

    /// All of its bytes.
    pub(super) fn whole(&self) -> Result<Arc<[u8]>, HostError> {
        if let Self::Held(bytes, range) = self {
            return Ok(bytes[range.clone()].into());
        }
        let mut whole: Arc<[u8]> = std::iter::repeat_n(0, self.len()).collect();
        let out = Arc::get_mut(&mut whole).expect("nobody else has what was just made");
        self.read(0, out)?;
        Ok(whole)
    }
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
        let (bytes, holes) = match sniff(&origin.prefix(SNIFFED)?) {
            Kind::OnnxLike => read_around(&origin)?,
            _ => (origin.prefix(origin.bytes())?, Vec::new()),
        };
        Ok(Self {
            bytes: Arc::new(bytes),
            holes,
            origin: Some(Arc::new(origin)),
            path: path.parent().map(Path::to_path_buf),
            others: Mutex::default(),
        })
    }

    pub(super) fn from_bytes(bytes: Vec<u8>) -> Self {
        let (holes, others) = (Vec::new(), Mutex::default());
        Self { bytes: Arc::new(bytes), holes, origin: None, path: None, others }
    }

    /// The model's own file, with zeros for the elements of large tensors.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes of the model's own file that are held in memory.
    pub(super) fn held(&self) -> Bytes {
        let holes: usize = self.holes.iter().map(Range::len).sum();
        Bytes((self.bytes.len() - holes) as u64)
    }

    /// Where a file of the model is looked for.
    pub(super) fn place(&self, name: &str) -> String {
        let path = self.path.as_ref().map_or_else(|| name.into(), |folder| folder.join(name));
        path.display().to_string()
    }

    /// The bytes of a tensor.
    pub(super) fn find(&self, stored: &Stored) -> Result<Piece, HostError> {
        let name = || stored.file.as_deref().unwrap_or("the model");
        let refuse = |have: u64| {
            HostError::Read(format!(
                "{}: {} bytes at {} are asked for, it has {have}",
                name(),
                stored.bytes,
                stored.offset
            ))
        };
        let filed = |origin: Arc<Origin>| {
            let have = origin.bytes().0;
            let end = stored.offset.checked_add(stored.bytes).filter(|&end| end <= have);
            let len = end.and_then(|_| usize::try_from(stored.bytes).ok());
            let len = len.ok_or_else(|| refuse(have))?;
            Ok(Piece::Filed { origin, offset: stored.offset, len })
        };
        if let Some(name) = &stored.file {
            return filed(self.other(name)?);
        }
        let start = usize::try_from(stored.offset).ok();
        let len = usize::try_from(stored.bytes).ok();
        let range = start.zip(len).and_then(|(start, len)| Some(start..start.checked_add(len)?));
        let range = range.filter(|range| range.end <= self.bytes.len());
        let range = range.ok_or_else(|| refuse(self.bytes.len() as u64))?;
        let meets = |hole: &Range<usize>| hole.start < range.end && range.start < hole.end;
        match &self.origin {
            Some(origin) if self.holes.iter().any(meets) => filed(Arc::clone(origin)),
            _ => Ok(Piece::Held(Arc::clone(&self.bytes), range)),
        }
    }

    fn other(&self, name: &Arc<str>) -> Result<Arc<Origin>, HostError> {
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(origin) = others.get(name) {
            return Ok(Arc::clone(origin));
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
        let opened = Origin::open(&path).map_err(|error| refuse(&crate::error::chain(&error)))?;
        let opened = Arc::new(opened);
        others.insert(name.clone(), Arc::clone(&opened));
        Ok(opened)
    }
}

/// A file without the elements of its large tensors, and where these are.
fn read_around(origin: &Origin) -> Result<(Vec<u8>, Vec<Range<usize>>), StoreError> {
    let len = origin.bytes().to_usize().unwrap_or(usize::MAX);
    // Zeroed memory that is not touched is not there.
    let mut bytes = vec![0; len];
    let holes = skeleton::read(&mut bytes, |offset, part: &mut [u8]| origin.read_at(offset, part))?;
    Ok((bytes, holes))
}
