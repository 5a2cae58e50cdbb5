//! What a file may ask for at most: every limit of the readers, in one place.
//!
//! No known model comes near one of these; a file that does is broken or hostile. The error
//! that refuses it prints the limit. Sizes are bytes unless the name says otherwise.

/// GGUF: everything before the first tensor's bytes.
pub const GGUF_METADATA_BYTES: u64 = 256 << 20;
/// GGUF: number of keys.
pub const GGUF_KEYS: u64 = 65_536;
/// GGUF: one key.
pub const GGUF_KEY_BYTES: u64 = 65_535;
/// GGUF: one string, also inside an array.
pub const GGUF_STRING_BYTES: u64 = 16 << 20;
/// GGUF: number of dimensions of a tensor.
pub const GGUF_RANK: usize = 4;
/// GGUF: the largest alignment of tensors.
pub const GGUF_ALIGNMENT: u64 = 1 << 20;
/// GGUF: files of one split model; the names have five digits.
pub const GGUF_FILES: u64 = 99_999;

/// Number of tensors of a model.
pub const TENSORS: u64 = 262_144;
/// Length of a tensor's name.
pub const TENSOR_NAME_BYTES: u64 = 255;

/// safetensors: the header, as in the reference implementation.
pub const SAFETENSORS_HEADER_BYTES: u64 = 100_000_000;
/// safetensors: number of dimensions of a tensor.
pub const SAFETENSORS_RANK: usize = 8;
/// safetensors: entries of `__metadata__`.
pub const SAFETENSORS_METADATA_ENTRIES: u64 = 65_536;
/// safetensors: files of one sharded model.
pub const SAFETENSORS_FILES: u64 = 99_999;

/// Networks (ONNX, TFLite): nesting of graphs, of types and of skipped groups.
pub const NETWORK_DEPTH: u32 = 64;
/// Networks: nodes of all graphs and functions of a file together.
pub const NETWORK_NODES: u64 = 1 << 20;
/// Networks: one name.
pub const NETWORK_NAME_BYTES: u64 = 4096;
/// Networks: number of dimensions of a tensor or of a value's type.
pub const NETWORK_RANK: usize = 16;
/// TFLite: how many times its stored size a sparse constant may have when expanded.
pub const SPARSE_FACTOR: u64 = 1024;
/// Networks: elements of one tensor.
pub const NETWORK_ELEMENTS: u64 = 1 << 40;

/// JSON: nesting of arrays and objects.
pub const JSON_DEPTH: usize = 128;

/// npy: the header's text.
pub const NPY_HEADER_BYTES: u64 = 65_535;
/// npy: number of dimensions.
pub const NPY_RANK: usize = 8;

/// Memory that a parsed header may take besides [`MEMORY_FACTOR`] × its bytes.
pub const MEMORY_BYTES: u64 = 16 << 20;
/// Memory that a parsed header may take for each of its bytes.
pub const MEMORY_FACTOR: u64 = 4;

/// A file name that stands in another file, such as a shard's in its index.
pub const FILE_NAME_BYTES: usize = 255;
