//! `ledge eval`: quality on the user's own data.

use super::Scene;
use crate::{
    args::{Eval, EvalKl, EvalLogits, EvalPpl, EvalSts, ModelArgs},
    arrays::{self, Matrix},
    failure::{Failure, Result},
    model,
    output::Output,
    prompt,
    watch::Watch,
};
use engine::{
    eval::{Divergence, each_row, perplexity},
    llm::session::Session,
};
use ledge::{Embedder, LanguageModel, Special, TokenId};
use serde_json::{Value, json};
use std::path::Path;

/// Tokens of a window, unless asked for otherwise: llama-perplexity's.
const WINDOW: u64 = 512;

/// Measures.
pub(crate) fn run(args: &Eval, scene: &Scene) -> Result<()> {
    match args {
        Eval::Ppl(args) => ppl(args, scene),
        Eval::Logits(args) => logits(args, scene),
        Eval::Kl(args) => kl(args, scene),
        Eval::Sts(args) => sts(args, scene),
    }
}

/// A model whose runs give logits for every token; `context` where the flags ask for none.
fn load(
    path: Option<&Path>,
    args: &ModelArgs,
    context: u64,
    scene: &Scene,
) -> Result<LanguageModel> {
    let file = model::open(path)?;
    let mut request = model::request(args)?;
    let context = request.context.unwrap_or(context);
    request.context = Some(context);
    // Rows of logits are wide: a moderate run keeps them small.
    request.chunk = request.chunk.min(128);
    request.rows = request.chunk;
    model::load(&file, request, &scene.interrupt, &scene.manner)
}

/// The text's tokens after the begin token, where the model wants one: windows are then cut where
/// llama-perplexity cuts them.
fn tokens(lm: &LanguageModel, text: &str) -> Result<Vec<TokenId>> {
    let mut ids: Vec<TokenId> = begin(lm)?.into_iter().collect();
    ids.extend(lm.tokenizer()?.encode(text, Special::Text));
    Ok(ids)
}

/// The token that begins each window, where the model wants one.
fn begin(lm: &LanguageModel) -> Result<Option<TokenId>> {
    let tokenizer = lm.tokenizer()?;
    Ok(tokenizer.special_ids().bos.filter(|_| tokenizer.adds_bos()))
}

fn ppl(args: &EvalPpl, scene: &Scene) -> Result<()> {
    let text = prompt::read(&args.file)?;
    let lm = load(args.path.as_deref(), &args.model, WINDOW, scene)?;
    let ids = tokens(&lm, &text)?;
    let begin = begin(&lm)?;
    let window = usize::try_from(lm.engine().context()).unwrap_or(usize::MAX);
    let mut session = lm.engine().session()?;
    let stride = args.stride.map(std::num::NonZeroUsize::get);
    let watch = Watch::new(&scene.interrupt, &scene.manner, "evaluating");
    let result = perplexity(&mut session, &ids, window, stride, begin, &watch);
    drop(watch);
    let found = result?;
    let mut output = Output::stdout();
    if scene.manner.json {
        let object = json!({
            "ppl": found.ppl(),
            "error": found.error(),
            "nll": found.nll_sum / found.positions as f64,
            "positions": found.positions,
            "tokens": ids.len(),
            "ctx": window,
        });
        output.line(&object.to_string())?;
    } else {
        output.line(&format!("perplexity {:.4} ± {:.4}", found.ppl(), found.error()))?;
        output.line(&format!("{} of {} tokens scored", found.positions, ids.len()))?;
    }
    output.finish()
}

fn logits(args: &EvalLogits, scene: &Scene) -> Result<()> {
    let text = prompt::read(&args.ids)?;
    let file = model::open(args.path.as_deref())?;
    let vocabulary = file.model().settings.vocabulary;
    let place = args.ids.display().to_string();
    let ids = arrays::ids(&text, usize::try_from(vocabulary).unwrap_or(usize::MAX), &place)?;
    if ids.is_empty() {
        return Err(Failure::usage("there are no token ids").at(place));
    }
    let lm = load(args.path.as_deref(), &args.model, ids.len() as u64, scene)?;
    let mut matrix = Matrix::create(&args.output, ids.len() as u64, vocabulary)?;
    let mut session = lm.engine().session()?;
    let mut written = Ok(());
    let watch = Watch::new(&scene.interrupt, &scene.manner, "evaluating");
    each_row(&mut session, &ids, &watch, |_, row| {
        if written.is_ok() {
            written = matrix.row(row);
        }
    })?;
    drop(watch);
    written?;
    matrix.finish()
}

fn kl(args: &EvalKl, scene: &Scene) -> Result<()> {
    let text = prompt::read(&args.file)?;
    let base = load(Some(&args.base), &args.model, WINDOW, scene)?;
    let other = load(Some(&args.other), &args.model, WINDOW, scene)?;
    let vocabularies = [&base, &other].map(|lm| lm.engine().model().model().settings.vocabulary);
    if vocabularies[0] != vocabularies[1] {
        return Err(Failure::usage(format!(
            "the vocabularies have {} and {} tokens",
            vocabularies[0], vocabularies[1]
        ))
        .hint("compare two forms of the same model"));
    }
    let ids = tokens(&base, &text)?;
    let begin = begin(&base)?;
    let window = usize::try_from(base.engine().context().min(other.engine().context()));
    let window = window.unwrap_or(usize::MAX);
    if ids.len() < window {
        let have = ids.len() as u64;
        return Err(engine::EngineError::TextTooShort { need: window as u64, have }.into());
    }
    let mut sessions = [base.engine().session()?, other.engine().session()?];
    let watch = Watch::new(&scene.interrupt, &scene.manner, "comparing");
    let mut found = Divergence::default();
    let count = ids.len() / window;
    for (index, piece) in ids.chunks_exact(window).enumerate() {
        compare(&mut sessions, piece, begin, &watch, &mut found)?;
        plan::Control::progress(&watch, index as u64 + 1, count as u64);
    }
    drop(watch);
    let (mean, p99, most) = (found.mean(), found.quantile(0.99), found.quantile(1.0));
    let mut output = Output::stdout();
    if scene.manner.json {
        let object = json!({
            "kl_mean": mean,
            "kl_p99": p99,
            "kl_max": most,
            "top1": found.top1(),
            "positions": found.kl.len(),
        });
        output.line(&object.to_string())?;
    } else {
        output.line(&format!("KL divergence: mean {mean:.6}, 99 % {p99:.6}, maximum {most:.6}"))?;
        let same = 100.0 * found.top1();
        output.line(&format!("same most probable token at {same:.2} % of {}", found.kl.len()))?;
    }
    output.finish()
}

/// Compares two models over the second half of a window, as perplexity scores it.
fn compare(
    sessions: &mut [Session; 2],
    piece: &[TokenId],
    begin: Option<TokenId>,
    watch: &Watch,
    found: &mut Divergence,
) -> Result<()> {
    let mut ids = piece.to_vec();
    if let Some(begin) = begin {
        ids[0] = begin;
    }
    let half = ids.len() / 2;
    let [first, second] = sessions;
    let mut rows: Vec<Vec<f32>> = Vec::with_capacity(ids.len() - half);
    each_row(first, &ids, watch, |at, row| {
        if at >= half {
            rows.push(row.to_vec());
        }
    })?;
    each_row(second, &ids, watch, |at, row| {
        if at >= half {
            found.add(&rows[at - half], row);
        }
    })?;
    Ok(())
}

fn sts(args: &EvalSts, scene: &Scene) -> Result<()> {
    let text = prompt::read(&args.file)?;
    let pairs = pairs(&text, &args.file)?;
    let file = model::open(Some(&args.path))?;
    let mut embedder = Embedder::for_model(&file, &model::request(&args.model)?)?;
    let mut cosines = Vec::with_capacity(pairs.len());
    for (_, first, second) in &pairs {
        if scene.interrupt.is_set() {
            return Err(Failure::cancelled());
        }
        let first = embedder.embed(first)?;
        cosines.push(cosine(&first, &embedder.embed(second)?));
    }
    let scores: Vec<f64> = pairs.iter().map(|(score, _, _)| *score).collect();
    let correlation = spearman(&scores, &cosines);
    let mut output = Output::stdout();
    if scene.manner.json {
        let object: Value =
            json!({ "spearman": correlation, "pairs": pairs.len(), "cosines": cosines });
        output.line(&object.to_string())?;
    } else {
        output.line(&format!("Spearman {correlation:.4} over {} pairs", pairs.len()))?;
    }
    output.finish()
}

/// Lines of score, sentence and sentence between tabs; a heading is skipped.
fn pairs<'t>(text: &'t str, path: &Path) -> Result<Vec<(f64, &'t str, &'t str)>> {
    let mut pairs = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let mut fields = line.split('\t');
        let score = fields.next().and_then(|score| score.trim().parse::<f64>().ok());
        match (score.filter(|score| score.is_finite()), fields.next(), fields.next()) {
            (Some(score), Some(first), Some(second)) => pairs.push((score, first, second)),
            _ if number == 0 => {}
            _ => {
                return Err(Failure::usage("a line is not: score, tab, sentence, tab, sentence")
                    .at(format!("{}, line {}", path.display(), number + 1)));
            }
        }
    }
    if pairs.len() < 2 {
        return Err(Failure::usage("there are fewer than two pairs").at(path.display()));
    }
    Ok(pairs)
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(f64::MIN_POSITIVE)
}

/// Spearman's rank correlation: Pearson's of the ranks, equal values sharing the mean of theirs.
fn spearman(a: &[f64], b: &[f64]) -> f64 {
    let (a, b) = (ranks(a), ranks(b));
    let mean = f64::midpoint(a.len() as f64, 1.0);
    let covariance = |x: &[f64], y: &[f64]| -> f64 {
        x.iter().zip(y).map(|(x, y)| (x - mean) * (y - mean)).sum()
    };
    covariance(&a, &b) / (covariance(&a, &a) * covariance(&b, &b)).sqrt()
}

fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut from = 0;
    for group in order.chunk_by(|a, b| values[*a].total_cmp(&values[*b]).is_eq()) {
        let rank = from as f64 + f64::midpoint(group.len() as f64, 1.0);
        for place in group {
            ranks[*place] = rank;
        }
        from += group.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spearman_agrees_with_scipy() {
        // scipy.stats.spearmanr([1, 2, 3, 4, 5], [5, 6, 7, 8, 7]) and one with ties on both sides.
        let close = |a: f64, b: f64| (a - b).abs() < 1e-12;
        let first = spearman(&[1.0, 2.0, 3.0, 4.0, 5.0], &[5.0, 6.0, 7.0, 8.0, 7.0]);
        assert!(close(first, 0.820_782_681_668_123_3), "{first}");
        assert!(close(spearman(&[1.0, 1.0, 2.0], &[3.0, 3.0, 9.0]), 1.0));
        assert!(close(spearman(&[1.0, 2.0, 3.0], &[9.0, 5.0, 1.0]), -1.0));
    }

    #[test]
    fn pairs_may_have_a_heading_and_comments() {
        let text = "score\ta\tb\n# note\n\n1.5\tx\ty\n0\tp\tq\n";
        let pairs = pairs(text, Path::new("f")).expect("valid");
        assert_eq!(pairs, [(1.5, "x", "y"), (0.0, "p", "q")]);
        assert!(super::pairs("1\ta\tb\nno\n2\ta\tb", Path::new("f")).is_err());
    }
}
