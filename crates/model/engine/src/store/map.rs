//! Files of our own making, mapped: read-only for all, or writable while nobody else knows them.
//!
//! What makes a mapping sound is kept by [`super::packs`], the only caller: a mapped file was made by this
//! program, belongs to this user and is writable by nobody else, is never written to after it got its name,
//! and is removed, never cut. Room is allotted before it is written, so that a full disk is an error and no
//! signal. What is left is a failing disk or the user's own hand on the file: then the system ends the
//! process with SIGBUS, as it does for a program's own code (docs/decisions/0008).
#![expect(unsafe_code, reason = "maps files")]

use std::{fs::File, io, ptr::NonNull};

/// A whole file in memory.
#[derive(Debug)]
pub(super) struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: a mapping owns its range; shared access only reads, and writing needs `&mut`.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `len` bytes of a file to read.
    pub(super) fn read(file: &File, len: usize) -> io::Result<Self> {
        let base = os::map(file, len, os::Access::Read)?;
        Ok(Self { base, len })
    }

    /// Allots `len` bytes to an empty file and maps them to write. The file must be nobody else's.
    pub(super) fn write(file: &File, len: usize) -> io::Result<Self> {
        os::allot(file, len)?;
        let base = os::map(file, len, os::Access::Write)?;
        Ok(Self { base, len })
    }

    /// The file's bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping is readable, `len` long, lives as long as `self`, and nobody writes to it
        // while `self` is shared (the head of this module says why).
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.len) }
    }
}

/// A mapping that may be written to.
#[derive(Debug)]
pub(super) struct WritableMapping(Mapping);

impl WritableMapping {
    /// As [`Mapping::write`].
    pub(super) fn new(file: &File, len: usize) -> io::Result<Self> {
        Mapping::write(file, len).map(Self)
    }

    /// The file's bytes.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: `Mapping::write` made it writable, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.0.base.as_ptr(), self.0.len) }
    }

    /// The same memory, no longer written to.
    pub(super) fn seal(self) -> Mapping {
        self.0
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `base` and `len` are those of a successful `map`; nothing borrows them.
        unsafe { os::unmap(self.base, self.len) };
    }
}

/// Whether a file is this user's and writable by nobody else.
pub(super) fn is_private(file: &File) -> bool {
    os::is_private(file)
}

#[cfg(unix)]
mod os {
    use super::{File, NonNull, io};
    use std::os::{fd::AsRawFd as _, unix::fs::MetadataExt as _};

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) enum Access {
        Read,
        Write,
    }

    pub(super) fn map(file: &File, len: usize, access: Access) -> io::Result<NonNull<u8>> {
        let protection = match access {
            Access::Read => libc::PROT_READ,
            Access::Write => libc::PROT_READ | libc::PROT_WRITE,
        };
        let (nowhere, fd) = (std::ptr::null_mut(), file.as_raw_fd());
        // SAFETY: a mapping at an address of the system's choice touches nothing else.
        let raw = unsafe { libc::mmap(nowhere, len, protection, libc::MAP_SHARED, fd, 0) };
        if raw == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        NonNull::new(raw.cast()).ok_or_else(|| io::Error::other("mapped at address zero"))
    }

    /// Gives memory back.
    ///
    /// # Safety
    /// `base` came from `map` with this length, and nothing uses the memory any more.
    pub(super) unsafe fn unmap(base: NonNull<u8>, len: usize) {
        // SAFETY: the caller vouches for the range.
        unsafe { libc::munmap(base.as_ptr().cast(), len) };
    }

    #[cfg(target_os = "linux")]
    pub(super) fn allot(file: &File, len: usize) -> io::Result<()> {
        let len = libc::off_t::try_from(len).map_err(io::Error::other)?;
        // SAFETY: the descriptor is open for the time of the call.
        match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, len) } {
            0 => Ok(()),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }

    /// Zeros are written: the system allots what it must store.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn allot(mut file: &File, len: usize) -> io::Result<()> {
        let zeros = vec![0; 1 << 20];
        let mut left = len;
        while left > 0 {
            let some = left.min(zeros.len());
            io::Write::write_all(&mut file, &zeros[..some])?;
            left -= some;
        }
        Ok(())
    }

    pub(super) fn is_private(file: &File) -> bool {
        // SAFETY: always succeeds and touches no memory.
        let user = unsafe { libc::geteuid() };
        let metadata = file.metadata();
        metadata.is_ok_and(|m| m.is_file() && m.uid() == user && m.mode() & 0o022 == 0)
    }
}

#[cfg(not(unix))]
mod os {
    use super::{File, NonNull, io};

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) enum Access {
        Read,
        Write,
    }

    pub(super) fn map(_: &File, _: usize, _: Access) -> io::Result<NonNull<u8>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Nothing was ever mapped.
    ///
    /// # Safety
    /// None is needed.
    pub(super) unsafe fn unmap(_: NonNull<u8>, _: usize) {}

    pub(super) fn allot(_: &File, _: usize) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn is_private(_: &File) -> bool {
        false
    }
}
