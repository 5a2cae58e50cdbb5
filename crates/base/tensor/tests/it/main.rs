//! Tests of the codecs against stored results of an independent implementation, and properties.
#![expect(clippy::unwrap_used, reason = "a test may stop")]

mod decode;
mod encode;
