//! The pre-tokenizers that `tokenizer.ggml.pre` names, as data: patterns and what comes with them.
//!
//! The names, groups and flags are those of llama.cpp's `llama-vocab.cpp` (2026-11). Where that
//! file approximates a model's own pattern because its matcher lacks character properties
//! (`gpt-4o`, `tekken`, `kimi-k2`), the model's own pattern stands here: it is what the model was
//! trained with.

use crate::cut::{Cut, DigitGroups};
use crate::error::VocabularyError;
use crate::models::bpe::WholeWord;
use crate::pattern::Pattern;

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
/// llama.cpp's form of [`GPT2`]: where white space ends a piece, one is left for what follows.
const LLAMA3: &str = r"'(?:[sS]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"'(?:[sS]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN35: &str = r"'(?:[sS]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const JAIS2: &str = r"'(?:[sS]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s";
const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const KIMI: &str = r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const YOUTU: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const YOUTU_SCRIPTS: &str = r"[\x{AC00}-\x{D7A3}\x{3131}-\x{318E}]+|[\x{FF01}\x{2026}\x{201C}\x{201D}\x{2018}\x{2019}\x{2014}\x{FF1A}\x{FF1B}\x{FF0C}\x{3001}-\x{303F}\x{FE30}-\x{FE4F}]+|[\x{3105}-\x{312F}]+|[\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+";
const DEEPSEEK_CJK: &str = r"[\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+";
const DEEPSEEK3: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##;
const SPARK: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+|[\r\n]|\s+(?!\S)|\s+"##;
/// The cased letters of Unicode 11, with a space before them.
const DEEPSEEK_LETTERS: &str = r"\s?[A-Za-z\xB5\xC0-\xD6\xD8-\xF6\xF8-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-\x{293}\x{295}-\x{2AF}\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}\x{37F}\x{386}\x{388}-\x{38A}\x{38C}\x{38E}-\x{3A1}\x{3A3}-\x{3F5}\x{3F7}-\x{481}\x{48A}-\x{52F}\x{531}-\x{556}\x{10A0}-\x{10C5}\x{13A0}-\x{13F5}\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B}\x{1D6B}-\x{1D77}\x{1D79}-\x{1D9A}\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D}\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}\x{1F50}-\x{1F57}\x{1F59}\x{1F5B}\x{1F5D}\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE}\x{1FC2}-\x{1FC4}\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}\x{1FF2}-\x{1FF4}\x{1FF6}-\x{1FFC}\x{2102}\x{2107}\x{210A}-\x{2113}\x{2115}\x{2119}-\x{211D}\x{2124}\x{2126}\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134}\x{2139}\x{213C}-\x{213F}\x{2145}-\x{2149}\x{214E}\x{2183}\x{2184}\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4}\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}\x{A640}-\x{A66D}\x{A680}-\x{A69B}\x{A722}-\x{A76F}\x{A771}-\x{A787}\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A}\x{10400}-\x{1044F}\x{104B0}-\x{104D3}\x{104D8}-\x{104FB}\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2}\x{118A0}-\x{118DF}\x{1E900}-\x{1E943}]+";
/// The model's own range begins with U+3000, which llama.cpp only ever takes for white space.
const DEEPSEEK_PUNCTUATION: &str =
    r"\s?[!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3001}\x{3002}]+";
const DEEPSEEK_HAN: &str = r"[\x{4E00}-\x{9FA5}\x{800}-\x{4E00}\x{AC00}-\x{D7FF}]+";
const AFMOE_SCRIPTS: &str = r"[\x{4E00}-\x{9FFF}\x{3400}-\x{4DBF}\x{F900}-\x{FAFF}\x{3040}-\x{309F}\x{30A0}-\x{30FF}\x{FF65}-\x{FF9F}\x{2F00}-\x{2FDF}\x{E40}-\x{E7F}\x{E80}-\x{EFF}\x{1780}-\x{17FF}\x{1000}-\x{109F}\x{AA60}-\x{AA7F}\x{A9E0}-\x{A9FF}\x{AC00}-\x{D7AF}\x{1100}-\x{11FF}]+";
const BLOOM: &str = r" ?[^(\s|.,!?\x{2026}\x{3002}\x{FF0C}\x{3001}\x{964}\x{6D4}\x{60C})]+";
const BAILING: &str = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+";
const SEED_CODER: &str = r"'(?:[sS]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+";
const UFAKZEKA: &str =
    r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const EXAONE_MOE: &str = r"'(?:[sS]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+";
const MINICPM5: &str = r"'(?:[sS]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const LINES: &str = r"[^\n]+|\n+";

/// A step, as data.
#[derive(Clone, Copy)]
enum Step {
    Pattern(&'static str),
    Groups(DigitGroups),
}

use Step::{Groups, Pattern as P};

/// What a name stands for.
struct Row {
    names: &'static [&'static str],
    steps: &'static [Step],
    whole: WholeWord,
    /// Whether a begin token is put in front unless the file says otherwise.
    add_bos: bool,
    /// Whether an end (separator) token closes the text unless the file says otherwise.
    add_sep: bool,
    /// Whether words are UTF-8 with `▁` for spaces instead of GPT-2's bytes.
    spaces: bool,
}

const PLAIN: Row = Row {
    names: &[],
    steps: &[],
    whole: WholeWord::Merge,
    add_bos: false,
    add_sep: false,
    spaces: false,
};
const TAKE: Row = Row { whole: WholeWord::Take, ..PLAIN };

/// Every name that is known, with its row.
const ROWS: &[Row] = &[
    Row {
        names: &[
            "llama3",
            "llama-v3",
            "llama-bpe",
            "falcon3",
            "falcon-h1",
            "pixtral",
            "midm-2.0",
            "lfm2",
            "jina-v5-nano",
        ],
        steps: &[P(LLAMA3)],
        add_bos: true,
        ..TAKE
    },
    Row { names: &["dbrx", "smaug-bpe", "glm4", "chatglm-bpe"], steps: &[P(LLAMA3)], ..PLAIN },
    Row { names: &["jais-2"], steps: &[P(JAIS2)], ..PLAIN },
    Row {
        names: &["deepseek-llm"],
        steps: &[
            P(r"[\r\n]"),
            P(DEEPSEEK_LETTERS),
            P(DEEPSEEK_PUNCTUATION),
            P(r"\s+$"),
            P(DEEPSEEK_HAN),
            P(r"\p{N}+"),
        ],
        ..PLAIN
    },
    Row {
        names: &["deepseek-coder"],
        steps: &[P(r"[\r\n]"), P(r"\s?\p{L}+"), P(r"\s?\p{P}+"), P(DEEPSEEK_HAN), P(r"\p{N}")],
        ..PLAIN
    },
    Row {
        names: &["deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"],
        steps: &[P(r"\p{N}{1,3}"), P(DEEPSEEK_CJK), P(DEEPSEEK3)],
        ..PLAIN
    },
    Row {
        names: &["spark2_5"],
        steps: &[P(r"\p{N}{1,3}"), P(DEEPSEEK_CJK), P(SPARK), P(r"\p{N}")],
        ..PLAIN
    },
    Row { names: &["youtu"], steps: &[P(YOUTU_SCRIPTS), P(YOUTU)], ..TAKE },
    Row {
        names: &["falcon"],
        steps: &[P(r"[\p{P}\$\+<=>\^~\|`]+"), P(GPT2), P(r"[0-9][0-9][0-9]")],
        ..PLAIN
    },
    Row {
        names: &[
            "starcoder",
            "refact",
            "command-r",
            "smollm",
            "codeshell",
            "exaone",
            "minerva-7b",
            "mellum2",
        ],
        steps: &[P(r"\p{N}"), P(GPT2)],
        ..PLAIN
    },
    Row {
        names: &[
            "gpt-2",
            "phi-2",
            "jina-es",
            "jina-de",
            "gigachat",
            "jina-v2-es",
            "jina-v2-de",
            "a.x-4.0",
            "mellum",
            "modern-bert",
            "mpt",
            "olmo",
            "jais",
            "trillion",
            "granite-docling",
            "exaone4",
        ],
        steps: &[P(GPT2)],
        ..PLAIN
    },
    Row {
        names: &["jina-v1-en", "jina-v2-code", "roberta-bpe"],
        steps: &[P(GPT2)],
        add_sep: true,
        ..PLAIN
    },
    Row {
        names: &[
            "stablelm2",
            "qwen2",
            "deepseek-r1-qwen",
            "kormo",
            "f2llmv2",
            "megrez",
            "hunyuan",
            "solar-open",
            "grok-2",
        ],
        steps: &[P(QWEN2)],
        ..PLAIN
    },
    Row { names: &["qwen35"], steps: &[P(QWEN35)], ..PLAIN },
    Row { names: &["poro-chat", "bloom", "gpt3-finnish"], steps: &[P(BLOOM)], ..PLAIN },
    Row { names: &["viking"], steps: &[P(BLOOM), P(r"\p{N}")], ..PLAIN },
    Row { names: &["tekken"], steps: &[P(TEKKEN)], add_bos: true, ..TAKE },
    Row {
        names: &["chameleon"],
        steps: &[
            P("<sentinel:[0-9]+>"),
            P("(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z"),
            P(r"([\t\n]|    |  )"),
            P(r"\p{N}"),
            P(r"[\p{P}!-/:-@\[-`{-~]"),
            P(GPT2),
        ],
        add_bos: true,
        ..PLAIN
    },
    Row {
        names: &["gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"],
        steps: &[P(GPT4O)],
        ..PLAIN
    },
    Row { names: &["granite-embed-multi-97m"], steps: &[P(GPT4O)], ..TAKE },
    Row {
        names: &["tiny_aya", "cohere2moe"],
        steps: &[Groups(DigitGroups::AtWordEnd), P(GPT4O)],
        ..PLAIN
    },
    Row { names: &["kimi-k2"], steps: &[P(KIMI)], ..PLAIN },
    Row { names: &["superbpe"], steps: &[P(r"\p{N}+"), Groups(DigitGroups::Numbers)], ..PLAIN },
    Row { names: &["bailingmoe", "bailingmoe2", "llada-moe"], steps: &[P(BAILING)], ..PLAIN },
    Row { names: &["seed-coder"], steps: &[P(SEED_CODER)], ..PLAIN },
    Row { names: &["ufakzeka"], steps: &[P(UFAKZEKA)], ..PLAIN },
    Row {
        names: &["afmoe"],
        steps: &[Groups(DigitGroups::Numbers), P(AFMOE_SCRIPTS), P(DEEPSEEK3)],
        ..PLAIN
    },
    Row { names: &["laguna"], steps: &[P(LINES), P(QWEN2)], ..PLAIN },
    Row { names: &["exaone-moe"], steps: &[P(EXAONE_MOE)], ..PLAIN },
    Row { names: &["minicpm5"], steps: &[P(r"\p{N}{1,3}"), P(MINICPM5)], ..TAKE },
    Row {
        names: &["gemma4", "granite-embed-multi-311m"],
        steps: &[P(LINES)],
        add_bos: true,
        spaces: true,
        ..PLAIN
    },
    Row { names: &["sarvam-moe"], steps: &[P(LINES)], spaces: true, ..PLAIN },
    Row {
        names: &["default"],
        steps: &[P(r"[\p{P}\$\+<=>\^~\|]+"), P(GPT2), P(r"\p{N}+"), P("[0-9][0-9][0-9]")],
        ..PLAIN
    },
];

/// A pre-tokenizer and what its name settles besides.
#[derive(Clone, Debug)]
pub(crate) struct PreTokenizer {
    pub(crate) cuts: Vec<Cut>,
    pub(crate) whole: WholeWord,
    pub(crate) add_bos: bool,
    pub(crate) add_sep: bool,
    pub(crate) spaces: bool,
}

/// The pre-tokenizer of a name; without one it is `default`.
///
/// # Errors
/// [`VocabularyError::UnknownPreTokenizer`].
pub(crate) fn named(name: Option<&str>) -> Result<PreTokenizer, VocabularyError> {
    let name = name.filter(|name| !name.is_empty()).unwrap_or("default");
    let row = ROWS
        .iter()
        .find(|row| row.names.contains(&name))
        .ok_or_else(|| VocabularyError::UnknownPreTokenizer { got: crate::error::shorten(name) })?;
    let cuts = row
        .steps
        .iter()
        .map(|step| match step {
            P(source) => Pattern::new(source).map(Cut::isolated),
            Groups(which) => Ok(Cut::DigitGroups(*which)),
        })
        .collect::<Result<_, _>>()?;
    Ok(PreTokenizer {
        cuts,
        whole: row.whole,
        add_bos: row.add_bos,
        add_sep: row.add_sep,
        spaces: row.spaces,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_compiles_and_no_name_stands_twice() {
        let mut names: Vec<&str> = ROWS.iter().flat_map(|row| row.names).copied().collect();
        for name in &names {
            assert!(named(Some(name)).is_ok(), "{name}");
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
