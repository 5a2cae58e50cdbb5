//! Thread pool and executor of plans on CPUs. Under construction in its first commits.
