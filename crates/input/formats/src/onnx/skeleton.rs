//! A file without the elements of its large weights, which are found without being read.
//!
//! Weights are most of a network's file, and whoever runs it brings them into another form anyway. This
//! walks the file's outermost messages (`ModelProto.graph`, `GraphProto.initializer`) in small steps and
//! leaves out `TensorProto.raw_data` where that is long. Whatever is odd is read whole, for
//! [`super::Model::parse`] to judge: nothing is refused here.

use std::ops::Range;

/// Elements of at least so many bytes are left out.
pub const LARGE_BYTES: usize = 64 << 10;

/// Bytes that are read at once; small, as what follows may be left out.
const STEP: usize = 4 << 10;

/// Types whose elements are whole bytes as they are stored, by `TensorProto.DataType`: what an importer
/// never looks at before it needs it.
const PLAIN: [u64; 13] = [1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 16];

/// Fills `file`, zeroed and as long as the file, by `read(offset, part)`, all but long elements; gives
/// the ranges of these, in order.
///
/// # Errors
/// What `read` gives.
pub fn read<E>(
    file: &mut [u8],
    read: impl FnMut(u64, &mut [u8]) -> Result<(), E>,
) -> Result<Vec<Range<usize>>, E> {
    let len = file.len();
    let mut walk = Walk { file, have: 0, read, holes: Vec::new() };
    match walk.message(0..len, Level::Model) {
        Ok(()) => {}
        Err(Stop::Read(error)) => return Err(error),
        Err(Stop::Odd) => {
            walk.need(len)
                .map_err(|stop| match stop {
                    Stop::Read(error) => Some(error),
                    Stop::Odd => None,
                })
                .or_else(|error| error.map_or(Ok(()), Err))?;
            for hole in std::mem::take(&mut walk.holes) {
                walk.fill(hole)?;
            }
        }
    }
    Ok(walk.holes)
}

/// Which message is walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Model,
    Graph,
    Tensor,
}

/// Why walking ends.
enum Stop<E> {
    Read(E),
    /// What is there is no message of this kind.
    Odd,
}

struct Walk<'f, R> {
    file: &'f mut [u8],
    /// All before this is there, but for the holes.
    have: usize,
    read: R,
    holes: Vec<Range<usize>>,
}

impl<R> Walk<'_, R> {
    /// Reads a range.
    fn fill<E>(&mut self, range: Range<usize>) -> Result<(), E>
    where
        R: FnMut(u64, &mut [u8]) -> Result<(), E>,
    {
        let offset = range.start as u64;
        self.file.get_mut(range).map_or(Ok(()), |part| (self.read)(offset, part))
    }

    /// Sees to it that all before `end` is there.
    fn need<E>(&mut self, end: usize) -> Result<(), Stop<E>>
    where
        R: FnMut(u64, &mut [u8]) -> Result<(), E>,
    {
        if end <= self.have {
            return Ok(());
        }
        if end > self.file.len() {
            return Err(Stop::Odd);
        }
        let to = end.max(self.have.saturating_add(STEP)).min(self.file.len());
        self.fill(self.have..to).map_err(Stop::Read)?;
        self.have = to;
        Ok(())
    }

    /// A number, and where the next byte is.
    fn varint<E>(&mut self, at: usize) -> Result<(u64, usize), Stop<E>>
    where
        R: FnMut(u64, &mut [u8]) -> Result<(), E>,
    {
        let mut value = 0u64;
        let mut next = at;
        for shift in (0..64u32).step_by(7) {
            let end = next.saturating_add(1);
            self.need(end)?;
            let byte = self.file.get(next).copied().ok_or(Stop::Odd)?;
            value |= u64::from(byte & 0x7f).checked_shl(shift).ok_or(Stop::Odd)?;
            next = end;
            if byte < 0x80 {
                return Ok((value, next));
            }
        }
        Err(Stop::Odd)
    }

    fn message<E>(&mut self, range: Range<usize>, level: Level) -> Result<(), Stop<E>>
    where
        R: FnMut(u64, &mut [u8]) -> Result<(), E>,
    {
        let mut at = range.start;
        let mut ty = None;
        let mut hole: Option<Range<usize>> = None;
        while at < range.end {
            let (tag, next) = self.varint(at)?;
            at = next;
            let end = match tag & 7 {
                0 => {
                    let (value, end) = self.varint(at)?;
                    if (level, tag >> 3) == (Level::Tensor, 2) {
                        ty = Some(value);
                    }
                    end
                }
                1 => at.saturating_add(8),
                5 => at.saturating_add(4),
                2 => {
                    let (len, start) = self.varint(at)?;
                    let len = usize::try_from(len).map_err(|_| Stop::Odd)?;
                    let end = start.checked_add(len).filter(|&end| end <= range.end);
                    let end = end.ok_or(Stop::Odd)?;
                    match (level, tag >> 3) {
                        (Level::Model, 7) => self.message(start..end, Level::Graph)?,
                        (Level::Graph, 5) => self.message(start..end, Level::Tensor)?,
                        (Level::Tensor, 9) if len >= LARGE_BYTES && hole.is_none() => {
                            hole = Some(start..end);
                            // Some of it may have come with what is before it.
                            self.have = self.have.max(end);
                        }
                        _ => {}
                    }
                    end
                }
                _ => return Err(Stop::Odd),
            };
            if end > range.end {
                return Err(Stop::Odd);
            }
            self.need(end)?;
            at = end;
        }
        if let Some(hole) = hole {
            if ty.is_some_and(|ty| PLAIN.contains(&ty)) {
                self.holes.push(hole);
            } else {
                self.fill(hole).map_err(Stop::Read)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests may panic")]
mod tests {
    use super::*;

    /// A field of bytes.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2];
        let mut len = bytes.len();
        while len >= 0x80 {
            out.push(u8::try_from(len & 0x7f).expect("seven bits") | 0x80);
            len >>= 7;
        }
        out.push(u8::try_from(len).expect("seven bits"));
        out.extend(bytes);
        out
    }

    fn tensor(ty: u8, elements: &[u8]) -> Vec<u8> {
        [vec![2 << 3, ty], field(8, b"w"), field(9, elements)].concat()
    }

    fn walk(file: &[u8]) -> (Vec<u8>, Vec<Range<usize>>) {
        let mut out = vec![0; file.len()];
        let holes = read(&mut out, |offset, part: &mut [u8]| {
            let start = usize::try_from(offset).expect("small");
            part.copy_from_slice(&file[start..start + part.len()]);
            Ok::<(), ()>(())
        });
        (out, holes.expect("nothing fails"))
    }

    #[test]
    fn only_long_elements_of_plain_types_are_left_out() {
        let (long, short) = (vec![7; 3 * LARGE_BYTES], vec![9; 100]);
        for (ty, elements, left_out) in
            [(1, &long, true), (10, &long, true), (1, &short, false), (22, &long, false)]
        {
            let graph = [field(2, b"g"), field(5, &tensor(ty, elements)), field(1, &[8; 9000])];
            let file = [vec![8, 9], field(7, &graph.concat()), field(14, b"end")].concat();
            let (mut out, holes) = walk(&file);
            assert_eq!(holes.len(), usize::from(left_out), "{ty}");
            for hole in holes {
                assert_eq!(hole.len(), elements.len());
                let unread =
                    out[hole.clone()].iter().map(|&byte| usize::from(byte == 0)).sum::<usize>();
                assert!(unread > elements.len() - 2 * STEP, "{unread}");
                out[hole].fill(7);
            }
            assert_eq!(out, file, "{ty}");
        }
    }

    #[test]
    fn what_is_odd_is_read_whole() {
        let graph = field(5, &tensor(1, &vec![7; 2 * LARGE_BYTES]));
        let good = field(7, &graph);
        let cut = good[..good.len() - 5].to_vec();
        let group = [good.clone(), vec![3, 3]].concat();
        for file in [cut, group, vec![0xff; 4000], Vec::new(), b"no network at all".to_vec()] {
            let (out, holes) = walk(&file);
            assert_eq!((out, holes.len()), (file, 0));
        }
    }
}
