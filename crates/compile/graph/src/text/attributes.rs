//! Attributes of operators as `key=value`, both ways.

use super::array::{self, Codec, Text};
use alloc::{
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};
use core::str::FromStr;
use plan::Op;
use plan::op::{
    Attention, Binary, Experts, Gating, Mask, Norm, NormKind, Rope, RopePairs, Unary, Yarn,
};

const UNARY: [(Unary, &str); 7] = [
    (Unary::Silu, "silu"),
    (Unary::Gelu, "gelu"),
    (Unary::GeluTanh, "gelu_tanh"),
    (Unary::Relu, "relu"),
    (Unary::ReluSquared, "relu_squared"),
    (Unary::Tanh, "tanh"),
    (Unary::Sigmoid, "sigmoid"),
];
const BINARY: [(Binary, &str); 2] = [(Binary::Add, "add"), (Binary::Mul, "mul")];
const NORM: [(NormKind, &str); 2] = [(NormKind::Rms, "rms"), (NormKind::Layer, "layer")];
const PAIRS: [(RopePairs, &str); 2] =
    [(RopePairs::Interleaved, "interleaved"), (RopePairs::Half, "half")];
const GATING: [(Gating, &str); 2] =
    [(Gating::Softmax, "softmax"), (Gating::SoftmaxNormalised, "softmax_normalised")];

fn word<T: Copy + PartialEq>(table: &[(T, &'static str)], value: T) -> String {
    let found = table.iter().find(|(known, _)| *known == value);
    found.expect("the table lists every variant").1.to_string()
}

/// The attributes of an operator, in a fixed order; defaults that say nothing are left out.
pub(super) fn of(op: &Op) -> Vec<(&'static str, String)> {
    match *op {
        Op::Embed { scale } => vec![("scale", scale.to_string())],
        Op::EmbedPositions | Op::Linear | Op::SelectRows => vec![],
        Op::Norm(Norm { kind, eps, offset, group }) => vec![
            ("kind", word(&NORM, kind)),
            ("eps", eps.to_string()),
            ("offset", offset.to_string()),
            ("group", group.to_string()),
        ],
        Op::Rope(rope) => {
            let mut list = vec![
                ("pairs", word(&PAIRS, rope.pairs)),
                ("head_dim", rope.head_dim.to_string()),
                ("dims", rope.dims.to_string()),
                ("base", rope.base.to_string()),
                ("scale", rope.scale.to_string()),
                ("magnitude", rope.magnitude.to_string()),
            ];
            if let Some(Yarn { mix, beta_fast, beta_slow, original_positions }) = rope.yarn {
                list.push(("yarn", format!("{mix}/{beta_fast}/{beta_slow}/{original_positions}")));
            }
            list
        }
        Op::Attention(attention) => {
            let mut list = vec![
                ("heads", attention.heads.to_string()),
                ("kv_heads", attention.kv_heads.to_string()),
                ("head_dim", attention.head_dim.to_string()),
                ("v_head_dim", attention.v_head_dim.to_string()),
                ("scale", attention.scale.to_string()),
            ];
            if let Some(cap) = attention.soft_cap {
                list.push(("soft_cap", cap.to_string()));
            }
            match attention.mask {
                Mask::Causal { window: None } => {}
                Mask::Causal { window: Some(window) } => list.push(("window", window.to_string())),
                Mask::Full => list.push(("mask", "full".into())),
            }
            list
        }
        Op::Unary(unary) => vec![("fn", word(&UNARY, unary))],
        Op::Binary(binary) => vec![("fn", word(&BINARY, binary))],
        Op::Gated { activation } => vec![("fn", word(&UNARY, activation))],
        Op::Experts(experts) => vec![
            ("count", experts.count.to_string()),
            ("used", experts.used.to_string()),
            ("hidden", experts.hidden.to_string()),
            ("fn", word(&UNARY, experts.activation)),
            ("gating", word(&GATING, experts.gating)),
            ("scale", experts.scale.to_string()),
        ],
        Op::Scale { factor } => vec![("factor", factor.to_string())],
        Op::SoftCap { cap } => vec![("cap", cap.to_string())],
        Op::Array(ref op) => array::print(op),
    }
}

/// Attributes of one line, taken one by one; what is left over is an error.
pub(super) struct Attributes<'a> {
    pub(super) list: Vec<(&'a str, &'a str)>,
}

impl Attributes<'_> {
    pub(super) fn optional<T: FromStr>(&mut self, key: &str) -> Result<Option<T>, String> {
        let Some(place) = self.list.iter().position(|(known, _)| *known == key) else {
            return Ok(None);
        };
        let (_, value) = self.list.remove(place);
        value.parse().map(Some).map_err(|_| format!("{key}={value} cannot be read"))
    }

    pub(super) fn take<T: FromStr>(&mut self, key: &str) -> Result<T, String> {
        self.optional(key)?.ok_or_else(|| format!("{key}= is missing"))
    }

    fn word<T: Copy>(&mut self, key: &str, table: &[(T, &str)]) -> Result<T, String> {
        let word: String = self.take(key)?;
        let found = table.iter().find(|(_, name)| *name == word);
        found.map(|(value, _)| *value).ok_or_else(|| format!("{key}={word} is not known"))
    }

    fn yarn(&mut self) -> Result<Option<Yarn>, String> {
        let Some(text) = self.optional::<String>("yarn")? else { return Ok(None) };
        let mut parts = text.split('/');
        let mut number = || -> Option<f32> { parts.next()?.parse().ok() };
        let read = (|| Some((number()?, number()?, number()?)))();
        let positions = parts.next().and_then(|part| part.parse().ok());
        match (read, positions) {
            (Some((mix, beta_fast, beta_slow)), Some(original_positions)) => {
                Ok(Some(Yarn { mix, beta_fast, beta_slow, original_positions }))
            }
            _ => Err(format!("yarn={text} cannot be read")),
        }
    }

    fn mask(&mut self) -> Result<Mask, String> {
        match self.optional::<String>("mask")?.as_deref() {
            Some("full") => Ok(Mask::Full),
            Some(other) => Err(format!("mask={other} is not known")),
            None => Ok(Mask::Causal { window: self.optional("window")? }),
        }
    }
}

impl Codec for Attributes<'_> {
    fn field<T: Text>(&mut self, key: &'static str, value: &mut T) -> Result<(), String> {
        let text: String = self.take(key)?;
        *value = T::read(&text).ok_or_else(|| format!("{key}={text} cannot be read"))?;
        Ok(())
    }
}

/// Reads an operator from its name and attributes.
pub(super) fn op(name: &str, attributes: &mut Attributes<'_>) -> Result<Op, String> {
    let a = attributes;
    Ok(match name {
        "embed" => Op::Embed { scale: a.take("scale")? },
        "embed_positions" => Op::EmbedPositions,
        "norm" => Op::Norm(Norm {
            kind: a.word("kind", &NORM)?,
            eps: a.take("eps")?,
            offset: a.take("offset")?,
            group: a.take("group")?,
        }),
        "linear" => Op::Linear,
        "rope" => Op::Rope(Rope {
            pairs: a.word("pairs", &PAIRS)?,
            head_dim: a.take("head_dim")?,
            dims: a.take("dims")?,
            base: a.take("base")?,
            scale: a.take("scale")?,
            yarn: a.yarn()?,
            magnitude: a.take("magnitude")?,
        }),
        "attention" => Op::Attention(Attention {
            heads: a.take("heads")?,
            kv_heads: a.take("kv_heads")?,
            head_dim: a.take("head_dim")?,
            v_head_dim: a.take("v_head_dim")?,
            scale: a.take("scale")?,
            soft_cap: a.optional("soft_cap")?,
            mask: a.mask()?,
        }),
        "unary" => Op::Unary(a.word("fn", &UNARY)?),
        "binary" => Op::Binary(a.word("fn", &BINARY)?),
        "gated" => Op::Gated { activation: a.word("fn", &UNARY)? },
        "experts" => Op::Experts(Experts {
            count: a.take("count")?,
            used: a.take("used")?,
            hidden: a.take("hidden")?,
            activation: a.word("fn", &UNARY)?,
            gating: a.word("gating", &GATING)?,
            scale: a.take("scale")?,
        }),
        "scale" => Op::Scale { factor: a.take("factor")? },
        "soft_cap" => Op::SoftCap { cap: a.take("cap")? },
        "select_rows" => Op::SelectRows,
        _ => {
            let blank = array::blank(name);
            let mut op = blank.ok_or_else(|| format!("there is no operator `{name}`"))?;
            array::fields(&mut op, a)?;
            Op::Array(op)
        }
    })
}
