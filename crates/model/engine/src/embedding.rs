//! From a text to one vector: an encoder's rows, pooled. A text is one run,
//! so that every position of an encoder sees every other.

use crate::{error::EngineError, llm::session::Session};
use import::settings::Pooling;
use plan::Control;
use text::TokenId;

/// Whether a vector is brought to unit length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normalize {
    /// Divided by its Euclidean length (a zero vector stays).
    Unit,
    /// Left as it is.
    No,
}

/// Runs the tokens of one text and pools its rows to `[width] f32`.
///
/// # Errors
/// If there are no tokens, more than one run holds, or the run stops.
pub fn embed(
    session: &mut Session,
    ids: &[TokenId],
    pooling: Pooling,
    normalize: Normalize,
    control: &dyn Control,
) -> Result<Vec<f32>, EngineError> {
    if ids.is_empty() {
        return Err(EngineError::EmptyPrompt);
    }
    let (need, have) = (ids.len() as u64, session.chunk() as u64);
    if need > have {
        return Err(EngineError::PromptTooLong { need, have });
    }
    session.truncate(0);
    let rows = session.run(ids, 0..ids.len(), control)?;
    let width = rows.len() / ids.len();
    let mut vector = match pooling {
        Pooling::First => rows[..width].to_vec(),
        Pooling::Last => rows[rows.len() - width..].to_vec(),
        Pooling::Mean => {
            let mut sums = vec![0.0_f64; width];
            for row in rows.chunks_exact(width) {
                sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
            }
            #[expect(clippy::cast_possible_truncation, reason = "vectors are single precision")]
            sums.into_iter().map(|sum| (sum / need as f64) as f32).collect()
        }
    };
    session.truncate(0);
    if normalize == Normalize::Unit {
        let length = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
        if length > 0.0 {
            for x in &mut vector {
                #[expect(clippy::cast_possible_truncation, reason = "vectors are single precision")]
                let unit = (f64::from(*x) / length) as f32;
                *x = unit;
            }
        }
    }
    Ok(vector)
}
