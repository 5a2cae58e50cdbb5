//! The models: from one piece of text to ids.
//!
//! Each model sees bytes that are already normalised and cut; none can fail, all are bounded in
//! time by n·log n in the length of the piece (WordPiece and unigram: n times the longest token).

pub(crate) mod bpe;
pub(crate) mod merge;
pub(crate) mod scored;
pub(crate) mod trie;
pub(crate) mod unigram;
pub(crate) mod wordpiece;
