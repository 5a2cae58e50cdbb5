//! Why a network cannot be imported, by what the caller can do about it.

use crate::network::HostError;
use std::fmt;

/// Something that a file uses and that is not known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// The operator, with its domain unless that is ONNX's own.
    pub op: String,
    /// The opset of the operator's domain in the model.
    pub version: i64,
    /// The node's name, or the name of its first output.
    pub node: String,
    /// What about it: the operator itself, an attribute, a type.
    pub reason: String,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [op, node, reason] = [&self.op, &self.node, &self.reason].map(|text| Clean(text));
        write!(f, "{op} (opset {}) of node `{node}`: {reason}", self.version)
    }
}

/// Why a network cannot be imported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// Names or order of the nodes make no graph.
    #[error("node `{}`: {}", Clean(node), Clean(reason))]
    Structure {
        /// The node's name, or the name of its first output.
        node: String,
        /// What is wrong.
        reason: String,
    },
    /// A node breaks its operator's rules.
    #[error("node `{}` ({}): {}", Clean(node), Clean(op), Clean(reason))]
    Node {
        /// The node's name, or the name of its first output.
        node: String,
        /// The operator.
        op: String,
        /// What is wrong.
        reason: String,
    },
    /// Everything that is not supported.
    #[error("{}", list(.0))]
    Unsupported(Vec<Unsupported>),
    /// An input does not fit what the file declares.
    #[error("input `{}`: {}", Clean(name), Clean(reason))]
    Input {
        /// The input.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// Values are needed that only a run gives.
    #[error("node `{}` ({}) needs values that only a run gives", Clean(node), Clean(op))]
    Pending {
        /// The node's name, or the name of its first output.
        node: String,
        /// The operator.
        op: String,
    },
    /// The host could not read or run; it holds the reason.
    #[error("node `{}`: {source}", Clean(node))]
    Host {
        /// The node's name, or the name of its first output.
        node: String,
        /// What happened.
        source: HostError,
    },
}

/// A text with names out of a file, which may hold what moves a terminal's cursor.
struct Clean<'a>(&'a str);

impl fmt::Display for Clean<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if c.is_control() {
                write!(f, "{}", c.escape_default())?;
            } else {
                write!(f, "{c}")?;
            }
        }
        Ok(())
    }
}

/// At most this many are listed in a message; all are in the value.
const LISTED_MAX: usize = 20;

fn list(unsupported: &[Unsupported]) -> String {
    let count = unsupported.len();
    let mut text = match count {
        1 => "1 node is not supported:".to_owned(),
        count => format!("{count} nodes are not supported:"),
    };
    for entry in unsupported.iter().take(LISTED_MAX) {
        text.push_str("\n  ");
        text.push_str(&entry.to_string());
    }
    if count > LISTED_MAX {
        text.push_str("\n  and ");
        text.push_str(&(count - LISTED_MAX).to_string());
        text.push_str(" more");
    }
    text
}
