//! Chat templates against Python's jinja2 in Hugging Face's settings.
//!
//! 48 real templates, each with 28 conversations, render byte for byte the same; a template that
//! raises does so with the same message. Where Python itself fails, any answer is good but a crash.

use std::fs;

use anyhow::{Context as _, Result, anyhow};
use serde_json::Value;
use text::template::{ChatTemplate, CivilTime, Conversation, RenderOptions, TemplateError};

use crate::fixtures::{Fixtures, Report};

/// When the goldens were made.
const NOW: &str = "2026-11-21T12:34:56";

/// Renders every golden of `templates/`.
pub(crate) fn check(fixtures: &Fixtures) -> Result<Report> {
    let read = |name: &str| {
        let path = fixtures.path("templates").join(name);
        fs::read_to_string(&path).with_context(|| path.display().to_string())
    };
    let cases: Value = serde_json::from_str(&read("cases.json")?)?;
    let about: Value = serde_json::from_str(&read("jinja/templates.json")?)?;
    let now = CivilTime::parse(NOW);
    let mut report = Report::default();
    let mut parsed: Option<(String, ChatTemplate)> = None;
    for line in read("goldens.jsonl")?.lines() {
        let golden: Value = serde_json::from_str(line)?;
        let name = golden["template"].as_str().context("a golden names its template")?;
        if parsed.as_ref().is_none_or(|(last, _)| last != name) {
            let source = read(&format!("jinja/{name}.jinja"))?;
            let template = ChatTemplate::parse(&source).with_context(|| name.to_owned())?;
            parsed = Some((name.to_owned(), template));
        }
        let template = &parsed.as_ref().context("parsed above")?.1;
        let case = golden["case"].as_str().context("a golden names its case")?;
        let list = cases["cases"].as_array().context("cases")?;
        let case = list.iter().find(|c| c["name"] == *case).context("the case exists")?;
        let options = RenderOptions {
            bos_token: about[name]["bos"].as_str().unwrap_or_default(),
            eos_token: about[name]["eos"].as_str().unwrap_or_default(),
            now,
        };
        let rendered = template.render(&conversation(case, &cases["tools"])?, &options);
        let why = disagreement(&golden, &rendered);
        report.case(why.is_none(), || {
            format!("{name}, {}: {}", golden["case"], why.clone().unwrap_or_default())
        });
    }
    Ok(report)
}

fn conversation(case: &Value, tools: &Value) -> Result<Conversation> {
    let messages = case["messages"].as_array().ok_or_else(|| anyhow!("a case has messages"))?;
    let mut conversation = Conversation::new();
    conversation.messages.clone_from(messages);
    if let Some(name) = case["tools"].as_str() {
        conversation.tools = Some(tools[name].clone());
    }
    conversation.add_generation_prompt = case["add_generation_prompt"].as_bool().unwrap_or(true);
    if let Some(extra) = case["extra"].as_object() {
        conversation.variables.clone_from(extra);
    }
    Ok(conversation)
}

/// What is wrong with a result, if anything.
fn disagreement(
    golden: &Value,
    result: &Result<text::template::Rendered, TemplateError>,
) -> Option<String> {
    match (golden["out"].as_str(), golden["kind"].as_str(), result) {
        (Some(out), _, Ok(rendered)) if out == rendered.text() => None,
        (Some(out), _, Ok(rendered)) => {
            let same = out.bytes().zip(rendered.text().bytes()).take_while(|(a, b)| a == b).count();
            let near = |text: &str| {
                let bytes = &text.as_bytes()[same.saturating_sub(20)..text.len().min(same + 40)];
                String::from_utf8_lossy(bytes).into_owned()
            };
            Some(format!("at byte {same}: {:?}, not {:?}", near(rendered.text()), near(out)))
        }
        (Some(_), _, Err(error)) => Some(format!("fails: {error}")),
        (None, Some("raise"), Err(TemplateError::Raised(message))) => {
            let expected = golden["error"].as_str().unwrap_or_default();
            (message != expected).then(|| format!("raises {message:?}, not {expected:?}"))
        }
        (None, Some("raise"), other) => Some(format!("does not raise: {other:?}")),
        (None, _, _) => None,
    }
}
