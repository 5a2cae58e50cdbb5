//! Model families: named tensors and settings to a graph. Under construction in its first commits.
