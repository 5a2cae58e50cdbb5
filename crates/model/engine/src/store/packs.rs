//! A folder of packed weights: made once, then mapped, evictable and shared between processes.
//!
//! A file is named by what decides its bytes: the SHA-256 of all weights as stored, of their layout and of
//! its version. It is written under another name and renamed when it is whole, so that a process may die
//! at any moment and two may write at once; what a dead one left is removed later. Hashing a model takes
//! longer than starting it, so a note beside the packs tells which pack a file had when it was last hashed;
//! the note counts only while size, times and identity of the file are the same. Every failure here is a
//! notice, and weights are then packed into memory, unless the promise has no room for that.
//!
//! ```text
//! KEY.pack    head of 4096 bytes: "LEDGEPK1", key (32), bytes (8), sum (8), zeros; then the panels
//! NAME.note   stamp, key, SHA-256 of both: 3 lines of hex; NAME is a hash of the model's path and layout
//! .*.part     a file in the making, locked by the process that makes it
//! ```

use super::{
    Origin,
    map::{self, Mapping, WritableMapping},
};
use plan::{
    LoadError,
    pack::{Kept, Making, PackStore, Slot, Wanted},
};
use sha2::{Digest as _, Sha256};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

const MAGIC: &[u8; 8] = b"LEDGEPK1";
/// Bytes before the panels: a page, so that panels are aligned.
const HEAD: usize = 4096;
/// A file that changed less than this ago may change again without its times telling.
const SETTLED: Duration = Duration::from_secs(2);
/// A file in the making that is younger is left alone even if nobody holds its lock.
const YOUNG: Duration = Duration::from_mins(1);
/// Bytes that are hashed at once.
const READ: usize = 1 << 20;

/// Whether weights may be packed into memory when they cannot be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// They may: the budget has room.
    Memory,
    /// They may not: it was promised that they do not take memory.
    None,
}

/// A folder that keeps packed weights of one model.
#[derive(Debug)]
pub struct Packs {
    folder: PathBuf,
    origins: Arc<[Origin]>,
    fallback: Fallback,
    /// Hash of weights that are computed and not in the files.
    computed: Key,
    notices: Arc<Mutex<Vec<String>>>,
}

type Key = [u8; 32];

impl Packs {
    /// Packs of the model in `origins`, kept in `folder`, which is made when it is needed.
    pub fn new(folder: PathBuf, origins: Arc<[Origin]>, fallback: Fallback) -> Self {
        Self { folder, origins, fallback, computed: [0; 32], notices: Arc::default() }
    }

    /// Says which weights are not in the files, by name and bytes: notes count only for these.
    #[must_use]
    pub fn with_computed<'a>(
        mut self,
        computed: impl Iterator<Item = (&'a str, &'a [u8])>,
    ) -> Self {
        let mut all: Vec<_> = computed.collect();
        all.sort_unstable();
        let mut hasher = Sha256::new();
        for (name, bytes) in all {
            hasher.update(name);
            hasher.update((bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        }
        self.computed = hasher.finalize().into();
        self
    }

    /// What happened that the user did not ask for.
    pub fn notices(&self) -> Vec<String> {
        self.notices.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn notice(&self, notice: String) {
        self.notices.lock().unwrap_or_else(PoisonError::into_inner).push(notice);
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.folder.join(format!("{}.pack", hex(key)))
    }

    /// What to do when nothing can be kept.
    fn nowhere(&self, error: &io::Error) -> Result<Slot, LoadError> {
        let reason = format!("{}: {error}", self.folder.display());
        match self.fallback {
            Fallback::None => Err(LoadError::NotKept { reason }),
            Fallback::Memory => {
                self.notice(format!(
                    "packed weights cannot be kept ({reason}); they are packed into memory"
                ));
                Ok(Slot::Nowhere)
            }
        }
    }

    /// The key of the weights: from the note, if the model's files are as they were, else hashed.
    fn key(&self, wanted: &Wanted<'_>) -> Result<Key, LoadError> {
        let note = Note::of(self, wanted);
        let known = note.read();
        if let Some((stamp, key)) = &known
            && Some(stamp) == note.stamp.as_ref()
        {
            return Ok(*key);
        }
        let key = hash(wanted)?;
        if let Some((_, old)) = known
            && old != key
        {
            // The model was replaced: nobody will ask for its old weights under this path again.
            drop(fs::remove_file(self.path(&old)));
        }
        // Only a convenience: without it the next start hashes again.
        drop(note.write(&key));
        Ok(key)
    }

    /// A whole pack with this key, if there is one.
    fn find(&self, key: &Key, wanted: &Wanted<'_>) -> Option<Pack> {
        let path = self.path(key);
        let found = Pack::open(&path, key, wanted.bytes.0);
        match found {
            Ok(pack) => Some(pack),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                self.damaged(&path, &error.to_string());
                None
            }
        }
    }

    fn damaged(&self, path: &Path, reason: &str) {
        self.notice(format!("{}: {reason}; it is made anew", path.display()));
        // If it cannot be removed, it is replaced all the same.
        drop(fs::remove_file(path));
    }

    /// Room for a pack.
    fn make(&self, key: Key, wanted: &Wanted<'_>) -> Result<Slot, LoadError> {
        let made = make_folder(&self.folder).and_then(|()| {
            remove_parts(&self.folder);
            Part::new(&self.folder, self.path(&key), key, wanted.bytes.0)
        });
        match made {
            Ok(mut part) => {
                part.notices = Arc::clone(&self.notices);
                Ok(Slot::New(Box::new(part)))
            }
            Err(error) => self.nowhere(&error),
        }
    }
}

impl PackStore for Packs {
    fn open(&self, wanted: &Wanted<'_>) -> Result<Slot, LoadError> {
        if !self.origins.iter().all(|origin| matches!(origin, Origin::File { .. })) {
            return self.nowhere(&io::Error::other("the model is part of the program"));
        }
        if let Err(error) = make_folder(&self.folder) {
            return self.nowhere(&error);
        }
        let key = self.key(wanted)?;
        match self.find(&key, wanted) {
            Some(pack) => Ok(Slot::Kept(Box::new(pack))),
            None => self.make(key, wanted),
        }
    }

    fn replace(&self, wanted: &Wanted<'_>, damaged: Box<dyn Kept>) -> Result<Slot, LoadError> {
        drop(damaged);
        let key = self.key(wanted)?;
        self.damaged(&self.path(&key), "its bytes are not those that were written");
        self.make(key, wanted)
    }
}

/// SHA-256 of the layout and of all weights as stored.
fn hash(wanted: &Wanted<'_>) -> Result<Key, LoadError> {
    let mut hasher = Sha256::new();
    hasher.update((wanted.layout.len() as u64).to_le_bytes());
    hasher.update(wanted.layout);
    let mut buffer = Vec::new();
    for weight in wanted.weights {
        let row_bytes = weight.row_bytes().max(1);
        let step = (READ as u64 / row_bytes).max(1);
        let mut row = 0;
        while row < weight.rows() {
            let rows = step.min(weight.rows() - row);
            buffer.resize(usize::try_from(rows * row_bytes).unwrap_or(usize::MAX), 0);
            wanted.source.read_rows(weight, row, &mut buffer)?;
            hasher.update(&buffer);
            row += rows;
        }
    }
    Ok(hasher.finalize().into())
}

/// Which pack a model had, as long as its files are the same.
struct Note {
    path: PathBuf,
    stamp: Option<Key>,
}

impl Note {
    fn of(packs: &Packs, wanted: &Wanted<'_>) -> Self {
        let mut name = Sha256::new();
        name.update(wanted.layout);
        let mut stamp = Some(Sha256::new().chain_update(packs.computed));
        for origin in packs.origins.iter() {
            name.update(origin.label());
            name.update([0]);
            match (&mut stamp, stamp_of(origin)) {
                (Some(stamp), Some(own)) => stamp.update(own),
                _ => stamp = None,
            }
        }
        let path = packs.folder.join(format!("{}.note", hex(&name.finalize().into())));
        Self { path, stamp: stamp.map(|stamp| stamp.finalize().into()) }
    }

    /// Stamp and key, if the note is whole.
    fn read(&self) -> Option<(Key, Key)> {
        let text = fs::read_to_string(&self.path).ok()?;
        let mut lines = text.lines().map(unhex);
        let (stamp, key, sum) = (lines.next()??, lines.next()??, lines.next()??);
        (sum == sum_of(&stamp, &key)).then_some((stamp, key))
    }

    fn write(&self, key: &Key) -> io::Result<()> {
        let Some(stamp) = &self.stamp else { return Ok(()) };
        let text = format!("{}\n{}\n{}\n", hex(stamp), hex(key), hex(&sum_of(stamp, key)));
        let part = self.path.with_extension(format!("{}.new", std::process::id()));
        fs::write(&part, text)?;
        fs::rename(&part, &self.path).inspect_err(|_| drop(fs::remove_file(&part)))
    }
}

fn sum_of(stamp: &Key, key: &Key) -> Key {
    Sha256::new().chain_update(stamp).chain_update(key).finalize().into()
}

/// What changes when a file does; nothing for files that changed a moment ago.
#[cfg(unix)]
fn stamp_of(origin: &Origin) -> Option<Vec<u8>> {
    use std::os::unix::fs::MetadataExt as _;
    let Origin::File { file, .. } = origin else { return None };
    let metadata = file.metadata().ok()?;
    let age = SystemTime::now().duration_since(metadata.modified().ok()?).ok()?;
    if age < SETTLED {
        return None;
    }
    let times = [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()];
    let words = [metadata.dev(), metadata.ino(), metadata.len()];
    let words = words.into_iter().map(u64::to_le_bytes);
    Some(words.chain(times.into_iter().map(i64::to_le_bytes)).flatten().collect())
}

#[cfg(not(unix))]
fn stamp_of(_: &Origin) -> Option<Vec<u8>> {
    None
}

/// A whole pack.
#[derive(Debug)]
struct Pack {
    mapping: Mapping,
    sum: u64,
}

impl Pack {
    /// Opens a pack; that its head is right is checked, its sum is not.
    fn open(path: &Path, key: &Key, bytes: u64) -> io::Result<Self> {
        let file = File::open(path)?;
        let wrong = |what: &str| io::Error::other(what.to_owned());
        if !map::is_private(&file) {
            return Err(wrong("others than you can write to it"));
        }
        let len = usize::try_from(bytes).ok().and_then(|bytes| bytes.checked_add(HEAD));
        let len = len.filter(|&len| file.metadata().is_ok_and(|m| m.len() == len as u64));
        let mapping = Mapping::read(&file, len.ok_or_else(|| wrong("its length is wrong"))?)?;
        let head = &mapping.bytes()[..HEAD];
        let sum = u64::from_le_bytes(*head[48..].first_chunk().expect("the head is a page"));
        if head != head_of(key, bytes, sum) {
            return Err(wrong("its head is damaged"));
        }
        Ok(Self { mapping, sum })
    }
}

impl Kept for Pack {
    fn bytes(&self) -> &[u8] {
        &self.mapping.bytes()[HEAD..]
    }

    fn sum(&self) -> u64 {
        self.sum
    }
}

fn head_of(key: &Key, bytes: u64, sum: u64) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..8].copy_from_slice(MAGIC);
    head[8..40].copy_from_slice(key);
    head[40..48].copy_from_slice(&bytes.to_le_bytes());
    head[48..56].copy_from_slice(&sum.to_le_bytes());
    head
}

/// A pack in the making. Dropped before it is kept, it leaves nothing.
#[derive(Debug)]
struct Part {
    mapping: Option<WritableMapping>,
    /// Holds the lock that tells others to leave the file alone.
    file: File,
    here: PathBuf,
    there: PathBuf,
    key: Key,
    bytes: u64,
    notices: Arc<Mutex<Vec<String>>>,
}

impl Part {
    fn new(folder: &Path, there: PathBuf, key: Key, bytes: u64) -> io::Result<Self> {
        // Two threads of a process may make the same pack, too.
        let (pid, thread) = (std::process::id(), std::thread::current().id());
        let name = format!(".{}.{pid}.{thread:?}.part", hex(&key));
        let here = folder.join(name.replace(['(', ')'], ""));
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&here)?;
        let notices = Arc::default();
        let mut part = Self { mapping: None, file, here, there, key, bytes, notices };
        part.file.try_lock().or_else(|error| match error {
            // Some file systems have no locks; age then protects the file.
            fs::TryLockError::Error(_) => Ok(()),
            fs::TryLockError::WouldBlock => Err(io::Error::from(io::ErrorKind::WouldBlock)),
        })?;
        let len = usize::try_from(bytes).ok().and_then(|bytes| bytes.checked_add(HEAD));
        let len = len.ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
        part.mapping = Some(WritableMapping::new(&part.file, len)?);
        Ok(part)
    }

    fn mapping(&mut self) -> &mut [u8] {
        self.mapping.as_mut().expect("mapped until it is kept").bytes_mut()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // Under its own name now, or never to be finished.
        drop(fs::remove_file(&self.here));
    }
}

impl Making for Part {
    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.mapping()[HEAD..]
    }

    fn keep(mut self: Box<Self>, sum: u64) -> Box<dyn Kept> {
        let head = head_of(&self.key, self.bytes, sum);
        self.mapping()[..HEAD].copy_from_slice(&head);
        // Not synced: after a loss of power the sum tells what is missing.
        if let Err(error) = fs::rename(&self.here, &self.there) {
            let notice = format!("{}: {error}; it serves this run only", self.there.display());
            self.notices.lock().unwrap_or_else(PoisonError::into_inner).push(notice);
        }
        let mapping = self.mapping.take().expect("mapped until it is kept").seal();
        Box::new(Pack { mapping, sum })
    }
}

/// Makes the folder for this user alone.
fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Removes what dead processes left.
fn remove_parts(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let is_part = path.extension().is_some_and(|extension| extension == "part");
        let age = |m: fs::Metadata| m.modified().ok().and_then(|then| then.elapsed().ok());
        let old = fs::metadata(&path).ok().and_then(age).is_some_and(|age| age > YOUNG);
        if is_part && old && File::open(&path).is_ok_and(|file| file.try_lock().is_ok()) {
            drop(fs::remove_file(&path));
        }
    }
}

fn hex(key: &Key) -> String {
    let mut text = Vec::with_capacity(64);
    for byte in key {
        // Writing to memory cannot fail.
        drop(write!(text, "{byte:02x}"));
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn unhex(line: &str) -> Option<Key> {
    let mut key = [0; 32];
    if line.len() != 64 || !line.is_ascii() {
        return None;
    }
    for (i, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(line.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    Some(key)
}
