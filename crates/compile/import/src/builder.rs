//! From settings and tensors to a graph: one builder for every family. What differs between
//! families comes in as choices; there is no forward pass of any one model here.

use crate::{
    Model,
    error::ImportError,
    family::{EmbedScale, Placement, Positions, QkNorm, Windows},
    names::Role,
    settings::{RopeFactors, Settings, limits},
};
use graph::{Graph, Input, Type, ValueId};
use plan::op::{Attention, Binary, Experts, Gating, Mask, Norm, Op, Rope, RopePairs, Unary};
use plan::{Dim, KvCache, KvType, Weight, WeightId};
use std::num::NonZeroU32;
use tensor::{DType, Shape, TensorType};

/// What the graph gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// `logits: [rows, vocabulary]` of the rows that the input `rows` chooses.
    Logits,
    /// `hidden: [tokens, width]`, normalised as for the head.
    Hidden,
}

/// Bounds for which a graph is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Most tokens of one run.
    pub tokens: u64,
    /// Most rows of logits of one run.
    pub rows: u64,
    /// Positions that the caches hold.
    pub context: u64,
    /// How keys and values are stored.
    pub kv: KvType,
    /// What is wanted.
    pub output: Output,
}

/// A graph with the constants that no tensor of the file holds.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The graph: inputs `tokens` and, for logits, `rows`.
    pub graph: Graph,
    /// Computed single-precision vectors by the tensor name that the graph gives them.
    pub constants: Vec<(String, Vec<f32>)>,
}

/// Builds the graph of a model.
///
/// # Errors
/// If a tensor is missing, or its shape or type contradicts the settings.
pub fn build(model: &Model, options: &Options) -> Result<Imported, ImportError> {
    let mut graph = Graph::default();
    let tokens = graph.symbol("tokens", options.tokens);
    let builder = Builder { model, options, graph, constants: Vec::new(), layer: None };
    builder.build(tokens)
}

struct Builder<'a> {
    model: &'a Model,
    options: &'a Options,
    graph: Graph,
    constants: Vec<(String, Vec<f32>)>,
    layer: Option<u32>,
}

impl Builder<'_> {
    fn settings(&self) -> &Settings {
        &self.model.settings
    }

    fn build(mut self, tokens: plan::SymbolId) -> Result<Imported, ImportError> {
        let (family, settings) = (self.model.family, &self.model.settings);
        let ids = Type { dtype: DType::U32, dims: vec![Dim::Symbol(tokens)] };
        let ids = self.graph.input("tokens", ids);
        let embed = self.matrix(Role::Embed, settings.vocabulary, settings.width)?;
        let scale = match family.embed_scale {
            EmbedScale::Settings => settings.embed_scale.unwrap_or(1.0),
            EmbedScale::SqrtWidth => (settings.width as f32).sqrt(),
        };
        let mut x = self.push(Op::Embed { scale }, [ids.into(), embed.into()])?;
        if family.positions == Positions::Learned {
            let table = self.matrix(Role::Positions, settings.context, settings.width)?;
            let row = self.push(Op::EmbedPositions, [x.into(), table.into()])?;
            x = self.push(Op::Binary(Binary::Add), [x.into(), row.into()])?;
        }
        if let Some(types) = self.model.tensors.find(Role::TokenTypes, 0, "weight") {
            let width = settings.width;
            let rows = types.shape.rows().unwrap_or(0);
            let name = types.name.to_string();
            let first = self.part(&name, &[rows, width], 0, 1)?;
            x = self.push(Op::Binary(Binary::Add), [x.into(), first.into()])?;
        }
        if self.model.tensors.find(Role::EmbedNorm, 0, "weight").is_some() {
            x = self.norm(Role::EmbedNorm, x)?;
        }
        for layer in 0..settings.layers {
            self.layer = Some(layer);
            x = self.layer(x, layer)?;
        }
        self.layer = None;
        self.finish(x, embed)
    }

    fn finish(mut self, mut x: ValueId, embed: WeightId) -> Result<Imported, ImportError> {
        let settings = &self.model.settings;
        let rows = (self.options.output == Output::Logits).then(|| {
            let rows = self.graph.symbol("rows", self.options.rows);
            let index = Type { dtype: DType::U32, dims: vec![Dim::Symbol(rows)] };
            self.graph.input("rows", index)
        });
        if let Some(rows) = rows {
            x = self.push(Op::SelectRows, [x.into(), rows.into()])?;
        }
        if self.model.family.placement != Placement::Post {
            x = self.norm(Role::OutputNorm, x)?;
        }
        if rows.is_none() {
            self.graph.output("hidden", x);
        } else {
            let tied = matches!(self.model.family.name, "gemma" | "gemma2")
                || self.model.tensors.find(Role::Head, 0, "weight").is_none();
            if tied && self.model.family.name == "olmo2" {
                self.model.tensors.require(Role::Head, 0)?;
            }
            let (vocabulary, width) = (settings.vocabulary, settings.width);
            let head = if tied { embed } else { self.matrix(Role::Head, vocabulary, width)? };
            let bias = self.vector(Role::Head, "bias", vocabulary)?;
            let bias = if tied { None } else { bias };
            x = self.push(Op::Linear, [x.into(), head.into(), bias.into()])?;
            if let Some(factor) = settings.logit_scale {
                x = self.push(Op::Scale { factor }, [x.into()])?;
            }
            if let Some(cap) = settings.logit_cap {
                x = self.push(Op::SoftCap { cap }, [x.into()])?;
            }
            self.graph.output("logits", x);
        }
        Ok(Imported { graph: self.graph, constants: self.constants })
    }

    fn layer(&mut self, x: ValueId, layer: u32) -> Result<ValueId, ImportError> {
        let placement = self.model.family.placement;
        let pre = matches!(placement, Placement::Pre | Placement::Sandwich);
        let branch = matches!(placement, Placement::Branch | Placement::Sandwich);
        let input = if pre { self.norm(Role::AttentionNorm, x)? } else { x };
        let mut out = self.attention(input, layer)?;
        if branch {
            out = self.norm(Role::AttentionPostNorm, out)?;
        }
        let mut x = self.residual(x, out)?;
        if placement == Placement::Post {
            x = self.norm(Role::AttentionPostNorm, x)?;
        }
        let input = if pre { self.norm(Role::FfnNorm, x)? } else { x };
        let mut out = self.feed_forward(input, layer)?;
        if branch {
            out = self.norm(Role::FfnPostNorm, out)?;
        }
        x = self.residual(x, out)?;
        if placement == Placement::Post {
            x = self.norm(Role::FfnPostNorm, x)?;
        }
        Ok(x)
    }

    fn residual(&mut self, x: ValueId, mut branch: ValueId) -> Result<ValueId, ImportError> {
        if let Some(factor) = self.settings().residual_scale {
            branch = self.push(Op::Scale { factor }, [branch.into()])?;
        }
        self.push(Op::Binary(Binary::Add), [x.into(), branch.into()])
    }

    fn attention(&mut self, x: ValueId, layer: u32) -> Result<ValueId, ImportError> {
        let (family, settings) = (self.model.family, &self.model.settings);
        let &Settings { heads, kv_heads, head_dim, v_head_dim, .. } = settings;
        let q_rows = u64::from(heads) * u64::from(head_dim);
        let k_rows = u64::from(kv_heads) * u64::from(head_dim);
        let v_rows = u64::from(kv_heads) * u64::from(v_head_dim);
        let parts = [(Role::Q, q_rows), (Role::K, k_rows), (Role::V, v_rows)];
        let [mut q, mut k, v] = self.projections(x, Role::Qkv, parts)?;
        if family.qk_norm != QkNorm::None {
            let whole = family.qk_norm == QkNorm::Row;
            let (q_group, k_group) =
                if whole { (q_rows, k_rows) } else { (u64::from(head_dim), u64::from(head_dim)) };
            q = self.norm_of(Role::QNorm, q, q_group)?;
            k = self.norm_of(Role::KNorm, k, k_group)?;
        }
        let window = settings.window.filter(|_| self.windowed(layer)).and_then(NonZeroU32::new);
        let skipped = family.rope_skip.is_some_and(|n| (layer + 1).is_multiple_of(n));
        if settings.rope_used && !skipped {
            let (rope, factors) = self.rope(window.is_some())?;
            q = self.push(Op::Rope(rope), [q.into(), factors.into()])?;
            k = self.push(Op::Rope(rope), [k.into(), factors.into()])?;
        }
        let wide = family.wide_scale_layers == Some(settings.layers);
        let divisor = if wide { settings.width as f32 / heads as f32 } else { head_dim as f32 };
        let attention = Attention {
            heads,
            kv_heads,
            head_dim,
            v_head_dim,
            scale: settings.attention_scale.unwrap_or(1.0 / divisor.sqrt()),
            soft_cap: settings.attention_cap,
            mask: if family.encoder { Mask::Full } else { Mask::Causal { window } },
        };
        let cache = (!family.encoder).then(|| {
            let some = |n: u32| NonZeroU32::new(n).expect("settings are never zero");
            self.graph.state(KvCache {
                kv_heads: some(kv_heads),
                head_dim: some(head_dim),
                v_head_dim: some(v_head_dim),
                ty: self.options.kv,
                positions: self.options.context,
            })
        });
        let inputs = [q.into(), k.into(), v.into(), cache.into()];
        let out = self.push(Op::Attention(attention), inputs)?;
        let out_rows = u64::from(heads) * u64::from(v_head_dim);
        self.linear(Role::AttentionOut, out, out_rows, self.settings().width)
    }

    /// Whether a layer sees only its window.
    fn windowed(&self, layer: u32) -> bool {
        let (family, settings) = (self.model.family, self.settings());
        let windows = if settings.folder { family.folder_windows } else { family.windows };
        match (&settings.windowed, windows) {
            (_, Windows::Never) => false,
            (Some(list), _) => list.get(layer as usize).copied().unwrap_or(false),
            (None, Windows::All) => true,
            (None, Windows::Period(n)) => layer % n < n - 1,
        }
    }

    fn rope(&mut self, windowed: bool) -> Result<(Rope, Option<WeightId>), ImportError> {
        let settings = &self.model.settings;
        let rope = &settings.rope;
        let scaled = !windowed || rope.scale_windowed;
        let pairs = match self.model.family.positions {
            Positions::Rope(pairs) if !settings.folder => pairs,
            Positions::Rope(_) | Positions::Learned => RopePairs::Half,
        };
        let long = |original: u64| self.options.context > original;
        let factors = match &rope.factors {
            _ if !scaled => None,
            RopeFactors::Stored => self.factors(Role::RopeFactors)?,
            RopeFactors::StoredByContext(original) => {
                let long = long(*original);
                self.factors(if long { Role::RopeFactorsLong } else { Role::RopeFactorsShort })?
            }
            RopeFactors::Given(list) => self.constant("rope.factors", list)?,
            RopeFactors::GivenByContext { short, long: list, original } => {
                let list = if long(*original) { list } else { short };
                self.constant("rope.factors", list)?
            }
        };
        let op = Rope {
            pairs,
            head_dim: settings.head_dim,
            dims: rope.dims,
            base: if windowed { rope.base_windowed } else { rope.base },
            scale: if scaled { rope.scale } else { 1.0 },
            yarn: rope.yarn.filter(|_| scaled),
            magnitude: if scaled { rope.magnitude } else { 1.0 },
        };
        Ok((op, factors))
    }

    fn factors(&mut self, role: Role) -> Result<Option<WeightId>, ImportError> {
        self.vector(role, "weight", u64::from(self.settings().rope.dims / 2))
    }

    fn constant(&mut self, name: &str, list: &[f32]) -> Result<Option<WeightId>, ImportError> {
        if list.is_empty() {
            return Ok(None);
        }
        if !self.constants.iter().any(|(known, _)| known == name) {
            self.constants.push((name.into(), list.to_vec()));
        }
        let shape = Self::shape(name, &[list.len() as u64])?;
        let weight = Weight { tensor: name.into(), ty: TensorType::F32, shape, first: 0 };
        Ok(Some(self.graph.weight(weight)))
    }

    fn feed_forward(&mut self, x: ValueId, layer: u32) -> Result<ValueId, ImportError> {
        let (family, settings) = (self.model.family, &self.model.settings);
        let activation = settings.activation.unwrap_or(family.activation);
        let (width, hidden) = (settings.width, settings.hidden);
        if let Some(experts) = settings.experts
            && self.model.tensors.find(Role::Router, layer, "weight").is_some()
        {
            let mut out = self.experts(x, experts, activation)?;
            if let Some(shared) = self.model.tensors.find(Role::UpShared, layer, "weight") {
                let hidden = shared.shape.rows().unwrap_or(0);
                let gate = self.linear(Role::GateShared, x, width, hidden)?;
                let up = self.linear(Role::UpShared, x, width, hidden)?;
                let gated = self.push(Op::Gated { activation }, [gate.into(), up.into()])?;
                let down = self.linear(Role::DownShared, gated, hidden, width)?;
                out = self.push(Op::Binary(Binary::Add), [out.into(), down.into()])?;
            }
            return Ok(out);
        }
        if !family.gated {
            let up = self.linear(Role::Up, x, width, hidden)?;
            let up = self.push(Op::Unary(activation), [up.into()])?;
            return self.linear(Role::Down, up, hidden, width);
        }
        // A fused tensor is called `gate_up_proj` in folders; GGUF calls it `ffn_up`.
        let fused = match self.model.tensors.find(Role::Gate, layer, "weight") {
            Some(_) => Role::GateUp,
            None if settings.folder => Role::GateUp,
            None => Role::Up,
        };
        let parts = [(Role::Gate, hidden), (Role::Up, hidden)];
        let [gate, up] = self.projections(x, fused, parts)?;
        let gated = self.push(Op::Gated { activation }, [gate.into(), up.into()])?;
        self.linear(Role::Down, gated, hidden, width)
    }

    fn experts(
        &mut self,
        x: ValueId,
        experts: crate::settings::ExpertSettings,
        activation: Unary,
    ) -> Result<ValueId, ImportError> {
        let width = self.settings().width;
        let (count, hidden) = (u64::from(experts.count), experts.hidden);
        let router = self.linear(Role::Router, x, width, count)?;
        let gate = self.whole(Role::GateExperts, &[count, hidden, width])?;
        let up = self.whole(Role::UpExperts, &[count, hidden, width])?;
        let down = self.whole(Role::DownExperts, &[count, width, hidden])?;
        let op = Experts {
            count: experts.count,
            used: experts.used,
            hidden: crate::settings::size_u32("expert width", hidden, limits::WIDTH)?,
            activation,
            gating: Gating::SoftmaxNormalised,
            scale: 1.0,
        };
        let inputs = [x.into(), router.into(), gate.into(), up.into(), down.into()];
        self.push(Op::Experts(op), inputs)
    }

    /// Products of one input with several matrices, which one tensor may hold under each other.
    fn projections<const N: usize>(
        &mut self,
        x: ValueId,
        fused: Role,
        parts: [(Role, u64); N],
    ) -> Result<[ValueId; N], ImportError> {
        let layer = self.layer.unwrap_or(0);
        let width = self.settings().width;
        let fused = match self.model.tensors.find(parts[0].0, layer, "weight") {
            Some(_) => None,
            None => self.model.tensors.find(fused, layer, "weight").map(|stored| &stored.name),
        };
        let fused = fused.map(ToString::to_string);
        let total = parts.iter().map(|(_, rows)| rows).sum();
        let mut first = 0;
        let mut out = [x; N];
        for (out, (role, rows)) in out.iter_mut().zip(parts) {
            *out = if let Some(name) = &fused {
                let weight = self.part(name, &[total, width], first, rows)?;
                let bias = name.replace(".weight", ".bias");
                let bias = if self.model.tensors.table().get(&bias).is_some() {
                    Some(self.part(&bias, &[total], first, rows)?)
                } else {
                    self.vector(role, "bias", rows)?
                };
                self.push(Op::Linear, [x.into(), weight.into(), bias.into()])?
            } else {
                self.linear(role, x, width, rows)?
            };
            first += rows;
        }
        Ok(out)
    }

    fn linear(
        &mut self,
        role: Role,
        x: ValueId,
        width: u64,
        rows: u64,
    ) -> Result<ValueId, ImportError> {
        let weight = self.matrix(role, rows, width)?;
        let bias = self.vector(role, "bias", rows)?;
        self.push(Op::Linear, [x.into(), weight.into(), bias.into()])
    }

    fn norm(&mut self, role: Role, x: ValueId) -> Result<ValueId, ImportError> {
        self.norm_of(role, x, self.settings().width)
    }

    fn norm_of(&mut self, role: Role, x: ValueId, group: u64) -> Result<ValueId, ImportError> {
        let weight = self.whole(role, &[group])?;
        let bias = self.vector(role, "bias", group)?;
        let group = u32::try_from(group).ok().and_then(NonZeroU32::new);
        let norm = Norm {
            kind: self.model.family.norm,
            eps: self.settings().eps,
            offset: self.settings().norm_offset,
            group: group.expect("widths are checked sizes"),
        };
        self.push(Op::Norm(norm), [x.into(), weight.into(), bias.into()])
    }

    fn matrix(&mut self, role: Role, rows: u64, width: u64) -> Result<WeightId, ImportError> {
        self.whole(role, &[rows, width])
    }

    fn vector(
        &mut self,
        role: Role,
        suffix: &str,
        len: u64,
    ) -> Result<Option<WeightId>, ImportError> {
        let layer = self.layer.unwrap_or(0);
        let Some(stored) = self.model.tensors.find(role, layer, suffix) else { return Ok(None) };
        let name = stored.name.to_string();
        self.part(&name, &[len], 0, len).map(Some)
    }

    fn whole(&mut self, role: Role, dims: &[u64]) -> Result<WeightId, ImportError> {
        let name = self.model.tensors.require(role, self.layer.unwrap_or(0))?.name.to_string();
        self.part(&name, dims, 0, dims[0])
    }

    /// Rows `first .. first + rows` of a tensor whose whole shape must be `dims`.
    fn part(
        &mut self,
        name: &str,
        dims: &[u64],
        first: u64,
        rows: u64,
    ) -> Result<WeightId, ImportError> {
        let missing = || ImportError::Missing { name: name.into() };
        let stored = self.model.tensors.table().get(name).ok_or_else(missing)?;
        if stored.shape.dims() != dims {
            let (have, want) = (stored.shape.to_string(), format!("{dims:?}"));
            return Err(ImportError::Shape { name: name.into(), have, want });
        }
        let ty = stored
            .tensor_type()
            .ok()
            .filter(|ty| *ty != TensorType::Plain(DType::Bool))
            .ok_or_else(|| ImportError::Type { name: name.into(), ty: stored.ty.name().into() })?;
        let mut part = dims.to_vec();
        part[0] = rows;
        let shape = Self::shape(name, &part)?;
        let width: u64 = dims.iter().skip(1).product();
        let whole_blocks = ty.row_bytes(shape.last()).is_some();
        if !whole_blocks {
            let want = format!("rows of whole {ty} blocks");
            return Err(ImportError::Shape {
                name: name.into(),
                have: stored.shape.to_string(),
                want,
            });
        }
        Ok(self.graph.weight(Weight { tensor: name.into(), ty, shape, first: first * width }))
    }

    fn shape(name: &str, dims: &[u64]) -> Result<Shape, ImportError> {
        let too_many = || ImportError::Shape {
            name: name.into(),
            have: format!("{dims:?}"),
            want: "at most 8 dimensions".into(),
        };
        Shape::new(dims).ok_or_else(too_many)
    }

    fn push<const N: usize>(&mut self, op: Op, inputs: [Input; N]) -> Result<ValueId, ImportError> {
        let layer = self.layer;
        self.graph.push(op, inputs, layer).map_err(|source| ImportError::Op { layer, source })
    }
}
