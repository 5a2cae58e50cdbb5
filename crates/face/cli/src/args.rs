//! The command line: one struct for each verb, from which parsing, help, completions and man
//! pages all come.
//!
//! A flag is called the same in every verb that has it; groups that several verbs share are
//! structs of their own. Values are checked here only as far as their type goes.
#![expect(clippy::doc_markdown, reason = "the comments are the help that users read")]

mod listen;
mod picture;
mod sampling;

pub(crate) use listen::Listen;
pub(crate) use picture::{ColoursArg, FilterArg, FitArg, LayoutArg, PictureArgs};
pub(crate) use sampling::SamplingArgs;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use engine::WeightPlace;
use std::{num::NonZeroUsize, path::PathBuf};
use tensor::{Bytes, Shape};
use text::template::CivilTime;

const ABOUT: &str = "Fits models into devices, says beforehand that they fit, and runs them.";

const CODES: &str = "\
A model is a .gguf file (for a split one, any part), a folder with config.json, tokenizer.json
and .safetensors files, or a network in an .onnx or .tflite file. Where none is named, the small
model inside the program is used.

Exit codes:
  0  all is well (also when a reader closes the pipe)
  1  a fault of the program or the system, such as a full disk
  2  wrong usage or a bad value
  3  a file is missing, unreadable, damaged or not supported
  4  it does not fit: memory, or a prompt longer than the context
  8  stopped by Ctrl-C

Errors are three lines: what happened, where, and what to try.

Examples:
  ledge run \"The sea was\"
  ledge chat model.gguf
  ledge plan model.gguf --ctx 8192 --memory 2GiB";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "ledge", version, about = ABOUT, after_long_help = CODES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) manner: Manner,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// The definition that completions and man pages are made of.
pub(crate) fn definition() -> clap::Command {
    Cli::command()
}

/// How every verb speaks.
#[derive(Args, Clone, Debug)]
pub(crate) struct Manner {
    /// Print JSON: one object, or one a line while streaming
    #[arg(long, global = true, help_heading = "Output")]
    pub(crate) json: bool,
    /// Leave out the closing line, notices and progress
    #[arg(short, long, global = true, help_heading = "Output")]
    pub(crate) quiet: bool,
    /// Say more
    #[arg(short, long, global = true, help_heading = "Output", conflicts_with = "quiet")]
    pub(crate) verbose: bool,
}

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one of it")]
pub(crate) enum Verb {
    Run(Run),
    Chat(Chat),
    Plan(Plan),
    Inspect(Inspect),
    Tokenize(Tokenize),
    Template(Template),
    Quantize(Quantize),
    Embed(Embed),
    #[command(subcommand)]
    Eval(Eval),
    Bench(Bench),
    Listen(Listen),
    Completions(Completions),
    Man(Man),
}

/// How a model is loaded.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Model")]
pub(crate) struct ModelArgs {
    /// Positions to hold [default: the least of the model's own, what the memory allows, and 8192]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) ctx: Option<u64>,
    /// The most memory to take, such as 900MiB or 2GiB; what does not fit is refused
    #[arg(long, value_name = "BYTES")]
    pub(crate) memory: Option<Bytes>,
    /// Threads to use [default: one for each processor that is as fast as others]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<NonZeroUsize>,
    /// Prompt tokens that are run together
    #[arg(long, value_name = "N", default_value_t = engine::fit::CHUNK_DEFAULT,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) chunk: u64,
    /// How keys and values are stored
    #[arg(long, value_name = "TYPE", default_value = "f16")]
    pub(crate) kv: KvType,
    /// Where weights lie: packed into memory, which is fastest, or mapped from a cache file, which the
    /// system may take out of memory and the next start finds
    #[arg(long, value_name = "PLACE", default_value = "auto")]
    pub(crate) weights: Weights,
    /// The folder of cache files [default: ledge in the user's cache folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,
    /// Devices to use, the first that can
    #[arg(long, value_name = "LIST", default_value = "cpu")]
    pub(crate) device: Device,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KvType {
    /// Single precision
    F32,
    /// Half precision
    F16,
    /// Bytes with scales: half of f16
    #[value(name = "q8_0")]
    Q8,
}

impl From<KvType> for plan::KvType {
    fn from(ty: KvType) -> Self {
        match ty {
            KvType::F32 => Self::F32,
            KvType::F16 => Self::F16,
            KvType::Q8 => Self::Q8_0,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Arithmetic {
    /// TensorFlow Lite Micro's
    Tflm,
    /// LiteRT's reference kernels'
    TfliteReference,
    /// XNNPACK's
    Xnnpack,
}

impl From<Arithmetic> for ledge::Profile {
    fn from(arithmetic: Arithmetic) -> Self {
        match arithmetic {
            Arithmetic::Tflm => Self::Tflm,
            Arithmetic::TfliteReference => Self::Reference,
            Arithmetic::Xnnpack => Self::Xnnpack,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Weights {
    /// Packed if that fits the memory, else mapped
    Auto,
    Packed,
    Mapped,
}

impl From<Weights> for WeightPlace {
    fn from(place: Weights) -> Self {
        match place {
            Weights::Auto => Self::Auto,
            Weights::Packed => Self::Packed,
            Weights::Mapped => Self::Mapped,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Device {
    /// The processor.
    Cpu,
    /// Parts of networks by OpenVINO, where its library is; the rest by the processor.
    Openvino,
}

/// How a conversation is rendered.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Chat template")]
pub(crate) struct TemplateArgs {
    /// Use this chat template (a Jinja file) instead of the model's own
    #[arg(long, value_name = "FILE")]
    pub(crate) template: Option<PathBuf>,
    /// Set a variable of the template, such as enable_thinking=false (JSON, else text)
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    pub(crate) set: Vec<(String, serde_json::Value)>,
    /// The time that templates print, such as 2026-11-21T12:34:56 [default: now, in UTC]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) now: Option<CivilTime>,
}

fn variable(text: &str) -> Result<(String, serde_json::Value), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    let parsed = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    Ok((name.to_owned(), parsed))
}

fn time(text: &str) -> Result<CivilTime, String> {
    CivilTime::parse(text).ok_or_else(|| "write a time such as 2026-11-21T12:34:56".to_owned())
}

/// Continue a text, answer it with --chat, or run a network
///
/// Of an ONNX or TFLite network: --input and --image give what it takes; outputs go to stdout, or with
/// --output to .npy files. Of a language model: the text streams to stdout as it is made, after the prompt where a person reads it and without
/// it in a pipe or a file. Ctrl-C stops; a second one leaves at once. The
/// closing line on stderr tells the time to the first token, tokens a second, and the peak memory
/// beside what was promised.
///
/// A single argument is the prompt for the model inside the program, unless it is a file, a
/// folder or a name that ends like a model's.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  ledge run \"The sea was\"
  ledge run model.gguf \"Explain tides\" --temp 0.7 --seed 1 -n 200
  ledge run model.gguf --chat \"Why is the sky blue?\"
  ledge run model.gguf - < prompt.txt > answer.txt
  ledge run model.gguf \"1, 2, 3,\" -n 8 --temp 0 --json --logprobs 5
  ledge run network.onnx --input x=x.npy --output out/
  ledge run classifier.onnx --image cat.jpg --labels labels.txt --top 5
  ledge run reader.onnx --image line.png --image-size 48x320 --ctc --labels keys.txt
  ledge run voice.onnx --input input=chunks.npy --input sr=rate.npy --steps --output out/

How a picture becomes numbers can also be said in notes beside the network (classifier.toml or
classifier.json): labels = \"labels.txt\", and a section [image] with size, shorter, fit, filter,
layout, colours, scale, mean, std, softmax, input; numbers are (byte * scale - mean) / std.")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Run {
    /// The model and the prompt; `-` reads the prompt from stdin
    #[arg(value_name = "[MODEL] PROMPT", num_args = 0..=2)]
    pub(crate) words: Vec<String>,
    /// Make the prompt a user's turn in the model's chat template
    #[arg(long, help_heading = "Chat template")]
    pub(crate) chat: bool,
    /// Instructions for the whole conversation, with --chat
    #[arg(long, value_name = "TEXT", requires = "chat", help_heading = "Chat template")]
    pub(crate) system: Option<String>,
    #[command(flatten)]
    pub(crate) template: TemplateArgs,
    /// Recognise special tokens such as <|im_end|> in the prompt; else they are text
    #[arg(long)]
    pub(crate) special: bool,
    /// Drop the beginning of a prompt that is longer than the context, and say so
    #[arg(long)]
    pub(crate) truncate: bool,
    /// Write the text to a file instead of stdout; of a network, the outputs: an .npy file, or a
    /// folder with one file for each
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// An input of a network, an .npy file; the name may be left out where there is one input
    #[arg(long, value_name = "[NAME=]FILE", help_heading = "Network")]
    pub(crate) input: Vec<String>,
    /// Run a network step by step with its states carried along: an input with one dimension more
    /// than the network takes holds a step in each row, and so do the outputs
    #[arg(long, requires = "input", conflicts_with = "image", help_heading = "Network")]
    pub(crate) steps: bool,
    /// With --steps: an input that was an output of the step before, where names do not tell
    #[arg(long, value_name = "INPUT=OUTPUT", requires = "steps", help_heading = "Network")]
    pub(crate) state: Vec<String>,
    /// Whose integer arithmetic a quantised TFLite network follows, to the byte
    #[arg(long, value_enum, default_value = "tflm", help_heading = "Network")]
    pub(crate) profile: Arithmetic,
    #[command(flatten)]
    pub(crate) passes: PassArgs,
    /// Write what ran when to a file that Chrome (chrome://tracing) and Perfetto show
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) picture: PictureArgs,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) sampling: SamplingArgs,
}

/// Talk with a model in its own chat template
///
/// Each line is a turn. Ctrl-C stops an answer and leaves the chat usable; twice leaves. `/reset`
/// begins anew, `/quit` or the end of input leaves. A model without a template is refused unless
/// --template gives one.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  ledge chat model.gguf
  ledge chat model.gguf --system \"Answer in one sentence.\" --temp 0.3
  ledge chat model.gguf --set enable_thinking=false
  printf 'Hello\\nAnd in French?\\n' | ledge chat model.gguf --json")]
pub(crate) struct Chat {
    /// The model
    #[arg(value_name = "MODEL")]
    pub(crate) path: Option<PathBuf>,
    /// Instructions for the whole conversation
    #[arg(long, value_name = "TEXT", help_heading = "Chat template")]
    pub(crate) system: Option<String>,
    #[command(flatten)]
    pub(crate) template: TemplateArgs,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) sampling: SamplingArgs,
}

/// Say where every byte goes, and whether it fits
///
/// Nothing is loaded. With --memory the answer is yes, or exit code 4 with the nearest settings
/// that fit.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  ledge plan model.gguf
  ledge plan model.gguf --ctx 8192 --memory 2GiB
  ledge plan model.gguf --kv f32 --json
  ledge plan network.onnx --shape x=1,3,640,640 --memory 64MiB")]
pub(crate) struct Plan {
    /// The model
    #[arg(value_name = "MODEL")]
    pub(crate) path: Option<PathBuf>,
    /// Extents of a network's input, where the file leaves them open
    #[arg(long, value_name = "NAME=1,3,224,224", value_parser = extents, help_heading = "Network")]
    pub(crate) shape: Vec<(String, Shape)>,
    #[command(flatten)]
    pub(crate) passes: PassArgs,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
}

/// Show what a model file holds
///
/// Of a language model: architecture, sizes, types, tokenizer, template and licence keys. Of an
/// ONNX or TFLite network: inputs and outputs, operators, constants and settings.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  ledge inspect model.gguf
  ledge inspect model.gguf --tensors
  ledge inspect model.gguf --graph > graph.txt
  ledge inspect network.onnx
  ledge inspect network.onnx --graph after --shape x=1,3,224,224
  ledge inspect network.onnx --memory --svg plan.svg
  ledge inspect network.tflite --json")]
pub(crate) struct Inspect {
    /// The model
    #[arg(value_name = "MODEL")]
    pub(crate) path: Option<PathBuf>,
    /// List every tensor: name, type, shape, bytes
    #[arg(long)]
    pub(crate) tensors: bool,
    /// List every key of the header
    #[arg(long)]
    pub(crate) keys: bool,
    /// Print the graph as text; of a network, as the file has it, as imported or as it is run
    #[arg(long, value_name = "WHICH", num_args = 0..=1, default_missing_value = "before")]
    pub(crate) graph: Option<GraphForm>,
    /// Tell where the values of a network lie while it runs, and for how long
    #[arg(long, conflicts_with_all = ["graph", "tensors", "keys"], help_heading = "Network")]
    pub(crate) memory: bool,
    /// Draw that memory plan: time across, bytes up
    #[arg(long, value_name = "FILE.svg", requires = "memory", help_heading = "Network")]
    pub(crate) svg: Option<PathBuf>,
    /// Extents of a network's input, with --graph imported and after, and with --memory
    #[arg(long, value_name = "NAME=1,3,224,224", value_parser = extents, help_heading = "Network")]
    pub(crate) shape: Vec<(String, Shape)>,
    #[command(flatten)]
    pub(crate) passes: PassArgs,
}

/// Which graph of a network is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphForm {
    /// As the file has it.
    Before,
    /// As it was imported, before the passes.
    Imported,
    /// As it is run, after the passes; says which fired how often.
    After,
}

/// Passes of the graph compiler.
#[derive(Args, Debug, Default)]
pub(crate) struct PassArgs {
    /// Leave out a pass of the graph compiler; may be given several times
    #[arg(long, value_name = "NAME", help_heading = "Network")]
    pub(crate) no_pass: Vec<String>,
}

fn extents(text: &str) -> Result<(String, Shape), String> {
    let (name, list) = text.rsplit_once('=').ok_or("write NAME=1,3,224,224")?;
    let dims: Result<Vec<u64>, _> =
        list.split(',').filter(|word| !word.is_empty()).map(|word| word.trim().parse()).collect();
    let dims = dims.map_err(|_| format!("`{list}` is no list of extents"))?;
    let shape = Shape::new(&dims).ok_or("at most 8 extents")?;
    Ok((name.to_owned(), shape))
}

/// Turn text into token ids, or ids into text
///
/// Prints one token a line, id and text. Special tokens in the text stay text unless --special
/// asks for them; the tokens that begin and end a text are added with --wrap.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  ledge tokenize model.gguf \"text\"
  ledge tokenize model.gguf \"text\" --ids
  ledge tokenize model.gguf --decode 9906 1917
  ledge tokenize model.gguf - --ids < book.txt")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Tokenize {
    /// The model and the text; `-` reads the text from stdin. With --decode: the model and ids
    #[arg(value_name = "[MODEL] TEXT")]
    pub(crate) words: Vec<String>,
    /// Print the ids alone, on one line
    #[arg(long, conflicts_with = "decode")]
    pub(crate) ids: bool,
    /// Turn ids into text
    #[arg(long)]
    pub(crate) decode: bool,
    /// Recognise special tokens in the text; with --decode: show them
    #[arg(long)]
    pub(crate) special: bool,
    /// Add the tokens that begin and end a text
    #[arg(long, conflicts_with = "decode")]
    pub(crate) wrap: bool,
}

/// Show the prompt that a chat template makes of a conversation
///
/// The file of messages holds a list of messages, or an object with `messages` and, if wanted,
/// `tools`, `add_generation_prompt` and `chat_template_kwargs`. A template file may stand for the
/// model.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  ledge template model.gguf --messages chat.json
  ledge template model.gguf --messages - --now 2026-11-21 < chat.json
  ledge template chatml.jinja --messages chat.json --json")]
#[expect(clippy::struct_field_names, reason = "the group of flags is called that everywhere")]
pub(crate) struct Template {
    /// The model, or a template file (.jinja)
    #[arg(value_name = "MODEL")]
    pub(crate) path: Option<PathBuf>,
    /// The conversation, a JSON file; `-` reads stdin
    #[arg(long, value_name = "FILE")]
    pub(crate) messages: PathBuf,
    #[command(flatten)]
    pub(crate) template: TemplateArgs,
    /// Print the source of the template instead
    #[arg(long)]
    pub(crate) source: bool,
}

/// Write a model with other types
///
/// Types are named as llama.cpp names its mixes: q4_0, q4_k_s, q4_k_m, q5_k_m, q6_k, q8_0, f16,
/// bf16 and others; rows that do not suit a type fall back as there.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  ledge quantize in.gguf out.gguf q4_k_m
  ledge quantize in.gguf out.gguf q8_0 --threads 4")]
pub(crate) struct Quantize {
    /// The model to read
    #[arg(value_name = "IN")]
    pub(crate) input: PathBuf,
    /// The file to write
    #[arg(value_name = "OUT")]
    pub(crate) output: PathBuf,
    /// The mix of types
    #[arg(value_name = "TYPE")]
    pub(crate) mix: String,
    /// Threads to use [default: one for each processor]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<NonZeroUsize>,
}

/// Turn texts into vectors
///
/// Prints a JSON object a line, or writes a .npy file of [texts, width] f32. Without texts on the
/// command line, each line of stdin is one.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  ledge embed minilm/ \"a sentence\" \"another\"
  ledge embed minilm/ --output vectors.npy < sentences.txt
  ledge embed model.gguf \"a sentence\" --pooling last --normalize no")]
pub(crate) struct Embed {
    /// The model
    #[arg(value_name = "MODEL")]
    pub(crate) path: PathBuf,
    /// Texts
    #[arg(value_name = "TEXT")]
    pub(crate) texts: Vec<String>,
    /// How rows become one vector [default: the model's own way]
    #[arg(long, value_name = "HOW")]
    pub(crate) pooling: Option<PoolingName>,
    /// Whether vectors get unit length [default: as the model is meant]
    #[arg(long, value_name = "HOW")]
    pub(crate) normalize: Option<NormalizeName>,
    /// Write the vectors to a .npy file
    #[arg(short, long, visible_alias = "out", value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PoolingName {
    Mean,
    #[value(alias = "cls")]
    First,
    Last,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum NormalizeName {
    #[value(alias = "yes", alias = "l2")]
    Unit,
    No,
}

/// Measure quality on your own data
#[derive(Debug, Subcommand)]
pub(crate) enum Eval {
    Ppl(EvalPpl),
    Logits(EvalLogits),
    Kl(EvalKl),
    Sts(EvalSts),
}

/// Perplexity of a text, in llama-perplexity's way
///
/// The text is cut into windows of --ctx tokens and the second half of each is scored; with
/// --stride, windows overlap and the last N tokens of each are scored.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  ledge eval ppl model.gguf --file text.txt
  ledge eval ppl model.gguf --file text.txt --ctx 2048 --stride 512 --json")]
pub(crate) struct EvalPpl {
    /// The model
    #[arg(value_name = "MODEL")]
    pub(crate) path: Option<PathBuf>,
    /// The text; `-` reads stdin
    #[arg(long, value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Tokens between the beginnings of two windows
    #[arg(long, value_name = "N")]
    pub(crate) stride: Option<NonZeroUsize>,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
}

/// Logits at every position of given tokens
///
/// Writes a .npy file of [positions, vocabulary] f32; the tokens are given, not sampled.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  ledge eval logits model.gguf --ids ids.json --out logits.npy
  ledge eval logits model.gguf --ids ids.json --out logits.npy --kv f32")]
pub(crate) struct EvalLogits {
    /// The model
    #[arg(value_name = "MODEL")]
    pub(crate) path: Option<PathBuf>,
    /// Token ids: a JSON list, or numbers; `-` reads stdin
    #[arg(long, value_name = "FILE")]
    pub(crate) ids: PathBuf,
    /// The file to write
    #[arg(short, long, visible_alias = "out", value_name = "FILE")]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
}

/// How far one model's answers are from another's
///
/// Kullback-Leibler divergence over the positions of a text (mean, 99 % and maximum), and the
/// share of positions with the same most probable token.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  ledge eval kl base.gguf other.gguf --file text.txt
  ledge eval kl base.gguf other.gguf --file text.txt --ctx 1024 --json")]
pub(crate) struct EvalKl {
    /// The model to compare with
    #[arg(value_name = "BASE")]
    pub(crate) base: PathBuf,
    /// The model to judge
    #[arg(value_name = "OTHER")]
    pub(crate) other: PathBuf,
    /// The text; `-` reads stdin
    #[arg(long, value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
}

/// Rank correlation of vectors with people's judgement
///
/// The file has a line for each pair: score, sentence, sentence, separated by tabs. Prints
/// Spearman's correlation of the cosines with the scores.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  ledge eval sts minilm/ --file pairs.tsv
  ledge eval sts minilm/ --file pairs.tsv --json")]
pub(crate) struct EvalSts {
    /// The model
    #[arg(value_name = "MODEL")]
    pub(crate) path: PathBuf,
    /// Pairs of sentences; `-` reads stdin
    #[arg(long, value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
}

/// Measure speed
///
/// Of a language model: runs a prompt from an empty sequence, and generates tokens behind it or behind
/// as many positions as --depth says, several times after a first run that warms up. Prints the median
/// rates, the spread of the time that a token takes, and the peak memory beside the promise. With
/// --limits, also what the machine could do in the same seconds; with --kernels, where the time goes.
///
/// Of an ONNX or TFLite network: runs it on random inputs, the same each time, for about a second.
/// Prints the median time, its spread, load time, peak memory, and each operator's time beside the
/// machine's limits; with --compare, another runtime's on the same inputs, in turns with ours.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  ledge bench model.gguf
  ledge bench model.gguf --prompt 512 -n 128 --repeat 5 --threads 4
  ledge bench model.gguf --depth 0,4096 --limits --json
  ledge bench model.gguf --prompt 512 --kernels
  ledge bench --limits --prompt 0 -n 0
  ledge bench network.onnx --shape x=1,3,640,640 --compare onnxruntime
  ledge bench network.tflite --threads 1 --compare litert --json")]
pub(crate) struct Bench {
    /// The model
    #[arg(value_name = "MODEL")]
    pub(crate) path: Option<PathBuf>,
    /// Tokens of the prompt; 0 measures generation only
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub(crate) prompt: u64,
    /// Tokens to generate; 0 measures the prompt only
    #[arg(short, value_name = "N", default_value_t = 64)]
    pub(crate) n: u64,
    /// Positions behind which tokens are generated, several separated by commas [default: the
    /// prompt's]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) depth: Vec<u64>,
    /// Runs, after one that is not counted [default: 3, of networks as many as fit into a second]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) repeat: Option<u64>,
    /// Measure what memory and processor can do, before and after; the peak memory is not told then
    #[arg(long)]
    pub(crate) limits: bool,
    /// Instructions to use of those that the processor has, such as avx2; of a network always the
    /// best [default: the best]
    #[arg(long, value_name = "NAME")]
    pub(crate) isa: Option<cpu::Isa>,
    /// Show each kernel's share of the time and of the machine's limits
    #[arg(long)]
    pub(crate) kernels: bool,
    /// Extents of an input, where the file leaves them open
    #[arg(long, value_name = "NAME=1,3,224,224", value_parser = extents, help_heading = "Network")]
    pub(crate) shape: Vec<(String, Shape)>,
    /// An input's elements: an array of a file, or one number for all of them
    #[arg(long, value_name = "NAME=FILE.npy|NUMBER", help_heading = "Network")]
    pub(crate) input: Vec<String>,
    /// Another runtime to run on the same inputs, through a Python on PATH that has it
    #[arg(long, value_name = "RUNTIME", help_heading = "Network")]
    pub(crate) compare: Option<Peer>,
    #[command(flatten)]
    pub(crate) passes: PassArgs,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
}

/// Runtimes of networks that can be compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    /// ONNX Runtime, from the package onnxruntime
    Onnxruntime,
    /// LiteRT with XNNPACK, from the package ai-edge-litert
    Litert,
    /// LiteRT for microcontrollers, from the package tflite-micro
    TfliteMicro,
}

impl Peer {
    /// The name on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Onnxruntime => "onnxruntime",
            Self::Litert => "litert",
            Self::TfliteMicro => "tflite-micro",
        }
    }
}

/// Print the completions of a shell
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  ledge completions bash > /etc/bash_completion.d/ledge
  ledge completions fish > ~/.config/fish/completions/ledge.fish")]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

/// Write the manual pages into a folder
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  ledge man /usr/local/share/man/man1")]
pub(crate) struct Man {
    /// The folder
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_definition_is_sound() {
        super::definition().debug_assert();
    }
}
