//! Attention: keys and values go into the cache, then each query is summed over what it sees.
//!
//! Few tokens over a long cache are divided by segments of positions, many tokens by tiles of
//! tokens; both add the same segments in the same order, so the results are the same bits.

mod cache;

use super::{Frame, Maker, float_bytes, floats};
use crate::layout::{View, borrow, numbers_mut};
use crate::pool::{Parts, Split, Team, Tiles};
use crate::weights::Vector;
use cache::{Attend, Cache, Numbers, Quants};
use core::ops::Range;
use kernels::Isa;
use kernels::attention::{PAGE, Partial, Queries, SEGMENT, Scores, Sight};
use plan::op::{self, Mask};
use plan::{KvCache, KvType, Operand, Plan, Step};
use tensor::{Bytes, F16};

/// Tokens up to which work is divided by segments.
const FEW: usize = 4;

/// Queries of a tile, roughly.
const TILE: usize = 48;

/// Where keys and values of a layer are.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// In the cache, so many bytes from this one on.
    Cache { start: usize, len: usize, ty: KvType },
    /// In scratch, as numbers: nothing is kept.
    Scratch,
}

/// [`plan::Op::Attention`].
#[derive(Debug)]
pub(crate) struct Attention {
    q: View,
    k: View,
    v: View,
    out: View,
    sizes: Sizes,
    place: Place,
    scores: Scores,
    mask: Mask,
    sinks: Option<Vector>,
}

/// Extents that do not change.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    kv_heads: usize,
    group: usize,
    head_dim: usize,
    v_head_dim: usize,
    /// Positions that there is room for, whole pages.
    positions: usize,
    rows_max: usize,
}

impl Sizes {
    fn of(step: &Step, plan: &Plan, op: &op::Attention) -> Self {
        let index = |n: u64| usize::try_from(n).unwrap_or(usize::MAX / PAGE / 1024);
        let rows_max = index(step.output.dims[0].max(&plan.symbols));
        let positions = match step.input(3) {
            Operand::State(id) => index(plan.states[id.0 as usize].positions),
            Operand::Slot(_) | Operand::Weight(_) | Operand::Absent => rows_max,
        };
        Self {
            kv_heads: op.kv_heads as usize,
            group: (op.heads / op.kv_heads) as usize,
            head_dim: op.head_dim as usize,
            v_head_dim: op.v_head_dim as usize,
            positions: positions.next_multiple_of(PAGE),
            rows_max,
        }
    }

    /// Tokens of a tile.
    fn tile(&self) -> usize {
        (TILE / self.group).max(1)
    }

    /// Numbers that `queries` queries of one worker need, however keys and values are stored.
    fn worker_len(&self, queries: usize) -> usize {
        queries * self.head_dim
            + Numbers::<f32>::scratch_len(self, queries).max(Quants::scratch_len(self, queries))
            + Partial::len(queries, self.v_head_dim)
    }

    /// Bytes of scratch of each worker.
    fn worker_bytes(&self) -> usize {
        let queries = self.tile().max(FEW.min(self.rows_max)) * self.group;
        float_bytes(self.worker_len(queries))
    }

    /// Bytes for the sums of all segments, when work is divided by them.
    fn segments_bytes(&self) -> usize {
        let queries = FEW.min(self.rows_max) * self.group;
        let segments = self.positions.div_ceil(SEGMENT);
        float_bytes(self.kv_heads * segments * Partial::len(queries, self.v_head_dim))
    }
}

/// Scratch: keys and values where there is no cache, sums of segments, and each worker's own.
pub(super) fn scratch(step: &Step, plan: &Plan, op: op::Attention, threads: usize) -> Bytes {
    let sizes = Sizes::of(step, plan, &op);
    let own = match step.input(3) {
        Operand::State(_) => 0,
        Operand::Slot(_) | Operand::Weight(_) | Operand::Absent => {
            float_bytes(sizes.kv_heads * Numbers::<f32>::head_len(&sizes))
        }
    };
    Bytes((own + sizes.segments_bytes() + threads * sizes.worker_bytes()) as u64)
}

impl Attention {
    pub(super) fn new(maker: &Maker<'_>, step: &Step, op: op::Attention) -> Self {
        let place = match step.input(3) {
            Operand::State(id) => {
                let states = &maker.plan.states;
                let (before, own) = (&states[..id.0 as usize], &states[id.0 as usize]);
                let [start, len] = [before.iter().map(KvCache::bytes).sum(), own.bytes()]
                    .map(|bytes| bytes.to_usize().expect("caches fit in memory"));
                Place::Cache { start, len, ty: own.ty }
            }
            Operand::Slot(_) | Operand::Weight(_) | Operand::Absent => Place::Scratch,
        };
        let [q, k, v] = [0, 1, 2].map(|i| maker.input(step, i));
        Self {
            q,
            k,
            v,
            out: maker.output(step),
            sizes: Sizes::of(step, maker.plan, &op),
            place,
            scores: Scores { scale: op.scale, soft_cap: op.soft_cap },
            mask: op.mask,
            sinks: step.weight(4).map(|id| maker.placement.vector(id)),
        }
    }

    pub(super) fn run(&self, frame: &mut Frame<'_, '_>) {
        match self.place {
            Place::Cache { ty: KvType::F32, .. } | Place::Scratch => {
                self.over::<Numbers<f32>>(frame);
            }
            Place::Cache { ty: KvType::F16, .. } => self.over::<Numbers<F16>>(frame),
            Place::Cache { ty: KvType::Q8_0, .. } => self.over::<Quants>(frame),
        }
    }

    /// Stores keys and values, then attends.
    fn over<C: Cache>(&self, frame: &mut Frame<'_, '_>) {
        let [write, q, k, v] =
            [&self.out, &self.q, &self.k, &self.v].map(|view| view.range(frame.extents));
        let ([out], [q, k, v]) = borrow(frame.values, &[write], &[q, k, v]);
        let (team, isa, sizes) = (&mut *frame.team, frame.isa, &self.sizes);
        let head_len = C::head_len(sizes);
        let bytes = sizes.kv_heads * head_len * size_of::<C::Element>();
        let (cache, first, scratch) = match self.place {
            Place::Cache { start, len, .. } => {
                debug_assert_eq!(bytes, len, "the plan promises what the kernels use");
                (&mut frame.kv[start..][..bytes], frame.position, &mut *frame.scratch)
            }
            Place::Scratch => {
                let (own, scratch) = frame.scratch.split_at_mut(bytes.next_multiple_of(64));
                (&mut own[..bytes], 0, scratch)
            }
        };
        let cache = numbers_mut::<C::Element>(cache);
        let Sizes { kv_heads, group, head_dim, v_head_dim, .. } = *sizes;
        let tokens = q.len() / (kv_heads * group * head_dim);
        let store = |head: usize, cache: &mut [C::Element]| {
            for token in 0..tokens {
                let key = &k[(token * kv_heads + head) * head_dim..][..head_dim];
                let value = &v[(token * kv_heads + head) * v_head_dim..][..v_head_dim];
                C::store(isa, sizes, cache, first + token, key, value);
            }
        };
        if tokens < FEW {
            for (head, cache) in cache.chunks_exact_mut(head_len).enumerate() {
                store(head, cache);
            }
        } else {
            team.rows(cache, head_len, &Parts::none(), |_, first_head, caches| {
                for (head, cache) in (first_head..).zip(caches.chunks_exact_mut(head_len)) {
                    store(head, cache);
                }
            });
        }
        let sight = match self.mask {
            Mask::Causal { window } => {
                Sight::Last(window.map_or(usize::MAX, |window| window.get() as usize))
            }
            Mask::Full => Sight::All(tokens),
        };
        let seen = sight.from(first).start..sight.from(first + tokens - 1).end;
        let run = Run::<C> {
            task: self,
            cache: &*cache,
            q,
            isa,
            first,
            sight,
            sinks: self.sinks.map(|sinks| sinks.of(frame.weights)),
            segments: seen.start / SEGMENT..seen.end.div_ceil(SEGMENT),
        };
        let (shared, own) = scratch.split_at_mut(self.sizes.segments_bytes());
        let parts = Parts::new(own, self.sizes.worker_bytes());
        if tokens <= FEW && run.segments.len() > 1 {
            run.by_segments(team, out, tokens, floats(shared), &parts);
        } else {
            run.by_tiles(team, out, &parts);
        }
    }
}

/// One attention over stored keys and values.
struct Run<'a, C: Cache> {
    task: &'a Attention,
    cache: &'a [C::Element],
    q: &'a [f32],
    isa: Isa,
    first: usize,
    sight: Sight,
    sinks: Option<&'a [f32]>,
    segments: Range<usize>,
}

impl<C: Cache> Run<'_, C> {
    /// Sums the queries of `tokens` for one head over `segments` into `total`.
    fn sum(
        &self,
        head: usize,
        tokens: Range<usize>,
        segments: Range<usize>,
        scratch: &mut [f32],
        total: &mut Partial<'_>,
    ) {
        let sizes = &self.task.sizes;
        let (width, row) = (sizes.group * sizes.head_dim, self.task.q.width);
        let (queries, scratch) = scratch.split_at_mut(tokens.len() * width);
        for (token, out) in tokens.clone().zip(queries.chunks_exact_mut(width)) {
            out.copy_from_slice(&self.q[token * row + head * width..][..width]);
        }
        let len = C::head_len(sizes);
        let cache = &self.cache[head * len..][..len];
        let first = self.first + tokens.start;
        let queries = Queries { elements: queries, group: sizes.group, first, sight: self.sight };
        total.clear();
        let (isa, scores) = (self.isa, self.task.scores);
        C::attend(sizes, cache, Attend { isa, scores, queries, segments, scratch, total });
    }

    /// The sink of a query head.
    fn sink(&self, head: usize) -> Option<f32> {
        self.sinks.map(|sinks| sinks[head])
    }

    /// A task is a tile of tokens and a head.
    fn by_tiles(&self, team: &mut Team<'_>, out: &mut [f32], parts: &Parts<'_>) {
        let sizes = &self.task.sizes;
        let width = sizes.group * sizes.v_head_dim;
        let mut outs = [Tiles::new(out, self.task.out.width, sizes.tile(), width)];
        team.tiles(&mut outs, parts, Split::Queue, |scratch, _, mut tile| {
            let tokens = tile.rows();
            let count = tokens.len() * sizes.group;
            let columns = tile.columns();
            let (total, scratch) =
                floats(scratch).split_at_mut(Partial::len(count, sizes.v_head_dim));
            let mut total = Partial::of(total, count, sizes.v_head_dim);
            for head in columns.start / width..columns.end / width {
                let segments = self.segments.clone();
                self.sum(head, tokens.clone(), segments, scratch, &mut total);
                for (i, token) in tokens.clone().enumerate() {
                    let out = &mut tile.row(token)[head * width - columns.start..][..width];
                    for (g, out) in out.chunks_exact_mut(sizes.v_head_dim).enumerate() {
                        let sink = self.sink(head * sizes.group + g);
                        total.finish(i * sizes.group + g, sink, out);
                    }
                }
            }
        });
    }

    /// A task is a segment and a head; sums of segments are merged in ascending order.
    fn by_segments(
        &self,
        team: &mut Team<'_>,
        out: &mut [f32],
        tokens: usize,
        shared: &mut [f32],
        parts: &Parts<'_>,
    ) {
        let sizes = &self.task.sizes;
        let count = tokens * sizes.group;
        let len = Partial::len(count, sizes.v_head_dim);
        let segments = self.segments.len();
        let shared = &mut shared[..sizes.kv_heads * segments * len];
        team.rows(shared, len, parts, |scratch, first, sums| {
            for (unit, sums) in (first..).zip(sums.chunks_exact_mut(len)) {
                let segment = self.segments.start + unit % segments;
                let mut total = Partial::of(sums, count, sizes.v_head_dim);
                let scratch = floats(scratch);
                self.sum(unit / segments, 0..tokens, segment..segment + 1, scratch, &mut total);
            }
        });
        for (head, sums) in shared.chunks_exact_mut(segments * len).enumerate() {
            let (first, later) = sums.split_at_mut(len);
            let mut total = Partial::of(first, count, sizes.v_head_dim);
            for sums in later.chunks_exact_mut(len) {
                total.merge(self.isa, &Partial::of(sums, count, sizes.v_head_dim));
            }
            for query in 0..count {
                let (token, g) = (query / sizes.group, query % sizes.group);
                let at = token * self.task.out.width + (head * sizes.group + g) * sizes.v_head_dim;
                let sink = self.sink(head * sizes.group + g);
                total.finish(query, sink, &mut out[at..][..sizes.v_head_dim]);
            }
        }
    }
}
