//! Arrays of numbers as .npy files, and lists of ids from files.
//!
//! Rows are written as they come; the file appears when it is complete.

use crate::{
    failure::{Failure, Result},
    output::Output,
};
use std::path::Path;
use tensor::{DType, Shape};
use text::TokenId;

/// Reads token ids: a JSON list, or numbers between blanks and commas.
pub(crate) fn ids(text: &str, vocabulary: usize, place: &str) -> Result<Vec<TokenId>> {
    let words = text.split(|c: char| c.is_whitespace() || matches!(c, ',' | '[' | ']'));
    let mut ids = Vec::new();
    for word in words.filter(|word| !word.is_empty()) {
        let id: u32 = word.parse().map_err(|_| {
            Failure::usage(format!("`{}` is no token id", word.escape_debug())).at(place)
        })?;
        if id as usize >= vocabulary {
            return Err(Failure::usage(format!(
                "token {id} is beyond the vocabulary of {vocabulary}"
            ))
            .at(place));
        }
        ids.push(TokenId(id));
    }
    Ok(ids)
}

/// A .npy file of `[rows, width] f32` in the making.
#[derive(Debug)]
pub(crate) struct Matrix {
    output: Output,
}

impl Matrix {
    /// Begins a file of `rows` rows.
    pub(crate) fn create(path: &Path, rows: u64, width: u64) -> Result<Self> {
        let mut output = Output::open(Some(path))?;
        let place = path.display().to_string();
        let failed =
            |error: &dyn std::error::Error| Failure::usage(crate::failure::chain(error)).at(&place);
        let shape = Shape::new(&[rows, width]).expect("two dimensions are few enough");
        let written = formats::npy::write_header(&mut output, DType::F32, shape);
        written.map_err(|error| failed(&error))?;
        Ok(Self { output })
    }

    /// Writes a row.
    pub(crate) fn row(&mut self, row: &[f32]) -> Result<()> {
        for number in row {
            self.output.bytes(&number.to_le_bytes())?;
        }
        Ok(())
    }

    /// Puts the file in its place.
    pub(crate) fn finish(self) -> Result<()> {
        self.output.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_from_lists_and_from_words() {
        for text in ["[1, 2,3]", "1 2 3\n", " 1,2\t3 "] {
            let ids = ids(text, 10, "ids").expect(text);
            assert_eq!(ids, [TokenId(1), TokenId(2), TokenId(3)]);
        }
        assert!(ids("1 x", 10, "ids").is_err());
        assert!(ids("10", 10, "ids").is_err());
        assert!(ids("-1", 10, "ids").is_err());
        assert_eq!(ids("[]", 10, "ids").expect("empty"), []);
    }
}
