//! Files byte by byte, for those that no writer would write.

/// A GGUF file of version 3 under construction; 256 bytes of tensors follow the header.
#[derive(Clone)]
pub(crate) struct Gguf {
    header: Vec<u8>,
    cut: usize,
}

impl Gguf {
    /// Magic, version and the two counts, whatever follows.
    pub(crate) fn counts(tensors: u64, keys: u64) -> Self {
        let start = Self { header: b"GGUF".to_vec(), cut: 0 };
        start.u32s(&[3]).u64s(&[tensors, keys])
    }

    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.header.extend(bytes);
        self
    }

    pub(crate) fn zeros(self, count: usize) -> Self {
        self.raw(&vec![0; count])
    }

    pub(crate) fn byte(self, byte: u8) -> Self {
        self.raw(&[byte])
    }

    pub(crate) fn u32s(self, numbers: &[u32]) -> Self {
        numbers.iter().fold(self, |raw, n| raw.raw(&n.to_le_bytes()))
    }

    pub(crate) fn u64s(self, numbers: &[u64]) -> Self {
        numbers.iter().fold(self, |raw, n| raw.raw(&n.to_le_bytes()))
    }

    pub(crate) fn str(self, text: &str) -> Self {
        self.u64s(&[text.len() as u64]).raw(text.as_bytes())
    }

    /// A key and the type of its value, which follows.
    pub(crate) fn key(self, key: &str, ty: u32) -> Self {
        self.str(key).u32s(&[ty])
    }

    pub(crate) fn u32(self, key: &str, value: u32) -> Self {
        self.key(key, 4).u32s(&[value])
    }

    /// A tensor; `dims` innermost first, as the file has them.
    pub(crate) fn tensor(self, name: &str, dims: &[u64], ty: u32, offset: u64) -> Self {
        let rank = u32::try_from(dims.len()).unwrap();
        self.str(name).u32s(&[rank]).u64s(dims).u32s(&[ty]).u64s(&[offset])
    }

    /// Leaves out the last bytes of the file.
    pub(crate) fn cut(self, cut: usize) -> Self {
        Self { cut, ..self }
    }

    /// The header alone.
    pub(crate) fn header(self) -> Vec<u8> {
        self.header
    }

    /// The file; a header with tensors is padded and followed by 256 bytes for them.
    pub(crate) fn bytes(self) -> Vec<u8> {
        let mut file = self.header;
        if file[8..16] != [0; 8] && file.len() > 24 && !file.ends_with(&[0; 64]) {
            file.resize(file.len().next_multiple_of(32) + 256, 0);
        }
        file.truncate(file.len() - self.cut);
        file
    }
}

/// A safetensors file with this header and `bytes` bytes of tensors.
pub(crate) fn safetensors(header: &str, bytes: usize) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.resize(file.len() + bytes, 0);
    file
}

/// A NumPy file of version 1 with this header and `bytes` bytes of elements.
pub(crate) fn npy(header: &str, bytes: usize) -> Vec<u8> {
    npy_bytes(header.as_bytes(), bytes)
}

/// As [`npy`], for a header that is no text.
pub(crate) fn npy_bytes(header: &[u8], bytes: usize) -> Vec<u8> {
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
    file.extend(header);
    file.resize(file.len() + bytes, 0);
    file
}

/// A protobuf message, field by field.
#[derive(Clone, Default)]
pub(crate) struct Proto(pub(crate) Vec<u8>);

impl Proto {
    fn varint(mut self, mut value: u64) -> Self {
        while value >= 0x80 {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
        self
    }

    /// A field of any wire type: its tag alone.
    pub(crate) fn tag(self, field: u64, kind: u64) -> Self {
        self.varint((field << 3) | kind)
    }

    pub(crate) fn int(self, field: u64, value: i64) -> Self {
        self.tag(field, 0).varint(value.cast_unsigned())
    }

    pub(crate) fn bytes(self, field: u64, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.tag(field, 2).varint(bytes.len() as u64).raw(bytes)
    }

    pub(crate) fn message(self, field: u64, message: Self) -> Self {
        self.bytes(field, message.0)
    }

    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }
}

/// A table of a flatbuffer, field by field.
#[derive(Clone, Default)]
pub(crate) struct Flat(Vec<(usize, Slot)>);

/// What a field of a table holds.
#[derive(Clone)]
enum Slot {
    Inline(Vec<u8>),
    /// Number of elements, which may be a lie, and their bytes.
    Vector(usize, Vec<u8>),
    Table(Flat),
    Tables(Vec<Flat>),
    /// One table that is listed many times.
    Same(Flat, usize),
}

impl Flat {
    fn with(mut self, field: usize, slot: Slot) -> Self {
        self.0.retain(|(other, _)| *other != field);
        self.0.push((field, slot));
        self
    }

    pub(crate) fn byte(self, field: usize, value: u8) -> Self {
        self.with(field, Slot::Inline(vec![value]))
    }

    /// Four bytes: a number, or an offset that leads anywhere.
    pub(crate) fn int(self, field: usize, value: i64) -> Self {
        self.with(field, Slot::Inline(value.to_le_bytes()[..4].to_vec()))
    }

    pub(crate) fn long(self, field: usize, value: u64) -> Self {
        self.with(field, Slot::Inline(value.to_le_bytes().to_vec()))
    }

    pub(crate) fn ints(self, field: usize, values: &[i32]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.with(field, Slot::Vector(values.len(), bytes))
    }

    pub(crate) fn bytes(self, field: usize, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.with(field, Slot::Vector(bytes.len(), bytes.to_vec()))
    }

    /// A vector that says to have `len` elements.
    pub(crate) fn claim(self, field: usize, len: usize, bytes: &[u8]) -> Self {
        self.with(field, Slot::Vector(len, bytes.to_vec()))
    }

    pub(crate) fn table(self, field: usize, table: Self) -> Self {
        self.with(field, Slot::Table(table))
    }

    pub(crate) fn tables(self, field: usize, tables: &[Self]) -> Self {
        self.with(field, Slot::Tables(tables.to_vec()))
    }

    pub(crate) fn same(self, field: usize, table: Self, count: usize) -> Self {
        self.with(field, Slot::Same(table, count))
    }

    /// The file whose root this is.
    pub(crate) fn file(&self) -> Vec<u8> {
        let mut file = b"\0\0\0\0TFL3".to_vec();
        let root = self.write(&mut file);
        put(&mut file, 0, root);
        file
    }

    /// Writes the fields' offsets, the table, then what it leads to; gives the table's place.
    fn write(&self, file: &mut Vec<u8>) -> usize {
        let fields = self.0.iter().map(|(field, _)| field + 1).max().unwrap_or(0);
        let fields_at = file.len();
        let at = fields_at + 4 + 2 * fields;
        file.resize(at, 0);
        file.extend(u32::try_from(at - fields_at).unwrap().to_le_bytes());
        let mut links = Vec::new();
        for (field, slot) in &self.0 {
            let offset = u16::try_from(file.len() - at).unwrap().to_le_bytes();
            file[fields_at + 4 + 2 * field..][..2].copy_from_slice(&offset);
            if let Slot::Inline(bytes) = slot {
                file.extend(bytes);
            } else {
                links.push((file.len(), slot));
                file.extend([0; 4]);
            }
        }
        let lengths = [at - fields_at, file.len() - at];
        for (slot, length) in lengths.into_iter().enumerate() {
            let length = u16::try_from(length).unwrap().to_le_bytes();
            file[fields_at + 2 * slot..][..2].copy_from_slice(&length);
        }
        for (link, slot) in links {
            let target = match slot {
                Slot::Inline(_) => continue,
                Slot::Table(table) => table.write(file),
                Slot::Vector(len, bytes) => {
                    let target = file.len();
                    file.extend(u32::try_from(*len).unwrap().to_le_bytes());
                    file.extend(bytes);
                    target
                }
                Slot::Tables(tables) => {
                    write_tables(file, tables.len(), |file, idx| tables[idx].write(file))
                }
                Slot::Same(table, count) => {
                    let mut only = None;
                    write_tables(file, *count, |file, _| {
                        *only.get_or_insert_with(|| table.write(file))
                    })
                }
            };
            put(file, link, target - link);
        }
        at
    }
}

fn put(file: &mut [u8], at: usize, value: usize) {
    file[at..][..4].copy_from_slice(&u32::try_from(value).unwrap().to_le_bytes());
}

fn write_tables(
    file: &mut Vec<u8>,
    count: usize,
    mut write: impl FnMut(&mut Vec<u8>, usize) -> usize,
) -> usize {
    let target = file.len();
    file.extend(u32::try_from(count).unwrap().to_le_bytes());
    file.resize(target + 4 + 4 * count, 0);
    for idx in 0..count {
        let table = write(file, idx);
        let link = target + 4 + 4 * idx;
        put(file, link, table - link);
    }
    target
}
