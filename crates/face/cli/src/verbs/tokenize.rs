//! `ledge tokenize`: text to ids and back.

use super::Scene;
use crate::{args::Tokenize, arrays, failure::Result, model, output::Output, prompt};
use ledge::{Special, TokenId, Tokenizer};
use serde_json::json;
use text::Controls;

/// Encodes or decodes.
pub(crate) fn run(args: &Tokenize, scene: &Scene) -> Result<()> {
    let (path, rest) = model::split(&args.words);
    let file = model::Header::open(path.as_deref())?;
    let tokenizer = file.tokenizer()?;
    let text = match rest {
        [] => prompt::word_or_stdin(None)?,
        [word] if word == "-" => prompt::stdin()?,
        words => words.join(" "),
    };
    let mut output = Output::stdout();
    if args.decode {
        decode(args, scene, tokenizer, &text, &mut output)?;
    } else {
        encode(args, scene, tokenizer, &text, &mut output)?;
    }
    output.finish()
}

fn encode(
    args: &Tokenize,
    scene: &Scene,
    tokenizer: &Tokenizer,
    text: &str,
    output: &mut Output,
) -> Result<()> {
    let special = if args.special { Special::Parse } else { Special::Text };
    let ids = if args.wrap {
        tokenizer.encode_wrapped(text, special)
    } else {
        tokenizer.encode(text, special)
    };
    let numbers: Vec<u32> = ids.iter().map(|id| id.0).collect();
    if scene.manner.json {
        let pieces: Vec<String> = ids.iter().map(|id| tokenizer.piece(*id)).collect();
        return output.line(&json!({ "ids": numbers, "pieces": pieces }).to_string());
    }
    if args.ids {
        let words: Vec<String> = numbers.iter().map(u32::to_string).collect();
        return output.line(&words.join(" "));
    }
    for id in ids {
        let piece = String::from_utf8_lossy(&tokenizer.token_bytes(id)).into_owned();
        output.line(&format!("{:>8}  {:?}", id.0, piece))?;
    }
    Ok(())
}

fn decode(
    args: &Tokenize,
    scene: &Scene,
    tokenizer: &Tokenizer,
    text: &str,
    output: &mut Output,
) -> Result<()> {
    let ids: Vec<TokenId> = arrays::ids(text, tokenizer.n_tokens(), "the ids")?;
    let controls = if args.special { Controls::Show } else { Controls::Hide };
    let bytes = tokenizer.decode_with(&ids, controls);
    if scene.manner.json {
        let text = String::from_utf8_lossy(&bytes);
        return output.line(&json!({ "text": text }).to_string());
    }
    output.bytes(&bytes)?;
    output.write("\n")
}
