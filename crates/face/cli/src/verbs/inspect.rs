//! `ledge inspect`: what a model file holds.

use super::Scene;
use crate::{
    args::{GraphForm, Inspect},
    failure::{Failure, Result, chain},
    model,
    output::Output,
};
use engine::{EngineError, ModelFile};
use formats::{Label, TensorTable, gguf::Gguf};
use import::{Options, Output as Wanted};
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, path::Path};
use tensor::Bytes;

/// Keys that say who made a model and what may be done with it.
const LICENCE_KEYS: [&str; 9] = [
    "general.author",
    "general.organization",
    "general.license",
    "general.license.name",
    "general.license.link",
    "general.url",
    "general.source.url",
    "general.repo_url",
    "general.source.repo_url",
];

mod network;

/// Shows it.
pub(crate) fn run(args: &Inspect, scene: &Scene) -> Result<()> {
    let mut output = Output::stdout();
    if let Some(form @ (GraphForm::Imported | GraphForm::After)) = args.graph
        && let Some(network) = model::open_network(args.path.as_deref(), &args.passes)?
    {
        return super::network::graphs(&args.shape, form, &network);
    }
    if args.memory {
        let Some(network) = model::open_network(args.path.as_deref(), &args.passes)? else {
            return Err(Failure::usage(
                "the memory plan of a language model is told by `ledge plan`",
            )
            .at("--memory")
            .hint("name an .onnx or .tflite file"));
        };
        return super::network::memory(&args.shape, args.svg.as_deref(), &network);
    }
    if let Some(path) = &args.path
        && let Some((kind, file)) = model::network(path)?
    {
        let label = path.display().to_string();
        network::show(&label, kind, &file, args, scene, &mut output)?;
        return output.finish();
    }
    let known = match &args.path {
        Some(path) => ModelFile::open(path),
        None => ModelFile::from_memory(ledge::EMBEDDED_MODEL),
    };
    match known {
        Ok(file) if args.graph.is_some() => output.write(&graph(&file)?)?,
        Ok(file) => {
            let view = View {
                label: file.label(),
                file: Some(&file),
                gguf: file.gguf(),
                tensors: file.model().tensors.table(),
                unsupported: None,
            };
            view.show(args, scene, &mut output)?;
        }
        // The header can be shown, though the model cannot be run.
        Err(EngineError::Import { file, source }) if args.graph.is_none() => {
            let gguf = model::header(args.path.as_deref().unwrap_or(Path::new(&file)))?;
            let view = View {
                label: &file,
                file: None,
                gguf: Some(&gguf),
                tensors: gguf.tensors(),
                unsupported: Some(chain(&source)),
            };
            view.show(args, scene, &mut output)?;
        }
        Err(error) => return Err(error.into()),
    }
    output.finish()
}

fn graph(file: &ModelFile) -> Result<String> {
    let model = file.model();
    let context = model.settings.context.clamp(1, engine::fit::CONTEXT_DEFAULT);
    let output = if model.family.encoder { Wanted::Hidden } else { Wanted::Logits };
    let tokens = context.min(engine::fit::CHUNK_DEFAULT);
    let options = Options { tokens, rows: 1, context, kv: plan::KvType::F16, output };
    let built = model.build(&options);
    let built = built
        .map_err(|source| EngineError::Import { file: file.label().to_owned(), source })
        .map_err(Failure::from)?;
    Ok(graph::text::print(&built.graph))
}

struct View<'a> {
    label: &'a str,
    file: Option<&'a ModelFile>,
    gguf: Option<&'a Gguf>,
    tensors: &'a TensorTable,
    unsupported: Option<String>,
}

impl View<'_> {
    fn show(&self, args: &Inspect, scene: &Scene, output: &mut Output) -> Result<()> {
        if scene.manner.json {
            return output.line(&self.object(args).to_string());
        }
        for (name, value) in self.facts() {
            output.line(&format!("{name:<14} {}", words(&value)))?;
        }
        for (name, value) in self.licence() {
            output.line(&format!("{name:<14} {}", words(&value)))?;
        }
        if args.keys
            && let Some(gguf) = self.gguf
        {
            output.line("")?;
            for (key, value) in gguf.metadata().iter() {
                output.line(&format!("{}  {}", Label::new(key), value.describe()))?;
            }
        }
        if args.tensors {
            output.line("")?;
            let width = self.tensors.iter().map(|tensor| tensor.name.len()).max().unwrap_or(0);
            for tensor in self.tensors {
                let (ty, shape, bytes) = (tensor.ty.name(), tensor.shape, tensor.bytes);
                let name = Label::new(&tensor.name);
                output.line(&format!("{name:<width$}  {ty:<8} {shape:<16} {bytes}"))?;
            }
        }
        Ok(())
    }

    /// What the file is, in the order in which it is shown.
    fn facts(&self) -> Vec<(&'static str, Value)> {
        let mut facts: Vec<(&'static str, Value)> = vec![("model", json!(self.label))];
        let mut add = |name, value: Option<Value>| {
            facts.extend(value.filter(|value| !value.is_null()).map(|value| (name, value)));
        };
        let key = |name: &str| self.gguf.and_then(|gguf| gguf.metadata().get_str(name).ok());
        add("name", key("general.name").map(|name| json!(Label::new(name).as_str())));
        add(
            "architecture",
            key("general.architecture").map(|name| json!(Label::new(name).as_str())),
        );
        add("unsupported", self.unsupported.as_ref().map(|why| json!(why)));
        if let Some(file) = self.file {
            let settings = &file.model().settings;
            add("family", Some(json!(file.model().family.name)));
            add("layers", Some(json!(settings.layers)));
            add("width", Some(json!(settings.width)));
            add("heads", Some(json!(settings.heads)));
            add("kv_heads", Some(json!(settings.kv_heads)));
            add("head_dim", Some(json!(settings.head_dim)));
            add("hidden", Some(json!(settings.hidden)));
            add("context", Some(json!(settings.context)));
            add("window", settings.window.map(|window| json!(window)));
            add("vocabulary", Some(json!(settings.vocabulary)));
            add("experts", settings.experts.map(|experts| json!(experts.count)));
            add("experts_used", settings.experts.map(|experts| json!(experts.used)));
        }
        let elements =
            self.tensors.iter().filter_map(|tensor| tensor.shape.elements()).sum::<u64>();
        add("parameters", Some(json!(elements)));
        let bytes: Bytes = self.tensors.iter().map(|tensor| tensor.bytes).sum();
        add("bytes", Some(json!(bytes.0)));
        let mut types: BTreeMap<&str, u64> = BTreeMap::new();
        for tensor in self.tensors {
            *types.entry(tensor.ty.name()).or_default() += 1;
        }
        add("types", Some(json!(types)));
        add("tokenizer", key("tokenizer.ggml.model").map(|name| json!(Label::new(name).as_str())));
        add(
            "pre_tokenizer",
            key("tokenizer.ggml.pre").map(|name| json!(Label::new(name).as_str())),
        );
        let template = self.file.map(|file| file.template().is_some());
        add("chat_template", template.map(|has| json!(has)));
        facts
    }

    fn licence(&self) -> Vec<(String, Value)> {
        let Some(gguf) = self.gguf else { return Vec::new() };
        let found = LICENCE_KEYS.iter().filter_map(|key| {
            let text = gguf.metadata().get_str(key).ok()?;
            let name = key.trim_start_matches("general.").replace('.', "_");
            Some((name, json!(Label::new(text).as_str())))
        });
        found.collect()
    }

    fn object(&self, args: &Inspect) -> Value {
        let mut object = Map::new();
        for (name, value) in self.facts() {
            object.insert(name.to_owned(), value);
        }
        object.extend(self.licence());
        if args.keys
            && let Some(gguf) = self.gguf
        {
            let keys = gguf.metadata().iter();
            let keys = keys.map(|(key, value)| (key.to_owned(), json!(value.describe().as_str())));
            object.insert("keys".to_owned(), Value::Object(keys.collect()));
        }
        if args.tensors {
            let list = self.tensors.iter().map(|tensor| {
                json!({
                    "name": tensor.name,
                    "type": tensor.ty.name(),
                    "shape": tensor.shape.dims(),
                    "bytes": tensor.bytes.0,
                })
            });
            object.insert("tensors".to_owned(), list.collect());
        }
        Value::Object(object)
    }
}

/// A value for a person.
fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(entries) => {
            let parts: Vec<String> =
                entries.iter().map(|(name, count)| format!("{count} {name}")).collect();
            parts.join(", ")
        }
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        other => other.to_string(),
    }
}
