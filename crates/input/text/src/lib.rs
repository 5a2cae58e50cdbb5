//! Tokenizers, chat templates, stop strings. Under construction in its first commits.
