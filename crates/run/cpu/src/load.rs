//! Brings weights from their source into memory, with all threads, 16 rows at a time.
//!
//! A worker reads the rows of a panel into scratch of its own and packs them at once, so that no
//! second copy of a tensor ever exists. The first error or the caller's wish to stop ends the work.

use crate::layout::{index, numbers, numbers_mut};
use crate::matrix::{self, Matrix};
use crate::memory::{Pages, Region, populate};
use crate::pool::{Parts, Split, Team, Tiles};
use crate::steps::Packing;
use crate::weights::{Held, Placement};
use kernels::{Isa, gemm, isa::LANES};
use plan::{Control, LoadError, Plan, ReadError, Weight, WeightSource};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use tensor::{Bytes, decode_row};

/// Elements of a vector that are read at once.
const VECTOR_STEP: u64 = 1 << 16;

/// What all workers of a load share.
struct Load<'a> {
    source: &'a dyn WeightSource,
    control: &'a dyn Control,
    isa: Isa,
    done: AtomicU64,
    total: u64,
    failed: Mutex<Option<LoadError>>,
}

impl Load<'_> {
    /// Whether work should go on; asked before each read.
    fn goes_on(&self) -> bool {
        if self.control.cancelled() {
            self.fail(LoadError::Cancelled);
        }
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Keeps the first error.
    fn fail(&self, error: LoadError) {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    /// Reads rows; false after an error.
    fn read(&self, weight: &Weight, row: u64, out: &mut [u8]) -> bool {
        let read = self.source.read_rows(weight, row, out);
        self.noted(read.map(|()| true), out)
    }

    /// Reads columns, if the source holds them one behind the other; false after an error, too.
    fn read_columns(&self, weight: &Weight, column: u64, out: &mut [u8]) -> bool {
        let read = self.source.read_columns(weight, column, out);
        self.noted(read, out)
    }

    /// Counts what was read, or keeps the error.
    fn noted(&self, read: Result<bool, ReadError>, out: &[u8]) -> bool {
        match read {
            Ok(read) => {
                self.done.fetch_add(if read { out.len() as u64 } else { 0 }, Ordering::Relaxed);
                read
            }
            Err(error) => {
                self.fail(error.into());
                false
            }
        }
    }

    fn report(&self) {
        self.control.progress(self.done.load(Ordering::Relaxed), self.total);
    }
}

/// Fills `out` as `placement` says.
///
/// # Errors
/// If a weight cannot be read, memory for scratch is refused, or the caller stops.
pub(crate) fn load(
    plan: &Plan,
    placement: &Placement,
    source: &dyn WeightSource,
    out: &mut [u8],
    team: &mut Team<'_>,
    control: &dyn Control,
) -> Result<(), LoadError> {
    let weight = |id: plan::WeightId| &plan.weights[id.0 as usize];
    let kept = || placement.iter().filter(|(_, held)| *held != Held::Source);
    let at_once = |(id, held)| match held {
        Held::Packed { packing, .. } => packing.held_bytes(weight(id)),
        _ => weight(id).row_bytes().saturating_mul(LANES as u64),
    };
    let each = Bytes(kept().map(at_once).max().unwrap_or(0)).align_up(64);
    let all = Bytes(each.0.saturating_mul(team.threads_max() as u64));
    let mut scratch =
        Region::new(all, Pages::of(plan)).map_err(|_| LoadError::Memory { bytes: all })?;
    let each = each.to_usize().ok_or(LoadError::Memory { bytes: all })?;
    let load = Load {
        source,
        control,
        isa: Isa::detect(),
        done: AtomicU64::new(0),
        total: kept().map(|(id, _)| weight(id).stored_bytes().0).sum(),
        failed: Mutex::new(None),
    };
    // What is looked up while running is read for ever.
    let mut reads: BTreeMap<&str, usize> = BTreeMap::new();
    for (id, _) in placement.iter() {
        *reads.entry(&weight(id).tensor).or_default() += 1;
    }
    for (id, held) in kept() {
        let weight = weight(id);
        match held {
            Held::Matrix(matrix) => {
                let parts = Parts::new(scratch.bytes_mut(), each);
                pack(&load, weight, matrix, out, team, &parts);
            }
            Held::Vector { start, len } => {
                decode(&load, weight, numbers_mut(&mut out[start..start + 4 * len]))?;
            }
            Held::Raw { start, bytes } => {
                copy(&load, weight, &mut out[start..start + bytes])?;
            }
            Held::Packed { start, bytes, packing } => {
                let parts = Parts::new(scratch.bytes_mut(), each);
                pack_array(&load, weight, packing, &mut out[start..start + bytes], team, &parts);
            }
            Held::Source => {}
        }
        if let Some(left) = reads.get_mut(weight.tensor.as_str()) {
            *left -= 1;
            if *left == 0 {
                source.release(weight);
            }
        }
        load.report();
        if !load.goes_on() {
            break;
        }
    }
    load.failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

/// Packs all matrices of a weight.
fn pack(
    load: &Load<'_>,
    weight: &Weight,
    matrix: Matrix,
    region: &mut [u8],
    team: &mut Team<'_>,
    parts: &Parts<'_>,
) {
    let row_bytes = matrix.row_bytes();
    let panel_bytes = matrix.panel_bytes();
    for expert in 0..matrix::experts(weight) {
        let first_row = expert * matrix.outputs as u64;
        let start = matrix.start + matrix.bytes() * index(expert);
        let panels = &mut region[start..start + matrix.packed_bytes()];
        team.rows(panels, panel_bytes, parts, |scratch, first, panels| {
            for (i, panel) in (first..).zip(panels.chunks_exact_mut(panel_bytes)) {
                let rows = LANES.min(matrix.outputs - i * LANES);
                let stored = &mut scratch[..rows * row_bytes];
                let row = first_row + (i * LANES) as u64;
                if !load.goes_on() || !load.read(weight, row, stored) {
                    return;
                }
                matrix.pack(stored, panel);
            }
        });
    }
}

/// Packs a constant of an array operator, piece by piece.
fn pack_array(
    load: &Load<'_>,
    weight: &Weight,
    packing: Packing,
    out: &mut [u8],
    team: &mut Team<'_>,
    parts: &Parts<'_>,
) {
    let pieces = packing.pieces(weight);
    if out.is_empty() {
        return;
    }
    if packing == Packing::Columns {
        return pack_columns(load, weight, (out, pieces.packed_bytes), team, parts);
    }
    let stored_bytes = index(weight.stored_bytes().0);
    let each = index(pieces.stored_bytes);
    let rows = pieces.stored_bytes / weight.row_bytes().max(1);
    team.rows(out, pieces.packed_bytes, parts, |scratch, first, out| {
        for (i, out) in (first..).zip(out.chunks_exact_mut(pieces.packed_bytes)) {
            let stored = &mut scratch[..each.min(stored_bytes - i * each)];
            if !load.goes_on() || !load.read(weight, i as u64 * rows, stored) {
                return;
            }
            populate(out);
            packing.pack(load.isa, weight, stored, out);
        }
    });
}

/// Packs matrices of so many packed bytes each: panel by panel where the source holds columns, else by
/// their rows, some at a time, which go to all panels.
fn pack_columns(
    load: &Load<'_>,
    weight: &Weight,
    (out, packed_bytes): (&mut [u8], usize),
    team: &mut Team<'_>,
    parts: &Parts<'_>,
) {
    let row_bytes = index(weight.row_bytes());
    let some = index(Packing::Columns.held_bytes(weight)) / row_bytes;
    let columns = index(weight.shape.last());
    let panels = columns.div_ceil(LANES);
    let rows = packed_bytes / (4 * LANES * panels);
    let column_bytes = 4 * rows;
    let held = index(Packing::Columns.held_bytes(weight));
    if LANES * column_bytes <= held && load.read_columns(weight, 0, &mut []) {
        return team.rows(out, 4 * LANES * rows, parts, |scratch, first, out| {
            for (i, out) in (first..).zip(out.chunks_exact_mut(4 * LANES * rows)) {
                let some = LANES.min(columns - i * LANES);
                let stored = &mut scratch[..some * column_bytes];
                if !load.goes_on() || !load.read_columns(weight, (i * LANES) as u64, stored) {
                    return;
                }
                populate(out);
                gemm::pack_columns(numbers::<f32>(stored), rows, numbers_mut(out));
            }
        });
    }
    for (matrix, out) in (0..).zip(out.chunks_exact_mut(packed_bytes)) {
        let mut tiles = [Tiles::new(out, 4 * LANES * rows, panels, 4 * LANES * some)];
        team.tiles(&mut tiles, parts, Split::Runs(1), |scratch, _, mut tile| {
            let all = tile.columns();
            for start in all.clone().step_by(4 * LANES * some) {
                let packed = start..all.end.min(start + 4 * LANES * some);
                let first = (matrix * rows + start / (4 * LANES)) as u64;
                let stored = &mut scratch[..packed.len() / (4 * LANES) * row_bytes];
                if !load.goes_on() || !load.read(weight, first, stored) {
                    return;
                }
                let stored = numbers(stored);
                for panel in 0..panels {
                    let out = &mut tile.row(panel)[packed.start - all.start..][..packed.len()];
                    gemm::pack_panel(stored, columns, panel, numbers_mut(out));
                }
            }
        });
    }
}

/// Reads a weight as it is stored, some rows at a time.
fn copy(load: &Load<'_>, weight: &Weight, out: &mut [u8]) -> Result<(), ReadError> {
    let row_bytes = index(weight.row_bytes()).max(1);
    let rows = (index(VECTOR_STEP) / row_bytes).max(1);
    for (i, part) in (0..).zip(out.chunks_mut(rows * row_bytes)) {
        load.source.read_rows(weight, i * rows as u64, part)?;
        load.done.fetch_add(part.len() as u64, Ordering::Relaxed);
    }
    Ok(())
}

/// Decodes a weight into numbers, row by row.
fn decode(load: &Load<'_>, weight: &Weight, out: &mut [f32]) -> Result<(), ReadError> {
    let row_bytes = weight.row_bytes();
    let width = weight.shape.last();
    let step = (VECTOR_STEP / width.max(1)).max(1);
    let mut stored = Vec::new();
    let mut row = 0;
    while row < weight.rows() {
        let rows = step.min(weight.rows() - row);
        stored.resize(index(rows * row_bytes), 0);
        load.source.read_rows(weight, row, &mut stored)?;
        load.done.fetch_add(stored.len() as u64, Ordering::Relaxed);
        let out = &mut out[index(row * width)..index((row + rows) * width)];
        decode_row(weight.ty, &stored, out);
        row += rows;
    }
    Ok(())
}
