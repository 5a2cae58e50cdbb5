//! `ledge template`, and how every verb comes to a chat template.

use super::Scene;
use crate::{
    args::{Template, TemplateArgs},
    failure::{self, Exit, Failure, Result},
    model,
    output::Output,
    prompt,
};
use engine::{EngineError, ModelFile};
use ledge::{ChatTemplate, CivilTime, Conversation, LanguageModel};
use serde_json::{Value, json};
use std::{
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};
use text::template::{Part, RenderOptions};

/// The source of the template to use: the one that is named, else the model's own.
pub(crate) fn source(file: &ModelFile, args: &TemplateArgs) -> Result<String> {
    if let Some(path) = &args.template {
        return prompt::read(path);
    }
    let lacks = || EngineError::Lacks { file: file.label().to_owned(), what: "chat template" };
    Ok(file.template().ok_or_else(lacks)?.to_owned())
}

/// A chat in the template that the flags ask for.
pub(crate) fn chat(lm: &LanguageModel, args: &TemplateArgs) -> Result<ledge::Chat> {
    let source = source(lm.engine().model(), args)?;
    let mut chat = ledge::Chat::with_template(lm, &source)?.at(time(args));
    chat.conversation().variables.extend(args.set.iter().cloned());
    Ok(chat)
}

fn time(args: &TemplateArgs) -> CivilTime {
    args.now.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        CivilTime::from_unix(i64::try_from(now.as_secs()).unwrap_or(0))
    })
}

/// Renders a conversation.
pub(crate) fn run(args: &Template, scene: &Scene) -> Result<()> {
    let (source, bos, eos) = parts_of(args)?;
    let mut output = Output::stdout();
    if args.source {
        output.write(&source)?;
        return output.finish();
    }
    let text = prompt::read(&args.messages)?;
    let mut conversation = Conversation::from_json(&text).map_err(|error| {
        Failure::usage(&error)
            .at(args.messages.display())
            .hint("write a list of {\"role\": …, \"content\": …}, or an object with `messages`")
    })?;
    conversation.variables.extend(args.template.set.iter().cloned());
    let options =
        RenderOptions { bos_token: &bos, eos_token: &eos, now: Some(time(&args.template)) };
    let template = ChatTemplate::parse(&source);
    let rendered = template.and_then(|template| template.render(&conversation, &options));
    let rendered = rendered.map_err(|error| failure::template(&error))?;
    if scene.manner.json {
        let parts = rendered.parts();
        let parts: Vec<Value> = parts
            .iter()
            .map(|part| match part {
                Part::Scaffold(text) => json!({ "by": "template", "text": text }),
                Part::Caller(text) => json!({ "by": "caller", "text": text }),
            })
            .collect();
        output.line(&json!({ "prompt": rendered.text(), "parts": parts }).to_string())?;
    } else {
        output.write(rendered.text())?;
    }
    output.finish()
}

/// The template's source and the texts of the tokens that begin and end a text.
fn parts_of(args: &Template) -> Result<(String, String, String)> {
    if let Some(path) = args.path.as_deref()
        && is_template(path)
    {
        return Ok((prompt::read(path)?, String::new(), String::new()));
    }
    // Header and vocabulary are enough: the architecture need not be known.
    let file = model::Header::open(args.path.as_deref())?;
    let (bos, eos) = file.edge_tokens();
    let source = match (&args.template.template, file.template()) {
        (Some(path), _) => prompt::read(path)?,
        (None, Some(source)) => source.to_owned(),
        (None, None) => {
            return Err(Failure::new(Exit::File, "the model has no chat template")
                .at(file.label())
                .hint("give one with --template FILE"));
        }
    };
    Ok((source, bos, eos))
}

/// Whether a path stands for a template alone.
fn is_template(path: &Path) -> bool {
    let suffix = path.extension().and_then(|suffix| suffix.to_str()).unwrap_or("");
    ["jinja", "jinja2", "j2", "tmpl", "txt"].iter().any(|known| suffix.eq_ignore_ascii_case(known))
}
