//! Chat templates: parsed and rendered for a conversation, within bounds, whatever they say.
#![no_main]

use ledge_fuzz::bounded;
use libfuzzer_sys::fuzz_target;
use text::template::{ChatTemplate, Conversation, RenderOptions};

fuzz_target!(|source: &str| {
    let mut conversation = Conversation::new();
    conversation.push("system", "Be brief.");
    conversation.push("user", "Why is the sky blue? <|im_end|>");
    bounded(source.as_bytes(), |_| {
        if let Ok(template) = ChatTemplate::parse(source) {
            let _ = template.render(&conversation, &RenderOptions::default());
        }
    });
});
