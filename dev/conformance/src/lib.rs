//! Checks against independent oracles. Under construction in its first commits.
