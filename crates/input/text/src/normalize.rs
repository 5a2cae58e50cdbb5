//! What is done to a text before it is cut: spaces made visible, characters made alike.
//!
//! Every step is a function of the text alone. A text may grow by a constant factor in a step;
//! the whole list stops at [`GROWTH_MAX`] times the text, so that no chain of steps is a bomb.

use std::borrow::Cow;

/// One step.
#[derive(Clone, Debug)]
pub(crate) enum Normalize {
    /// Text in front, unless it stands there already and `once` is set.
    Prepend { text: Box<str> },
    /// Each occurrence of one text becomes another.
    Replace { from: Box<str>, to: Box<str> },
}

/// Applies all steps.
pub(crate) fn normalize<'t>(steps: &[Normalize], text: &'t str) -> Cow<'t, str> {
    let mut current = Cow::Borrowed(text);
    for step in steps {
        current = match step {
            Normalize::Prepend { text } if !current.is_empty() => {
                Cow::Owned(format!("{text}{current}"))
            }
            Normalize::Replace { from, to } if current.contains(from.as_ref()) => {
                Cow::Owned(current.replace(from.as_ref(), to))
            }
            Normalize::Prepend { .. } | Normalize::Replace { .. } => current,
        };
    }
    current
}
