//! Chat templates: a conversation becomes the prompt that a model was trained on.
//!
//! Templates are Jinja as Hugging Face runs it: `trim_blocks`, `lstrip_blocks`, loop controls,
//! `{% generation %}`, `raise_exception`, `strftime_now`, Python's methods and Python's way of
//! printing. The interpreter is our own: whatever a template does, it ends within a counted
//! budget of steps, memory and stack ([`limits`]), reads no file and no clock, and needs no thread.
//!
//! A rendered prompt remembers, character by character, what the caller wrote. Special tokens are
//! recognised only in what the template wrote; a user who types `<|im_end|>` gets these letters.

mod arguments;
mod clock;
mod conversation;
mod filters;
mod glyphs;
mod interpreter;
mod lexer;
pub mod limits;
mod methods;
mod operators;
mod parser;
mod print;
mod rendered;
mod syntax;
mod value;

#[cfg(test)]
mod tests;

pub use clock::CivilTime;
pub use conversation::{Conversation, InvalidConversation, RenderOptions};
pub use rendered::{Part, Piece, Rendered};

use glyphs::Origin;
use limits::{Budget, SOURCE_BYTES_MAX};
use syntax::Statement;
use value::{Fail, Heap, Value};

/// Why a template cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// The template is not Jinja, or uses a part of it that is not available.
    #[error("line {line}: {message}")]
    Syntax {
        /// Line of the template, from 1.
        line: u32,
        /// What is wrong.
        message: String,
    },
    /// The template goes over one of the [`limits`].
    #[error("{}the {what} goes over the limit for templates", at(*.line))]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// Line of the template, where there is one.
        line: Option<u32>,
    },
    /// The template refused the conversation by calling `raise_exception`.
    #[error("{0}")]
    Raised(String),
    /// The template did something that Python refuses, mostly with a conversation of a shape that
    /// it does not expect.
    #[error("line {line}: {message}")]
    Wrong {
        /// Line of the template, from 1.
        line: u32,
        /// What is wrong.
        message: String,
    },
}

fn at(line: Option<u32>) -> String {
    line.map(|line| format!("line {line}: ")).unwrap_or_default()
}

/// A parsed chat template.
#[derive(Clone, Debug)]
pub struct ChatTemplate {
    statements: Vec<Statement>,
}

impl ChatTemplate {
    /// Parses a template.
    ///
    /// # Errors
    /// [`TemplateError::Syntax`] with the line, or [`TemplateError::Limit`] for a template that is
    /// too long, too deep or writes too large an integer.
    pub fn parse(source: &str) -> Result<Self, TemplateError> {
        if source.len() > SOURCE_BYTES_MAX {
            return Err(TemplateError::Limit { what: "length of the source", line: None });
        }
        Ok(Self { statements: parser::parse(source)? })
    }

    /// Makes the prompt of a conversation.
    ///
    /// # Errors
    /// [`TemplateError::Raised`] with the template's own message if it refuses the conversation;
    /// [`TemplateError::Wrong`] and [`TemplateError::Limit`] where it fails.
    pub fn render(
        &self,
        conversation: &Conversation,
        options: &RenderOptions<'_>,
    ) -> Result<Rendered, TemplateError> {
        let heap = Heap::new(Budget::for_input(conversation.bytes()));
        let (heap, variables) =
            variables(heap, conversation, options).map_err(|fail| error(fail, None))?;
        let glyphs = interpreter::render(&self.statements, heap, variables, options.now)
            .map_err(|stopped| error(stopped.fail, Some(stopped.line)))?;
        Ok(Rendered::new(&glyphs))
    }
}

fn error(fail: Fail, line: Option<u32>) -> TemplateError {
    match fail {
        Fail::Raised(message) => TemplateError::Raised(message),
        Fail::Limit(what) => TemplateError::Limit { what, line },
        Fail::Wrong(message) => TemplateError::Wrong { line: line.unwrap_or(1), message },
    }
}

/// The variables that a template sees; later ones replace earlier ones of the same name.
fn variables(
    mut heap: Heap,
    conversation: &Conversation,
    options: &RenderOptions<'_>,
) -> value::Result<(Heap, Vec<(String, Value)>)> {
    let Conversation { messages, tools, documents, add_generation_prompt, variables } =
        conversation;
    let mut list = Vec::with_capacity(messages.len());
    for message in messages {
        list.push(heap.import(message, Origin::Caller)?);
    }
    // Extra variables come first: the first of a name wins.
    let mut all = Vec::new();
    for (name, value) in variables {
        all.push((name.clone(), heap.import(value, Origin::Caller)?));
    }
    all.push(("messages".to_owned(), heap.new_list(list)?));
    for (name, given) in [("tools", tools), ("documents", documents)] {
        let value = match given {
            Some(given) => heap.import(given, Origin::Caller)?,
            None => Value::None,
        };
        all.push((name.to_owned(), value));
    }
    all.push(("add_generation_prompt".to_owned(), Value::Bool(*add_generation_prompt)));
    all.push(("bos_token".to_owned(), Value::word(options.bos_token)));
    all.push(("eos_token".to_owned(), Value::word(options.eos_token)));
    Ok((heap, all))
}
