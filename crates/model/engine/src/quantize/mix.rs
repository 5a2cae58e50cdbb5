//! Which type each tensor of a model gets: the mixes that users know from llama.cpp.
//!
//! A mix has one base type; tensors that matter more for quality get more bits, small ones stay as
//! they are, and rows that are no whole number of blocks fall back to smaller blocks. The rules are
//! those of llama.cpp without an importance matrix (`llama-quant.cpp`, read in 2026), so that a mix
//! means the same types here and there; `tests/goldens/mixes.txt` holds what llama.cpp does.

use std::{fmt, str::FromStr};

use formats::{
    StoredTensor, StoredType, TensorTable,
    gguf::{Metadata, Value},
};
use tensor::{BlockType, DType, TensorType};

use BlockType::{
    IQ4_NL, IQ4_XS, MXFP4, Q2_K, Q3_K, Q4_0, Q4_1, Q4_K, Q5_0, Q5_1, Q5_K, Q6_K, Q8_0,
};

/// A mix by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(non_camel_case_types, missing_docs, reason = "names that users know")]
pub enum Mix {
    F32,
    F16,
    BF16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2_K,
    Q3_K_S,
    Q3_K_M,
    Q3_K_L,
    Q4_K_S,
    Q4_K_M,
    Q5_K_S,
    Q5_K_M,
    Q6_K,
    IQ4_NL,
    IQ4_XS,
    MXFP4_MOE,
}

/// Name, base type and the number that GGUF's `general.file_type` has for it.
type Row = (Mix, &'static str, TensorType, u32);

const fn row(mix: Mix, name: &'static str, base: BlockType, file_type: u32) -> Row {
    (mix, name, TensorType::Block(base), file_type)
}

const ROWS: [Row; 20] = [
    (Mix::F32, "f32", TensorType::Plain(DType::F32), 0),
    (Mix::F16, "f16", TensorType::Plain(DType::F16), 1),
    (Mix::BF16, "bf16", TensorType::Plain(DType::BF16), 32),
    row(Mix::Q4_0, "q4_0", Q4_0, 2),
    row(Mix::Q4_1, "q4_1", Q4_1, 3),
    row(Mix::Q5_0, "q5_0", Q5_0, 8),
    row(Mix::Q5_1, "q5_1", Q5_1, 9),
    row(Mix::Q8_0, "q8_0", Q8_0, 7),
    row(Mix::Q2_K, "q2_k", Q2_K, 10),
    row(Mix::Q3_K_S, "q3_k_s", Q3_K, 11),
    row(Mix::Q3_K_M, "q3_k_m", Q3_K, 12),
    row(Mix::Q3_K_L, "q3_k_l", Q3_K, 13),
    row(Mix::Q4_K_S, "q4_k_s", Q4_K, 14),
    row(Mix::Q4_K_M, "q4_k_m", Q4_K, 15),
    row(Mix::Q5_K_S, "q5_k_s", Q5_K, 16),
    row(Mix::Q5_K_M, "q5_k_m", Q5_K, 17),
    row(Mix::Q6_K, "q6_k", Q6_K, 18),
    row(Mix::IQ4_NL, "iq4_nl", IQ4_NL, 25),
    row(Mix::IQ4_XS, "iq4_xs", IQ4_XS, 30),
    row(Mix::MXFP4_MOE, "mxfp4_moe", MXFP4, 38),
];

/// Short names that llama.cpp's own tool takes for the middle of three.
const ALIASES: [(&str, Mix); 3] =
    [("q3_k", Mix::Q3_K_M), ("q4_k", Mix::Q4_K_M), ("q5_k", Mix::Q5_K_M)];

impl Mix {
    /// All mixes, in the order of the enum.
    pub fn all() -> impl Iterator<Item = Self> {
        ROWS.into_iter().map(|row| row.0)
    }

    fn row(self) -> Row {
        ROWS[self as usize]
    }

    /// The name that users see and type.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// The type of tensors that no rule singles out.
    pub fn base(self) -> TensorType {
        self.row().2
    }

    /// The value of GGUF's `general.file_type`.
    pub fn file_type(self) -> u32 {
        self.row().3
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that is no mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a mix of types: one of {}", list())]
pub struct ParseMixError;

fn list() -> String {
    Mix::all().map(Mix::name).collect::<Vec<_>>().join(", ")
}

impl FromStr for Mix {
    type Err = ParseMixError;

    /// Reads a name in any case; `q4_k` is `q4_k_m`.
    fn from_str(name: &str) -> Result<Self, ParseMixError> {
        let names = ROWS.iter().map(|row| (row.1, row.0)).chain(ALIASES);
        let mut same = names.filter(|(known, _)| known.eq_ignore_ascii_case(name));
        same.next().map(|(_, mix)| mix).ok_or(ParseMixError)
    }
}

/// What the rules ask of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The architecture's name in the file.
    pub architecture: String,
    /// Number of layers.
    pub layers: u64,
    /// Query heads of the first layer.
    pub heads: u64,
    /// Key heads of the first layer.
    pub kv_heads: u64,
    /// Experts of a layer; 0 without.
    pub experts: u64,
}

impl Facts {
    /// Reads them from a model's settings; what is missing counts as none.
    pub fn from_metadata(metadata: &Metadata) -> Self {
        let architecture = metadata.get_str("general.architecture").unwrap_or_default().to_owned();
        let number = |key: &str| {
            let key = format!("{architecture}.{key}");
            let value = match metadata.get(&key) {
                Some(Value::Array(array)) => array.get(0),
                other => other.cloned(),
            };
            value.and_then(|value| u64::try_from(value.as_integer()?).ok())
        };
        let heads = number("attention.head_count").unwrap_or(0);
        Self {
            layers: number("block_count").unwrap_or(0),
            heads,
            kv_heads: number("attention.head_count_kv").unwrap_or(heads),
            experts: number("expert_count").unwrap_or(0),
            architecture,
        }
    }

    /// Query heads that share a key head.
    fn group(&self) -> u64 {
        self.heads.checked_div(self.kv_heads).unwrap_or(0)
    }

    /// Whether llama.cpp takes it for a model of 70 billion weights, with its one special rule.
    fn is_70b(&self) -> bool {
        self.layers == 80
            && match self.architecture.as_str() {
                "llama" => self.heads != self.kv_heads,
                "qwen2" => true,
                _ => false,
            }
    }
}

/// What a tensor is for, as far as the rules care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Embedding,
    Head,
    /// Values, also fused with queries and keys.
    Values,
    Keys,
    AttentionOut,
    Down,
    Other,
}

/// Parts of names, and what they stand for.
const ROLES: [(&str, Role); 6] = [
    ("attn_qkv.weight", Role::Values),
    ("attn_kv_b.weight", Role::Values),
    ("attn_v.weight", Role::Values),
    ("attn_k.weight", Role::Keys),
    ("attn_output.weight", Role::AttentionOut),
    ("ffn_down", Role::Down),
];

impl Role {
    fn of(name: &str) -> Self {
        match name {
            "output.weight" => Self::Head,
            "token_embd.weight" | "per_layer_token_embd.weight" => Self::Embedding,
            _ => ROLES.iter().find(|row| name.contains(row.0)).map_or(Self::Other, |row| row.1),
        }
    }
}

/// Parts of the names of matrices that are small or delicate: routers, positions, convolutions.
const KEPT: [&str; 24] = [
    "_norm.weight",
    "ffn_gate_inp.weight",
    "ffn_gate_tid2eid.weight",
    "altup",
    "laurel",
    "per_layer_model_proj",
    "position_embd",
    "token_types.weight",
    "ssm_conv1d",
    "shortconv.conv.weight",
    "indexer.k_proj.weight",
    "indexer.q_proj.weight",
    "time_mix_first.weight",
    "time_mix_w0.weight",
    "time_mix_w1.weight",
    "time_mix_w2.weight",
    "time_mix_v",
    "time_mix_a",
    "time_mix_g",
    "time_mix_decay_w",
    "time_mix_lerp_fused.weight",
    "attn_rel_b.weight",
    ".rel_pos",
    ".patch_embd",
];

/// Whether a tensor is converted at all: a matrix, a weight, and none of those kept.
fn converted(tensor: &StoredTensor) -> bool {
    // Outer dimensions of one do not count.
    let dims = tensor.shape.dims();
    let rank = dims.len() - dims.iter().take_while(|&&dim| dim == 1).count();
    rank >= 2
        && tensor.name.ends_with("weight")
        && !KEPT.iter().any(|part| tensor.name.contains(part))
}

/// The type of every tensor, in the table's order. Tensors that are not converted keep theirs.
pub fn types(mix: Mix, facts: &Facts, tensors: &TensorTable) -> Vec<StoredType> {
    let all: Vec<&StoredTensor> = tensors.iter().collect();
    let mut order: Vec<usize> = (0..all.len()).collect();
    // Layers are counted in their own order, whatever the file's.
    order.sort_by_key(|&idx| (layer_of(&all[idx].name), &all[idx].name));
    let is = |role| all.iter().filter(|tensor| Role::of(&tensor.name) == role).count() as u64;
    let mut rules = Rules {
        mix,
        facts,
        tied: is(Role::Head) == 0,
        values: Turn { idx: 0, count: is(Role::Values) },
        downs: Turn { idx: 0, count: facts.layers },
    };
    let mut types: Vec<StoredType> = all.iter().map(|tensor| tensor.ty).collect();
    for idx in order {
        if converted(all[idx]) {
            types[idx] = rules.next(all[idx]).into();
        }
    }
    types
}

/// The number in `blk.N.`, or `None` outside layers.
fn layer_of(name: &str) -> Option<u64> {
    name.strip_prefix("blk.")?.split_once('.')?.0.parse().ok()
}

/// Which of several tensors of one role it is.
#[derive(Clone, Copy, Debug)]
struct Turn {
    idx: u64,
    count: u64,
}

impl Turn {
    /// Whether it is among the first `1 / part` of all.
    fn is_early(self, part: u64) -> bool {
        self.idx < self.count / part
    }

    /// Whether it gets more bits: the first and last eighth, and every third between.
    fn is_chosen(self) -> bool {
        let eighth = self.count / 8;
        self.idx < eighth || self.idx >= 7 * self.count / 8 || (self.idx - eighth) % 3 == 2
    }
}

/// The rules with their counters.
#[derive(Debug)]
struct Rules<'a> {
    mix: Mix,
    facts: &'a Facts,
    /// Whether the embedding is also the head.
    tied: bool,
    values: Turn,
    downs: Turn,
}

impl Rules<'_> {
    /// The type of the next tensor, in the order of layers.
    fn next(&mut self, tensor: &StoredTensor) -> TensorType {
        let TensorType::Block(base) = self.mix.base() else { return self.mix.base() };
        let role = Role::of(&tensor.name);
        let columns = tensor.shape.last();
        let ty = if role == Role::Head || (role == Role::Embedding && self.tied) {
            self.head(base, columns)
        } else if self.mix == Mix::MXFP4_MOE {
            let experts = tensor.shape.dims().len() > 2 && tensor.shape.dims()[0] > 1;
            if experts { MXFP4 } else { Q8_0 }
        } else {
            match role {
                Role::Values => {
                    let ty = self.value(base);
                    self.values.idx += 1;
                    ty
                }
                Role::Keys if self.facts.experts == 8 => Q8_0,
                Role::Down => {
                    let mut turn = self.downs;
                    if self.facts.experts > 1 {
                        turn.idx = layer_of(&tensor.name).unwrap_or(turn.idx);
                    }
                    self.downs.idx += 1;
                    self.down(base, turn)
                }
                Role::AttentionOut => self.attention_out(base),
                Role::Embedding | Role::Head | Role::Keys | Role::Other => base,
            }
        };
        fall_back(ty, columns)
    }

    fn head(&self, base: BlockType, columns: u64) -> BlockType {
        let whole = columns.is_multiple_of(base.elements());
        if self.mix == Mix::MXFP4_MOE || self.is_falcon() || !whole || base == Q8_0 {
            Q8_0
        } else {
            Q6_K
        }
    }

    fn value(&self, base: BlockType) -> BlockType {
        let (turn, wide) = (self.values, self.facts.group() >= 4);
        let ty = match self.mix {
            Mix::Q2_K => [Q3_K, Q4_K][usize::from(wide)],
            Mix::Q3_K_M => [Q4_K, Q5_K][usize::from(turn.idx < 2)],
            Mix::Q3_K_L => Q5_K,
            Mix::IQ4_NL | Mix::IQ4_XS if wide => Q5_K,
            Mix::Q4_K_M | Mix::Q5_K_M if turn.is_chosen() => Q6_K,
            Mix::Q4_K_S if turn.idx < 4 => Q5_K,
            _ => base,
        };
        match ty {
            _ if self.facts.experts == 8 => Q8_0,
            Q3_K | Q4_K if self.facts.is_70b() => Q5_K,
            ty => ty,
        }
    }

    fn down(&self, base: BlockType, turn: Turn) -> BlockType {
        match (self.mix, self.is_falcon()) {
            (Mix::Q2_K, _) => Q3_K,
            (Mix::Q3_K_M, _) if turn.is_early(16) => Q5_K,
            (Mix::Q3_K_M, falcon) => [Q3_K, Q4_K][usize::from(!falcon || turn.is_chosen())],
            (Mix::Q3_K_L, falcon) => [Q5_K, Q4_K][usize::from(falcon)],
            (Mix::Q4_K_M, true) if turn.is_early(16) => Q6_K,
            (Mix::Q4_K_M, true) if turn.is_chosen() => Q5_K,
            (Mix::Q4_K_M, true) => Q4_K,
            (Mix::Q4_K_M | Mix::Q5_K_M, _) if turn.is_chosen() => Q6_K,
            (Mix::IQ4_NL | Mix::IQ4_XS, _) | (Mix::Q4_K_S, false) if turn.is_early(8) => Q5_K,
            _ => base,
        }
    }

    fn attention_out(&self, base: BlockType) -> BlockType {
        match self.mix {
            Mix::Q3_K_L if self.is_falcon() => Q4_K,
            _ if self.is_falcon() => base,
            Mix::Q2_K
            | Mix::Q3_K_S
            | Mix::Q3_K_M
            | Mix::Q4_K_S
            | Mix::Q4_K_M
            | Mix::IQ4_NL
            | Mix::IQ4_XS
                if self.facts.experts == 8 =>
            {
                Q5_K
            }
            _ if self.facts.experts == 8 => base,
            Mix::Q2_K => Q3_K,
            Mix::Q3_K_M => Q4_K,
            Mix::Q3_K_L => Q5_K,
            _ => base,
        }
    }

    fn is_falcon(&self) -> bool {
        self.facts.architecture == "falcon"
    }
}

/// The type for rows that may be no whole number of blocks: smaller blocks, or halves.
fn fall_back(ty: BlockType, columns: u64) -> TensorType {
    let fits = |ty: BlockType| columns.is_multiple_of(ty.elements());
    let smaller = match ty {
        _ if fits(ty) => ty,
        IQ4_XS => IQ4_NL,
        Q2_K | Q3_K => Q4_0,
        Q4_K => Q5_0,
        Q5_K => Q5_1,
        Q6_K => Q8_0,
        Q4_0 | Q4_1 | Q5_0 | Q5_1 | Q8_0 | IQ4_NL | MXFP4 => ty,
    };
    if fits(smaller) { smaller.into() } else { DType::F16.into() }
}

#[cfg(test)]
mod tests;
