//! Reading: scores of characters at positions along a line, as text.
//!
//! The class of each position is the best one; repetitions are one character and the first class is
//! none (connectionist temporal classification, Graves et al. 2006, best path). Other classes are the
//! labels in their order, and one behind the last is a blank.

use crate::{
    failure::{Failure, Result},
    output::Output,
};
use import::network::Numbers;
use ledge::Array;
use serde_json::json;

/// A line that was read, and the mean of its characters' scores.
fn read(scores: &[f64], classes: usize, labels: &[String]) -> (String, f64) {
    let (mut text, mut sum, mut count, mut before) = (String::new(), 0.0, 0u32, 0);
    for position in scores.chunks_exact(classes) {
        let best =
            position.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)));
        let Some((class, score)) = best else { continue };
        if class != 0 && class != before {
            text.push_str(labels.get(class - 1).map_or(" ", String::as_str));
            sum += score;
            count += 1;
        }
        before = class;
    }
    (text, if count == 0 { 0.0 } else { sum / f64::from(count) })
}

/// Prints what the first fitting output reads.
pub(super) fn show(
    labels: Option<&[String]>,
    label: &str,
    outputs: &[(String, Array)],
    json_ms: Option<f64>,
) -> Result<()> {
    let Some(labels) = labels else {
        return Err(Failure::usage("nothing says which characters the scores are of")
            .at(label)
            .hint("name a file with one character a line: --labels keys.txt"));
    };
    let classes = labels.len() as u64 + 1;
    let fits = |array: &Array| {
        let shape = array.shape();
        shape.len() >= 2 && (classes..=classes + 1).contains(&shape.last())
    };
    let Some((name, array)) = outputs.iter().find(|(_, array)| fits(array)) else {
        let shapes: Vec<String> =
            outputs.iter().map(|(name, array)| format!("`{name}` {}", array.shape())).collect();
        let what = format!("{} characters fit no output: {}", labels.len(), shapes.join(", "));
        return Err(Failure::usage(what)
            .at(label)
            .hint("give the characters that the network was made for, in their order"));
    };
    let scores = Numbers { dtype: array.dtype(), bytes: array.bytes() }.floats();
    let last = usize::try_from(array.shape().last()).unwrap_or(1);
    let (text, score) = read(&scores, last, labels);
    let mut output = Output::stdout();
    match json_ms {
        Some(run_ms) => {
            let object = json!({ "text": text, "score": score, "output": name, "run_ms": run_ms });
            output.line(&object.to_string())?;
        }
        None => output.line(&text)?,
    }
    output.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_are_one_and_the_first_class_is_none() {
        let labels = ["a".to_owned(), "b".to_owned()];
        // none a a none a b b blank
        let classes = [0, 1, 1, 0, 1, 2, 2, 3];
        let mut scores = vec![0.0; 4 * classes.len()];
        for (position, class) in classes.iter().enumerate() {
            scores[position * 4 + class] = 0.5;
        }
        assert_eq!(read(&scores, 4, &labels), ("aab ".to_owned(), 0.5));
        assert_eq!(read(&[], 4, &labels), (String::new(), 0.0));
    }
}
