//! What is said so far, in the shape that templates read.
//!
//! Messages stay JSON: templates look into them in ways that no type foresees (tool calls,
//! reasoning, content in parts). Strings of a conversation are the caller's; only the word of a
//! message's `role` counts as the template's, since templates build special tokens from it.

use serde_json::{Map, Value as Json, json};

use super::clock::CivilTime;

/// A conversation and what belongs to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Conversation {
    /// Messages: objects with `role` and `content`, and what the template knows beside them.
    pub messages: Vec<Json>,
    /// Descriptions of tools; `None` without.
    pub tools: Option<Json>,
    /// Documents to answer from; `None` without.
    pub documents: Option<Json>,
    /// Whether the prompt ends where the assistant begins to speak.
    pub add_generation_prompt: bool,
    /// Further variables of the template, such as `enable_thinking`.
    pub variables: Map<String, Json>,
}

/// Text that is no conversation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidConversation {
    /// It is not JSON.
    #[error("not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A part of it has the wrong type.
    #[error("`{place}` must be {wanted}")]
    Shape {
        /// Where, as a path.
        place: String,
        /// What should stand there.
        wanted: &'static str,
    },
}

impl Default for Conversation {
    fn default() -> Self {
        Self {
            messages: Vec::new(),
            tools: None,
            documents: None,
            add_generation_prompt: true,
            variables: Map::new(),
        }
    }
}

impl Conversation {
    /// A conversation in which nothing has been said.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a message of text.
    pub fn push(&mut self, role: &str, content: &str) {
        self.messages.push(json!({ "role": role, "content": content }));
    }

    /// Reads a list of messages, or an object with `messages` and, if wanted, `tools`,
    /// `documents`, `add_generation_prompt` and `chat_template_kwargs`.
    ///
    /// # Errors
    /// [`InvalidConversation`] names the place that is wrong.
    pub fn from_json(text: &str) -> Result<Self, InvalidConversation> {
        let shape =
            |place: &str, wanted| InvalidConversation::Shape { place: place.into(), wanted };
        let mut object = match serde_json::from_str(text)? {
            Json::Array(messages) => Map::from_iter([("messages".to_owned(), messages.into())]),
            Json::Object(object) => object,
            _ => return Err(shape("", "a list of messages or an object with `messages`")),
        };
        let Some(Json::Array(messages)) = object.remove("messages") else {
            return Err(shape("messages", "a list of messages"));
        };
        for (index, message) in messages.iter().enumerate() {
            if !message.get("role").is_some_and(Json::is_string) {
                let place = format!("messages[{index}].role");
                return Err(shape(&place, "a string such as \"user\""));
            }
        }
        let add_generation_prompt = match object.remove("add_generation_prompt") {
            None | Some(Json::Null) => true,
            Some(Json::Bool(add)) => add,
            Some(_) => return Err(shape("add_generation_prompt", "true or false")),
        };
        let variables = match object.remove("chat_template_kwargs") {
            None | Some(Json::Null) => Map::new(),
            Some(Json::Object(variables)) => variables,
            Some(_) => return Err(shape("chat_template_kwargs", "an object")),
        };
        let mut list = |name: &str| match object.remove(name) {
            None | Some(Json::Null) => Ok(None),
            Some(list @ Json::Array(_)) => Ok(Some(list)),
            Some(_) => Err(shape(name, "a list")),
        };
        let (tools, documents) = (list("tools")?, list("documents")?);
        Ok(Self { messages, tools, documents, add_generation_prompt, variables })
    }

    /// Roughly the size of all that is said, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let lists = self.messages.iter().chain(&self.tools).chain(&self.documents);
        lists.chain(self.variables.values()).map(|value| size(value, 0)).sum()
    }
}

fn size(value: &Json, depth: usize) -> usize {
    // What lies deeper is refused when it is imported.
    if depth > super::limits::NESTING_MAX {
        return 0;
    }
    match value {
        Json::String(text) => text.len(),
        Json::Array(items) => items.iter().map(|item| size(item, depth + 1)).sum::<usize>() + 8,
        Json::Object(entries) => {
            entries.iter().map(|(key, value)| key.len() + size(value, depth + 1)).sum::<usize>() + 8
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => 8,
    }
}

/// What a template is told beside the conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RenderOptions<'a> {
    /// Text of the token that begins a sequence; empty if there is none.
    pub bos_token: &'a str,
    /// Text of the token that ends one; empty if there is none.
    pub eos_token: &'a str,
    /// What `strftime_now` prints. Without it the function is not defined, and templates that can
    /// do without leave the date out.
    pub now: Option<CivilTime>,
}
