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
