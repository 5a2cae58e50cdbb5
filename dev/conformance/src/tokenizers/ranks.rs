//! tiktoken's rank files, read for the checks alone.
//!
//! A rank file lists tokens in the order in which they were learned; two neighbours merge when
//! their bytes are a token, lower ranks first. The engine's tokenizers have merges instead, so
//! each token is taken apart into the two that make it: the last merge of its bytes under the
//! tokens of lower rank. tiktoken's own files and the JSON of its JavaScript twin are read.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use text::{Tokenizer, VocabularySource};

/// The tokenizer of a rank file; pattern and special tokens stand in the vectors' first line, or
/// in the file.
pub(super) fn tokenizer(file: &[u8], head: &Value) -> Result<Tokenizer> {
    let text = std::str::from_utf8(file)?;
    let mut pattern = head["pat"].as_str().context("a pattern")?.to_owned();
    let mut special = head["special"].clone();
    let mut tokens: Vec<(Vec<u8>, usize)> = Vec::new();
    if let (Some(start), Some(end)) = (text.find('{'), text.rfind('}'))
        && text.contains("bpe_ranks")
    {
        let file: Value = serde_json::from_str(text.get(start..=end).context("braces")?)?;
        file["pat_str"].as_str().context("pat_str")?.clone_into(&mut pattern);
        special = file["special_tokens"].clone();
        for line in file["bpe_ranks"].as_str().context("bpe_ranks")?.lines() {
            let mut words = line.split(' ').skip(1);
            let first: usize = words.next().context("a rank")?.parse()?;
            for (rank, word) in (first..).zip(words).filter(|(_, word)| !word.is_empty()) {
                tokens.push((base64(word)?, rank));
            }
        }
    } else {
        for line in text.lines().filter(|line| !line.is_empty()) {
            let (word, rank) = line.split_once(' ').context("a token and a rank")?;
            tokens.push((base64(word)?, rank.parse()?));
        }
    }
    build(&pattern, &special, tokens)
}

fn build(pattern: &str, special: &Value, mut ranked: Vec<(Vec<u8>, usize)>) -> Result<Tokenizer> {
    ranked.sort_by_key(|(_, rank)| *rank);
    let special: Vec<(&str, usize)> = special
        .as_object()
        .context("special tokens")?
        .iter()
        .map(|(text, id)| Some((text.as_str(), usize::try_from(id.as_u64()?).ok()?)))
        .collect::<Option<_>>()
        .context("ids of special tokens")?;
    let highest = ranked.iter().map(|token| token.1).chain(special.iter().map(|s| s.1)).max();
    let count = highest.context("an empty vocabulary")? + 1;
    ensure!(count < 1 << 22, "{count} tokens");
    let ranks: HashMap<&[u8], usize> =
        ranked.iter().map(|(bytes, rank)| (bytes.as_slice(), *rank)).collect();
    // Ids that no token has get a name that no text has.
    let mut words: Vec<String> = (0..count).map(|id| format!("\u{0}{id}")).collect();
    let mut types = vec![5; count];
    let mut merges = Vec::new();
    for (bytes, rank) in &ranked {
        words[*rank] = spell(bytes);
        types[*rank] = 1;
        if bytes.len() > 1 {
            // A token without parts is only ever taken as a whole word.
            if let Some((left, right)) = halves(&ranks, bytes, *rank) {
                merges.push(format!("{} {}", spell(left), spell(right)));
            }
        }
    }
    for (text, id) in special {
        text.clone_into(&mut words[id]);
        types[id] = 3;
    }
    let source = VocabularySource {
        model: "gpt2",
        pattern: Some(pattern),
        // tiktoken takes a word that is a token as it is, and so does this one.
        pre: Some("llama-bpe"),
        add_bos: Some(false),
        tokens: words.iter().map(String::as_str).collect(),
        types: Some(&types),
        merges: Some(merges.iter().map(String::as_str).collect()),
        ..VocabularySource::default()
    };
    Ok(Tokenizer::from_gguf(&source)?)
}

/// The two tokens whose merge is the last one that makes these bytes.
fn halves<'b>(
    ranks: &HashMap<&[u8], usize>,
    bytes: &'b [u8],
    below: usize,
) -> Option<(&'b [u8], &'b [u8])> {
    let mut ends: Vec<usize> = (0..=bytes.len()).collect();
    while ends.len() > 3 {
        let best = (0..ends.len() - 2)
            .filter_map(|at| Some((*ranks.get(&bytes[ends[at]..ends[at + 2]])?, at)))
            .min()
            .filter(|(rank, _)| *rank < below)?;
        ends.remove(best.1 + 1);
    }
    Some(bytes.split_at(ends[1]))
}

/// Bytes in GPT-2's characters: printing bytes as they are, the others from U+0100 on.
fn spell(bytes: &[u8]) -> String {
    let plain = |byte: u8| matches!(byte, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF);
    let shifted = |byte: u8| (0..byte).filter(|&b| !plain(b)).count();
    bytes
        .iter()
        .filter_map(|&byte| {
            if plain(byte) {
                Some(char::from(byte))
            } else {
                char::from_u32(u32::try_from(0x100 + shifted(byte)).ok()?)
            }
        })
        .collect()
}

fn base64(word: &str) -> Result<Vec<u8>> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut count, mut out) = (0_u32, 0_u32, Vec::new());
    for digit in word.trim_end_matches('=').bytes() {
        let value = DIGITS.iter().position(|&d| d == digit).context("not base64")?;
        bits = (bits << 6) | u32::try_from(value)?;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(bits >> count & 0xFF)?);
        }
    }
    Ok(out)
}
