//! One row of choices for each family; the builder does the rest.
//!
//! Rows say only what differs. What a file's own settings decide (sizes, biases, tied heads,
//! experts, scalings) is not a choice of the family and not listed here.

use plan::op::{NormKind, RopePairs, Unary};

/// How a token's position enters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Positions {
    /// Rotary, with these pairs in GGUF files; Hugging Face folders always pair halves.
    Rope(RopePairs),
    /// A table row is added to the embedding.
    Learned,
}

/// Where queries and keys are normalised, if at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QkNorm {
    /// They are not.
    None,
    /// Each head by itself.
    Head,
    /// All heads of a row together.
    Row,
}

/// Where a layer normalises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Before each branch.
    Pre,
    /// Each branch's output, before it is added.
    Branch,
    /// Before each branch and on its output.
    Sandwich,
    /// After each branch has been added (the original transformer).
    Post,
}

/// Factor on the embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmbedScale {
    /// None, unless the settings give one.
    Settings,
    /// The square root of the width.
    SqrtWidth,
}

/// Which layers have a window, where the settings give one but no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Windows {
    /// The window is not used.
    Never,
    /// Every layer.
    All,
    /// Layer `i` where `i mod n < n - 1`.
    Period(u32),
}

/// A model family's choices.
#[derive(Debug)]
pub struct Family {
    /// Its name in messages and reports.
    pub name: &'static str,
    /// Values of `general.architecture` in GGUF files.
    pub gguf: &'static [&'static str],
    /// Values of `model_type` in `config.json`; empty where folders are not read.
    pub folder: &'static [&'static str],
    /// The statistic of its norms.
    pub norm: NormKind,
    /// Where layers normalise.
    pub placement: Placement,
    /// How positions enter.
    pub positions: Positions,
    /// Whether layer `i` with `(i + 1) mod n = 0` is left without positions.
    pub rope_skip: Option<u32>,
    /// Norms on queries and keys.
    pub qk_norm: QkNorm,
    /// Which layers have a window in GGUF files.
    pub windows: Windows,
    /// Which layers have a window in folders.
    pub folder_windows: Windows,
    /// Applied to the gate, or to the only projection where there is no gate.
    pub activation: Unary,
    /// Whether the feed-forward has a gate.
    pub gated: bool,
    /// Factor on the embedding.
    pub embed_scale: EmbedScale,
    /// Added to norm weights that come from folders.
    pub folder_norm_offset: f32,
    /// Whether the model sees later positions too and has no head.
    pub encoder: bool,
    /// Number of layers at which queries are scaled by `width / heads` instead of `head_dim`.
    pub wide_scale_layers: Option<u32>,
}

const LLAMA: Family = Family {
    name: "llama",
    gguf: &["llama"],
    folder: &["llama"],
    norm: NormKind::Rms,
    placement: Placement::Pre,
    positions: Positions::Rope(RopePairs::Interleaved),
    rope_skip: None,
    qk_norm: QkNorm::None,
    windows: Windows::Never,
    folder_windows: Windows::Never,
    activation: Unary::Silu,
    gated: true,
    embed_scale: EmbedScale::Settings,
    folder_norm_offset: 0.0,
    encoder: false,
    wide_scale_layers: None,
};

const HALF: Positions = Positions::Rope(RopePairs::Half);

/// All families.
pub static FAMILIES: [Family; 14] = [
    LLAMA,
    Family {
        name: "mistral",
        gguf: &[],
        folder: &["mistral"],
        folder_windows: Windows::All,
        ..LLAMA
    },
    Family {
        name: "qwen2",
        gguf: &["qwen2"],
        folder: &["qwen2"],
        positions: HALF,
        folder_windows: Windows::All,
        ..LLAMA
    },
    Family {
        name: "qwen3",
        gguf: &["qwen3"],
        folder: &["qwen3"],
        positions: HALF,
        qk_norm: QkNorm::Head,
        folder_windows: Windows::All,
        ..LLAMA
    },
    Family {
        name: "qwen3moe",
        gguf: &["qwen3moe"],
        folder: &[],
        positions: HALF,
        qk_norm: QkNorm::Head,
        ..LLAMA
    },
    Family {
        name: "gemma",
        gguf: &["gemma"],
        folder: &[],
        positions: HALF,
        activation: Unary::GeluTanh,
        embed_scale: EmbedScale::SqrtWidth,
        ..LLAMA
    },
    Family {
        name: "gemma2",
        gguf: &["gemma2"],
        folder: &["gemma2"],
        positions: HALF,
        placement: Placement::Sandwich,
        windows: Windows::Period(2),
        folder_windows: Windows::Period(2),
        activation: Unary::GeluTanh,
        embed_scale: EmbedScale::SqrtWidth,
        folder_norm_offset: 1.0,
        wide_scale_layers: Some(46),
        ..LLAMA
    },
    Family {
        name: "gemma3",
        gguf: &["gemma3"],
        folder: &[],
        positions: HALF,
        placement: Placement::Sandwich,
        qk_norm: QkNorm::Head,
        windows: Windows::Period(6),
        activation: Unary::GeluTanh,
        embed_scale: EmbedScale::SqrtWidth,
        wide_scale_layers: Some(62),
        ..LLAMA
    },
    Family {
        name: "phi3",
        gguf: &["phi3"],
        folder: &["phi3"],
        positions: HALF,
        folder_windows: Windows::All,
        ..LLAMA
    },
    Family { name: "smollm3", gguf: &["smollm3"], folder: &[], rope_skip: Some(4), ..LLAMA },
    Family { name: "granite", gguf: &["granite"], folder: &[], ..LLAMA },
    Family {
        name: "olmo2",
        gguf: &["olmo2"],
        folder: &[],
        positions: HALF,
        placement: Placement::Branch,
        qk_norm: QkNorm::Row,
        windows: Windows::Period(4),
        ..LLAMA
    },
    Family {
        name: "gpt2",
        gguf: &["gpt2"],
        folder: &[],
        norm: NormKind::Layer,
        positions: Positions::Learned,
        activation: Unary::GeluTanh,
        gated: false,
        ..LLAMA
    },
    Family {
        name: "bert",
        gguf: &["bert"],
        folder: &["bert"],
        norm: NormKind::Layer,
        placement: Placement::Post,
        positions: Positions::Learned,
        activation: Unary::GeluTanh,
        gated: false,
        encoder: true,
        ..LLAMA
    },
];

impl Family {
    /// The family of a GGUF file's `general.architecture`.
    pub fn of_gguf(architecture: &str) -> Option<&'static Self> {
        FAMILIES.iter().find(|family| family.gguf.contains(&architecture))
    }

    /// The family of a folder's `model_type`.
    pub fn of_folder(model_type: &str) -> Option<&'static Self> {
        FAMILIES.iter().find(|family| family.folder.contains(&model_type))
    }
}
