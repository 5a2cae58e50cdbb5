//! GGUF, safetensors and npy: bytes to tables and back. Under construction in its first commits.
