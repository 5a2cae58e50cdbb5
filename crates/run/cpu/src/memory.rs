//! Large memory: zeroed, 64-byte aligned, on huge pages where they pay and the system has them.
//!
//! A [`Region`] is all that a program or a state allocates. On Linux it is an anonymous mapping.
//! Those of language models begin on a 2 MiB boundary and ask for huge pages, because page walks and
//! not DRAM bound decoding otherwise (38 against 67 GB/s, measured on a 2-core Zen 4 virtual machine).
//! Those of networks do not ([`Pages`]). The system's refusal is an error, never an abort.
#![expect(unsafe_code, reason = "maps memory")]

use crate::pool::{Parts, Team};
use core::ptr::NonNull;
use plan::{Op, Plan};
use std::fmt;
use tensor::Bytes;

/// Bytes of a huge page, and the alignment of regions that are at least as large.
const HUGE: usize = 2 << 20;

/// Bytes between two touches: no system has smaller pages.
const PAGE: usize = 4096;

/// The fewest bytes whose pages are asked for together.
const POPULATED: usize = 4 * PAGE;

/// What a region lies on.
///
/// Weights that are read anew for every token want huge pages. Those of a network are read a few times
/// for each of many multiplications, and its first run should come soon: on a virtual machine that
/// gives free memory back to its host, the first touch of a huge page took 4.5 ms (ResNet-50's 50 of them
/// 230 ms, as long as all else of its loading), that of as many small ones, which mostly had been used
/// a moment before, 0.9 ms; a run of it took the same time on both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pages {
    /// Huge ones, where the system has them.
    Huge,
    /// Whatever the system uses.
    Plain,
}

impl Pages {
    /// What the memory of a plan lies on.
    pub(crate) fn of(plan: &Plan) -> Self {
        let arrays = plan.steps.iter().all(|step| matches!(step.op, Op::Array(_)));
        if arrays { Self::Plain } else { Self::Huge }
    }
}

/// The system would not give memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system refused {0}")]
pub struct Refused(pub Bytes);

/// Zeroed memory of one owner, given back on drop.
pub struct Region {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: a region owns its memory; shared access is through `&self` and only reads.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// Memory of `bytes`, zeroed; pages are not there yet.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn new(bytes: Bytes, pages: Pages) -> Result<Self, Refused> {
        let refused = Refused(bytes);
        let len = bytes.to_usize().filter(|&len| len <= isize::MAX as usize - 2 * HUGE);
        let len = len.ok_or(refused)?;
        if len == 0 {
            return Ok(Self { base: NonNull::<Line>::dangling().cast(), len });
        }
        os::map(len, pages).map(|base| Self { base, len }).ok_or(refused)
    }

    /// Memory of `bytes` whose pages are all there, so that later writes cannot fail.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn touched(bytes: Bytes, pages: Pages, team: &mut Team<'_>) -> Result<Self, Refused> {
        let mut region = Self::new(bytes, pages)?;
        // The system clears a page where it is first touched, so all threads share that work.
        let len = region.len / HUGE * HUGE;
        let (whole, rest) = region.bytes_mut().split_at_mut(len);
        team.rows(whole, HUGE, &Parts::none(), |_, _, pages| touch(pages));
        touch(rest);
        Ok(region)
    }

    /// The memory, to read.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping has `len` initialised bytes and lives as long as `self`.
        unsafe { core::slice::from_raw_parts(self.base.as_ptr(), self.len) }
    }

    /// The memory, to write.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and the borrow is exclusive.
        unsafe { core::slice::from_raw_parts_mut(self.base.as_ptr(), self.len) }
    }
}

/// Asks the system for the pages inside of `bytes` at once, before they are written: it takes two
/// thirds of the time that as many faults take. A refusal costs nothing else.
pub(crate) fn populate(bytes: &mut [u8]) {
    let before = bytes.as_ptr().align_offset(PAGE).min(bytes.len());
    let inside = &mut bytes[before..];
    let whole = inside.len() / PAGE * PAGE;
    if whole >= POPULATED {
        os::populate(&mut inside[..whole]);
    }
}

/// Writes a byte of each page.
fn touch(bytes: &mut [u8]) {
    populate(bytes);
    for byte in bytes.iter_mut().step_by(PAGE) {
        // SAFETY: a reference is valid for a write; volatile, as the value is already zero.
        unsafe { core::ptr::write_volatile(byte, 0) };
    }
}

/// What an empty region points to: aligned as all regions are.
#[repr(align(64))]
struct Line;

impl Drop for Region {
    fn drop(&mut self) {
        if self.len > 0 {
            // SAFETY: `base` and `len` are those of a successful `map`; nothing borrows them.
            unsafe { os::unmap(self.base, self.len) };
        }
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Region({})", Bytes(self.len as u64))
    }
}

#[cfg(target_os = "linux")]
mod os {
    use super::{HUGE, NonNull, PAGE, Pages};

    /// Bytes of the mapping for `len` usable bytes.
    fn whole(len: usize) -> usize {
        len.next_multiple_of(PAGE)
    }

    /// Zeroed memory; on a 2 MiB boundary where pages should be huge and it is that large.
    pub(super) fn map(len: usize, pages: Pages) -> Option<NonNull<u8>> {
        let len = whole(len);
        let slack = if len >= HUGE && pages == Pages::Huge { HUGE } else { 0 };
        // SAFETY: an anonymous mapping at an address of the system's choice touches nothing else.
        let raw = unsafe {
            libc::mmap(
                core::ptr::null_mut(),
                len + slack,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if raw == libc::MAP_FAILED {
            return None;
        }
        let start = raw.addr();
        let head = if slack > 0 { start.next_multiple_of(HUGE) - start } else { 0 };
        if head > 0 {
            // SAFETY: the first `head` bytes belong to the mapping just made.
            unsafe { libc::munmap(raw, head) };
        }
        let base = raw.wrapping_byte_add(head);
        if slack > head {
            // SAFETY: so do the bytes beyond `head + len`.
            unsafe { libc::munmap(base.wrapping_byte_add(len), slack - head) };
        }
        if slack > 0 {
            // SAFETY: advice about our own mapping; a refusal only costs speed.
            unsafe { libc::madvise(base, len, libc::MADV_HUGEPAGE) };
        }
        NonNull::new(base.cast())
    }

    /// Makes all pages of `pages` be there, if the system can.
    pub(super) fn populate(pages: &mut [u8]) {
        let (base, len) = (pages.as_mut_ptr().cast(), pages.len());
        // SAFETY: whole pages that are borrowed to be written; their content stays. A refusal (before
        // Linux 5.14, or no memory) only costs speed.
        unsafe { libc::madvise(base, len, libc::MADV_POPULATE_WRITE) };
    }

    /// Gives memory back.
    ///
    /// # Safety
    /// `base` came from `map(len, …)`, and nothing uses the memory any more.
    pub(super) unsafe fn unmap(base: NonNull<u8>, len: usize) {
        // SAFETY: the caller vouches for the range.
        unsafe { libc::munmap(base.as_ptr().cast(), whole(len)) };
    }
}

#[cfg(not(target_os = "linux"))]
mod os {
    use super::{HUGE, NonNull, Pages};
    use std::alloc::{Layout, alloc_zeroed, dealloc};

    fn layout(len: usize) -> Layout {
        let align = if len >= HUGE { HUGE } else { 64 };
        Layout::from_size_align(len, align).expect("`Region::new` bounds the length")
    }

    /// Zeroed memory, on a 2 MiB boundary where it is that large.
    pub(super) fn map(len: usize, _: Pages) -> Option<NonNull<u8>> {
        // SAFETY: the layout's size is not zero.
        NonNull::new(unsafe { alloc_zeroed(layout(len)) })
    }

    /// Other systems are not asked.
    pub(super) fn populate(_: &mut [u8]) {}

    /// Gives memory back.
    ///
    /// # Safety
    /// `base` came from `map(len, …)`, and nothing uses the memory any more.
    pub(super) unsafe fn unmap(base: NonNull<u8>, len: usize) {
        // SAFETY: the caller vouches for the range.
        unsafe { dealloc(base.as_ptr(), layout(len)) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Pool;
    use core::num::NonZeroUsize;

    #[test]
    fn regions_are_zeroed_aligned_and_writable() {
        let pool = Pool::new(NonZeroUsize::new(2).expect("two")).expect("two threads");
        let mut team = pool.team();
        let lens = [0, 1, 64, 4097, HUGE - 1, HUGE, 3 * HUGE + 5];
        for (len, pages) in lens.into_iter().flat_map(|n| [(n, Pages::Huge), (n, Pages::Plain)]) {
            let bytes = Bytes(len as u64);
            let mut region = Region::touched(bytes, pages, &mut team).expect("a few MiB");
            assert_eq!(region.bytes().len(), len);
            let align = if len >= HUGE && pages == Pages::Huge { HUGE } else { 64 };
            assert_eq!(region.bytes().as_ptr().addr() % align, 0, "{len}");
            assert!(region.bytes().iter().all(|&byte| byte == 0));
            region.bytes_mut().fill(7);
            assert!(region.bytes().iter().all(|&byte| byte == 7));
        }
    }

    #[test]
    fn what_cannot_be_had_is_an_error() {
        for bytes in [Bytes(u64::MAX), Bytes(1 << 60)] {
            assert_eq!(Region::new(bytes, Pages::Huge).err(), Some(Refused(bytes)));
        }
    }
}
