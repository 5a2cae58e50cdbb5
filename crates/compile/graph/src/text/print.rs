//! Prints a graph; comments give the types of results.

use super::attributes;
use crate::{Graph, Input, ValueId};
use alloc::string::String;
use core::fmt::Write;

/// The text form.
pub fn print(graph: &Graph) -> String {
    let mut out = String::new();
    write_graph(graph, &mut out).expect("writing to a string does not fail");
    out
}

fn write_graph(graph: &Graph, out: &mut String) -> core::fmt::Result {
    for symbol in &graph.symbols {
        writeln!(out, "symbol {} {}", symbol.name, symbol.max)?;
    }
    for (i, weight) in graph.weights.iter().enumerate() {
        write!(out, "weight w{i} {} ", Quoted(&weight.tensor))?;
        if weight.first > 0 {
            write!(out, "+{} ", weight.first)?;
        }
        writeln!(out, "{} {}", weight.ty, weight.shape)?;
    }
    for (i, cache) in graph.states.iter().enumerate() {
        writeln!(
            out,
            "state s{i} kv_heads={} head_dim={} v_head_dim={} ty={} positions={}",
            cache.kv_heads, cache.head_dim, cache.v_head_dim, cache.ty, cache.positions
        )?;
    }
    // An input that was added late has a later number than the first nodes' results: lines stand in
    // the order of their values' numbers, which is the one in which they are read back.
    let mut inputs = graph.inputs.iter().peekable();
    let mut input = |before: Option<ValueId>, out: &mut String| {
        while let Some((name, value)) =
            inputs.next_if(|(_, value)| before.is_none_or(|node| value.index() < node.index()))
        {
            let (name, ty) = (Quoted(name), TypeText(graph, *value));
            writeln!(out, "input {value} {name} {ty}")?;
        }
        Ok(())
    };
    for node in &graph.nodes {
        input(Some(node.output), out)?;
        write!(out, "{} = {}(", node.output, node.op.name())?;
        for (i, input) in node.inputs.iter().enumerate() {
            out.push_str(if i > 0 { ", " } else { "" });
            match input {
                Input::Value(id) => write!(out, "{id}")?,
                Input::Weight(id) => write!(out, "w{}", id.0)?,
                Input::State(id) => write!(out, "s{}", id.0)?,
                Input::Absent => out.push('_'),
            }
        }
        out.push(')');
        for (key, value) in attributes::of(&node.op) {
            write!(out, " {key}={value}")?;
        }
        if let Some(layer) = node.layer {
            write!(out, " @{layer}")?;
        }
        writeln!(out, "  # {}", TypeText(graph, node.output))?;
    }
    input(None, out)?;
    for (name, value) in &graph.outputs {
        writeln!(out, "output {value} {}", Quoted(name))?;
    }
    Ok(())
}

/// A name in quotes, on one line whatever it holds.
struct Quoted<'a>(&'a str);

impl core::fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                c if c.is_control() => write!(f, "{}", c.escape_unicode())?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

struct TypeText<'a>(&'a Graph, ValueId);

impl core::fmt::Display for TypeText<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let ty = self.0.ty(self.1);
        write!(f, "{} [", ty.dtype)?;
        for (i, dim) in ty.dims.iter().enumerate() {
            f.write_str(if i > 0 { ", " } else { "" })?;
            write!(f, "{dim}")?;
        }
        f.write_str("]")
    }
}
