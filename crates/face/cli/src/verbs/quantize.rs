//! `ledge quantize`: a model in other types.

use super::Scene;
use crate::{
    args::Quantize,
    failure::{Exit, Failure, Result, chain},
    model,
    output::{Output, counted, say},
    watch::Watch,
};
use cpu::pool::Pool;
use engine::{
    EngineError, ModelFile,
    quantize::{Conversion, Mix, QuantizeError, Summary},
    store::Origin,
};
use formats::{FormatError, gguf::Gguf};
use serde_json::json;
use std::{num::NonZeroUsize, sync::Arc, thread};

/// Writes the file.
pub(crate) fn run(args: &Quantize, scene: &Scene) -> Result<()> {
    let names: Vec<&str> = Mix::all().map(Mix::name).collect();
    let mix: Mix = args.mix.parse().map_err(|_| {
        Failure::usage(format!("no mix of types is called `{}`", args.mix.escape_debug()))
            .at("TYPE")
            .hint(format!("one of {}", names.join(", ")))
    })?;
    let source = Source::open(args)?;
    let conversion = Conversion::new(source.gguf(), mix).map_err(|error| named(error, args))?;
    let summary = conversion.summary();
    if summary.requantized > 0 && !scene.manner.quiet && !scene.manner.json {
        let count = counted(summary.requantized, "tensor");
        say(format_args!("note: {count} quantised before will lose a second time"));
    }
    let threads = args.threads.or_else(|| thread::available_parallelism().ok());
    let pool = Pool::new(threads.unwrap_or(NonZeroUsize::MIN))
        .map_err(|error| Failure::new(Exit::Ours, format!("threads: {error}")))?;
    let mut output = Output::open(Some(&args.output))?;
    let origins = source.origins();
    let mut read = |file: u32, offset: u64, out: &mut [u8]| -> Result<()> {
        let origin = origins.get(file as usize);
        let origin =
            origin.ok_or_else(|| Failure::new(Exit::Ours, "a part of the model is gone"))?;
        Ok(origin.read_at(offset, out)?)
    };
    let watch = Watch::new(&scene.interrupt, &scene.manner, "writing");
    let written: Result<()> = conversion.write(&mut read, &pool, &mut output, &watch);
    drop(watch);
    written?;
    output.finish()?;
    report(args, scene, &summary, mix)
}

fn report(args: &Quantize, scene: &Scene, summary: &Summary, mix: Mix) -> Result<()> {
    let mut output = Output::stdout();
    if scene.manner.json {
        let object = json!({
            "output": args.output.display().to_string(),
            "type": mix.name(),
            "tensors": summary.tensors,
            "converted": summary.converted,
            "requantized": summary.requantized,
            "source_bytes": summary.source_bytes.0,
            "bytes": summary.bytes.0,
        });
        output.line(&object.to_string())?;
    } else if !scene.manner.quiet {
        say(format_args!(
            "{}: {} tensors, {} converted, {} of {}",
            args.output.display(),
            summary.tensors,
            summary.converted,
            summary.bytes,
            summary.source_bytes
        ));
    }
    output.finish()
}

/// The model to read: known, or a single file whose architecture is not.
enum Source {
    Known(Box<ModelFile>),
    Header(Box<Gguf>, Arc<[Origin]>),
}

impl Source {
    fn open(args: &Quantize) -> Result<Self> {
        match ModelFile::open(&args.input) {
            Ok(file) if file.gguf().is_some() => Ok(Self::Known(Box::new(file))),
            Ok(file) => Err(Failure::new(Exit::File, "only GGUF files can be quantised")
                .at(file.label())
                .hint("convert the folder to a GGUF file of type f16 first")),
            Err(EngineError::Import { .. }) => {
                let origin = Origin::open(&args.input)?;
                Ok(Self::Header(Box::new(model::header(&args.input)?), [origin].into()))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn gguf(&self) -> &Gguf {
        match self {
            Self::Known(file) => file.gguf().expect("checked when it was opened"),
            Self::Header(gguf, _) => gguf,
        }
    }

    fn origins(&self) -> &[Origin] {
        match self {
            Self::Known(file) => file.origins(),
            Self::Header(_, origins) => origins,
        }
    }
}

fn named(error: QuantizeError, args: &Quantize) -> Failure {
    Failure::from(error).at(args.input.display())
}

impl From<QuantizeError> for Failure {
    fn from(error: QuantizeError) -> Self {
        match error {
            QuantizeError::Cancelled { .. } => Self::cancelled(),
            QuantizeError::Write(error) => Self::writing("the new file", &error),
            other => Self::new(Exit::File, chain(&other))
                .hint("`ledge inspect --tensors` lists names and types"),
        }
    }
}

impl From<FormatError> for Failure {
    fn from(error: FormatError) -> Self {
        match error {
            FormatError::Io(error) => Self::writing("the new file", &error),
            other => Self::new(Exit::File, chain(&other)),
        }
    }
}
