//! Fits a model into a device, says beforehand that it fits, and runs it.
//!
//! ```no_run
//! use ledge::{Bytes, Plan, Sampling};
//!
//! let plan = Plan::for_file("model.gguf")?.context(8192).memory(Bytes::mib(900)).solve()?;
//! println!("will take {}", plan.promise().total());
//! let lm = plan.load()?;
//! let mut chat = lm.chat()?;
//! chat.user("Why is the sky blue?");
//! for piece in chat.stream(Sampling { seed: 7, ..Sampling::default() })? {
//!     print!("{}", piece?.text);
//! }
//! # Ok::<(), ledge::Error>(())
//! ```
//!
//! Calls block; nothing prints, exits, reads the environment or touches the network. Whoever
//! wants only tokenizers or file formats takes `ledge-text` or `ledge-formats` alone.

mod chat;
mod embedder;
mod error;
mod lm;
mod planning;
mod stream;

pub use chat::{Chat, Turn};
pub use embedder::Embedder;
pub use error::Error;
pub use lm::{LanguageModel, Text};
pub use planning::{Plan, Solved};
pub use stream::{Ended, Stream, Token};

pub use engine::{
    Advice, DoesNotFit, EngineError,
    embedding::Normalize,
    llm::{
        generate::{EndTokens, Ending, Until},
        sampler::{Dry, Sampling},
    },
    network::{
        Array, ArrayError, Network, NetworkPlan, Operator, OperatorError, Pace, Pacer, Profile,
        Scale, Stream as NetworkStream, Turn as PacerTurn, Variable,
    },
};
/// How a file uses an operator that was registered with [`Network::register`].
pub mod operator {
    pub use engine::network::{Call, DeclaredResult, Operand, Setting};
}
/// Backends that run parts of networks: see [`Network::set_delegates`].
pub mod delegates {
    pub use engine::delegates::{Delegates, Part, Pin, Placement, Reason, Worth};
}
pub use import::settings::Pooling;
pub use media;
pub use plan::KvType;
pub use plan::{Buffer, BufferKind, Control, Promise, Uncontrolled};
pub use tensor::{Bytes, DType, Shape, TensorRef};
pub use text::{
    Special, TokenId, Tokenizer,
    stop::{InvalidStop, StopStrings},
    template::{ChatTemplate, CivilTime, Conversation},
};

/// Opens a network: an ONNX file, by its content.
///
/// ```no_run
/// let network = ledge::open("classifier.onnx")?;
/// let image = ledge::Array::from_f32(&[1, 3, 224, 224], &vec![0.5; 3 * 224 * 224]).unwrap();
/// let outputs = network.run(&[("image", image.view())])?;
/// # Ok::<(), ledge::Error>(())
/// ```
///
/// # Errors
/// If the file is missing, unreadable or broken. Operators that are not supported are told by
/// [`Network::unsupported`], and all at once by a run.
pub fn open(path: impl AsRef<std::path::Path>) -> Result<Network, Error> {
    Ok(Network::open(path.as_ref())?)
}

/// The embedded model: a small storyteller, so that the first call needs no file.
pub static EMBEDDED_MODEL: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../assets/house.gguf"));
