//! Largest and mean of windows over bytes, channels last.
//!
//! Windows are cut to what lies inside of the operand when the schedule is made, so that a run only
//! goes through a table of lines and a table of columns.

use super::{Operands, Worker, bytes, extents};
use kernels::int8::pool::{Statistic, Window};
use plan::array::{self, Channels, Conv, PoolKind};
use plan::{Operand, Plan, Step};
use tensor::DType;

/// A window along one dimension.
#[derive(Clone, Copy, Debug)]
struct Part {
    /// First element inside.
    first: usize,
    /// Elements inside.
    inside: usize,
    /// Elements that count in a mean.
    counted: usize,
}

/// A pool, ready to run.
#[derive(Debug)]
pub(crate) struct Pool {
    images: usize,
    image: [usize; 2],
    channels: usize,
    dilations: [usize; 2],
    lines: Vec<Part>,
    columns: Vec<Part>,
    mean: bool,
    signed: bool,
}

/// The windows along spatial dimension `d`.
fn parts(conv: &Conv, d: usize, len: usize, count: usize, count_padding: bool) -> Vec<Part> {
    let [kernel, stride, gap, before, after] =
        [&conv.kernel, &conv.strides, &conv.dilations, &conv.before, &conv.after]
            .map(|list| list[d] as usize);
    let gap = gap.max(1);
    let make = |i: usize| {
        let start = i * stride;
        let skipped = before.saturating_sub(start).div_ceil(gap).min(kernel);
        let first = (start + skipped * gap).saturating_sub(before);
        let room = len.saturating_sub(first).div_ceil(gap);
        let inside = room.min(kernel - skipped);
        let all = (len + before + after).saturating_sub(start).div_ceil(gap).min(kernel);
        Part { first, inside, counted: if count_padding { all } else { inside } }
    };
    (0..count).map(make).collect()
}

impl Pool {
    /// A pool of two spatial dimensions over bytes, if it is one.
    pub(super) fn new(op: &array::Pool, step: &Step, plan: &Plan) -> Option<Self> {
        let Operand::Slot(slot) = step.input(0) else { return None };
        let signed = match slot.dtype {
            DType::I8 => true,
            DType::U8 => false,
            _ => return None,
        };
        let (mean, count_padding) = match op.kind {
            PoolKind::Max => (false, false),
            PoolKind::Average { count_padding } => (true, count_padding),
            PoolKind::MaxIndex { .. } | PoolKind::Lp { .. } => return None,
        };
        let &[images, h, w, channels] = &*extents(step, 0, plan)? else { return None };
        let (&[kh, kw], &[out_h, out_w]) = (&*op.conv.kernel, &*op.output) else { return None };
        // Sums are exact in singles.
        let small = u64::from(kh) * u64::from(kw) < 1 << 16;
        if op.channels != Channels::Last || !small || channels == 0 {
            return None;
        }
        let part = |d, len, count: u32| parts(&op.conv, d, len, count as usize, count_padding);
        Some(Self {
            images,
            image: [h, w],
            channels,
            dilations: [0, 1].map(|d| op.conv.dilations[d] as usize),
            lines: part(0, h, out_h),
            columns: part(1, w, out_w),
            mean,
            signed,
        })
    }

    pub(super) fn run(&self, worker: &mut Worker<'_, '_>, operands: Operands<'_>, out: &mut [u8]) {
        let x = bytes(&operands, 0);
        let line = self.image[1] * self.channels;
        let mut out = out.chunks_exact_mut(self.channels);
        for n in 0..self.images {
            let image = &x[n * self.image[0] * line..][..self.image[0] * line];
            for y in &self.lines {
                for x in &self.columns {
                    let out = out.next().expect("a result for each window");
                    let count = (y.counted * x.counted).max(1);
                    let count = u32::try_from(count).expect("windows are below 2^16");
                    let at = (y.first * line + x.first * self.channels).min(image.len());
                    Window {
                        x: &image[at..],
                        signed: self.signed,
                        lines: (y.inside, self.dilations[0] * line),
                        columns: (x.inside, self.dilations[1] * self.channels),
                        statistic: if self.mean {
                            Statistic::Mean(count)
                        } else {
                            Statistic::Largest
                        },
                        out,
                    }
                    .run(worker.isa);
                }
            }
        }
    }
}
