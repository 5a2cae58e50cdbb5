//! Named buffers and their sum, the promise.
//!
//! A need is named here when a plan is made; nothing large is allocated in any other way.

use alloc::string::String;
use tensor::Bytes;

/// Names a [`Buffer`] of one plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BufferId(pub u32);

/// What a buffer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BufferKind {
    /// Weights that stay in the mapped source file and can be evicted.
    MappedWeights,
    /// Weights in a backend's own layout.
    PackedWeights,
    /// Keys and values of earlier positions.
    Kv,
    /// Values that live between steps.
    Arena,
    /// Room that a step needs while it runs.
    Scratch,
    /// Inputs and outputs of a run.
    Io,
    /// Tokens and merge tables.
    Vocabulary,
    /// Sampling, history and text of a session.
    Session,
    /// The program itself: code, allocator, stacks.
    Program,
}

impl BufferKind {
    /// All kinds, in the order in which they are reported.
    pub const ALL: [Self; 9] = [
        Self::MappedWeights,
        Self::PackedWeights,
        Self::Kv,
        Self::Arena,
        Self::Scratch,
        Self::Io,
        Self::Vocabulary,
        Self::Session,
        Self::Program,
    ];

    /// The name that users see, also in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MappedWeights => "mapped_weights",
            Self::PackedWeights => "packed_weights",
            Self::Kv => "kv",
            Self::Arena => "arena",
            Self::Scratch => "scratch",
            Self::Io => "io",
            Self::Vocabulary => "vocabulary",
            Self::Session => "session",
            Self::Program => "program",
        }
    }
}

/// A range of memory with a name and a purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// What users see in `ledge plan`.
    pub name: String,
    /// What it is for.
    pub kind: BufferKind,
    /// Its size.
    pub bytes: Bytes,
    /// Alignment of its first byte, a power of two.
    pub align: u64,
}

/// What running a plan will take, known before anything is loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Promise {
    /// Memory of this process alone.
    pub private: Bytes,
    /// Pages of mapped files, which the system may drop and read again.
    pub mapped: Bytes,
}

impl Promise {
    /// Private and mapped bytes together.
    pub fn total(self) -> Bytes {
        Bytes(self.private.0.saturating_add(self.mapped.0))
    }

    /// Sums buffers by where they live.
    pub fn of<'a>(buffers: impl IntoIterator<Item = &'a Buffer>) -> Self {
        let mut promise = Self::default();
        for buffer in buffers {
            let sum = match buffer.kind {
                BufferKind::MappedWeights => &mut promise.mapped,
                BufferKind::PackedWeights
                | BufferKind::Kv
                | BufferKind::Arena
                | BufferKind::Scratch
                | BufferKind::Io
                | BufferKind::Vocabulary
                | BufferKind::Session
                | BufferKind::Program => &mut promise.private,
            };
            sum.0 = sum.0.saturating_add(buffer.bytes.0);
        }
        promise
    }
}
