//! `ledge embed`: texts as vectors.

use super::Scene;
use crate::{
    args::{Embed, NormalizeName, PoolingName},
    arrays::Matrix,
    failure::{Failure, Result},
    model,
    output::Output,
    prompt,
};
use ledge::{Embedder, Normalize, Pooling};
use serde_json::json;

/// Embeds each text.
pub(crate) fn run(args: &Embed, scene: &Scene) -> Result<()> {
    let file = model::open(Some(&args.path))?;
    let lines;
    let texts: Vec<&str> = if args.texts.is_empty() {
        lines = prompt::word_or_stdin(None)?;
        lines.lines().collect()
    } else {
        args.texts.iter().map(String::as_str).collect()
    };
    let mut embedder = Embedder::for_model(&file, &model::request(&args.model)?)?;
    if let Some(pooling) = args.pooling {
        embedder = embedder.pooling(match pooling {
            PoolingName::Mean => Pooling::Mean,
            PoolingName::First => Pooling::First,
            PoolingName::Last => Pooling::Last,
        });
    }
    if let Some(normalize) = args.normalize {
        embedder = embedder.normalize(match normalize {
            NormalizeName::Unit => Normalize::Unit,
            NormalizeName::No => Normalize::No,
        });
    }
    match &args.output {
        None => {
            let mut output = Output::stdout();
            for text in texts {
                let vector = vector(&mut embedder, text, scene)?;
                // Numbers as short as single precision allows; JSON has none that are not finite.
                let numbers: Vec<String> = vector
                    .iter()
                    .map(|x| if x.is_finite() { x.to_string() } else { "null".to_owned() })
                    .collect();
                let text = json!(text);
                let numbers = numbers.join(",");
                output.line(&format!("{{\"text\":{text},\"embedding\":[{numbers}]}}"))?;
                output.flush()?;
            }
            output.finish()
        }
        Some(path) => {
            let width = embedder.engine().model().model().settings.width;
            let mut matrix = Matrix::create(path, texts.len() as u64, width)?;
            for text in texts {
                matrix.row(&vector(&mut embedder, text, scene)?)?;
            }
            matrix.finish()
        }
    }
}

fn vector(embedder: &mut Embedder, text: &str, scene: &Scene) -> Result<Vec<f32>> {
    if scene.interrupt.is_set() {
        return Err(Failure::cancelled());
    }
    Ok(embedder.embed(text)?)
}
