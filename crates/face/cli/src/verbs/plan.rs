//! `ledge plan`: every need by name, before anything is loaded.

use super::{Scene, network};
use crate::{
    args::Plan,
    failure::{Failure, Result, does_not_fit},
    model,
    output::{Output, counted, say},
};
use engine::{DoesNotFit, EngineError, WeightPlace};
use ledge::{BufferKind, Bytes, Solved};
use serde_json::{Value, json};

/// Kinds with more buffers than this are summed up, unless -v asks for all.
const LISTED_MAX: usize = 8;

/// How much the table tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Detail {
    /// A line for each kind of many.
    Sums,
    /// A line for each buffer.
    All,
}

/// Plans, and says whether it fits.
pub(crate) fn run(args: &Plan, scene: &Scene) -> Result<()> {
    if let Some(mut network) = model::open_network(args.path.as_deref(), &args.passes)? {
        return network::plan(args, scene, &mut network);
    }
    let file = model::open(args.path.as_deref())?;
    let request = model::request(&args.model)?;
    let plan = ledge::Plan::for_model(file);
    let (solved, refusal) = match plan.clone().request(request.clone()).solve() {
        Ok(solved) => (solved, None),
        Err(ledge::Error::Engine(EngineError::DoesNotFit(refusal))) => {
            // The same without a bound, so that the table shows what is too much.
            let mut unbounded = request;
            unbounded.memory = None;
            unbounded.context = Some(refusal.context);
            (plan.request(unbounded).solve()?, Some(refusal))
        }
        Err(error) => return Err(error.into()),
    };
    let mut output = Output::stdout();
    if scene.manner.json {
        output.line(&object(&solved, args.model.memory, refusal.as_ref()).to_string())?;
    } else {
        let detail = if scene.manner.verbose { Detail::All } else { Detail::Sums };
        let fits = args.model.memory.map(|memory| (memory, refusal.is_none()));
        table(&mut output, &solved, fits, detail)?;
    }
    output.finish()?;
    if !scene.manner.quiet && !scene.manner.json {
        solved.fit().notices().iter().for_each(|notice| say(format_args!("note: {notice}")));
    }
    match refusal {
        None => Ok(()),
        Some(refusal) => Err(quietly(does_not_fit(&refusal), scene)),
    }
}

/// With --json the object has told everything already.
fn quietly(failure: Failure, scene: &Scene) -> Failure {
    if scene.manner.json { failure.told() } else { failure }
}

/// What users call a place.
fn name(place: WeightPlace) -> &'static str {
    match place {
        WeightPlace::Auto => "auto",
        WeightPlace::Packed => "packed",
        WeightPlace::Mapped => "mapped",
    }
}

fn object(solved: &Solved, memory: Option<Bytes>, refusal: Option<&DoesNotFit>) -> Value {
    let promise = solved.promise();
    let buffers: Vec<Value> = solved
        .buffers()
        .iter()
        .map(|buffer| {
            json!({ "name": buffer.name, "kind": buffer.kind.name(), "bytes": buffer.bytes.0 })
        })
        .collect();
    let advice: Vec<Value> = refusal.map_or_else(Vec::new, |refusal| {
        let list = refusal.advice.iter();
        list.map(|advice| {
            json!({
                "ctx": advice.context,
                "kv": advice.kv.name(),
                "chunk": advice.chunk,
                "need": advice.need.0,
            })
        })
        .collect()
    });
    let choices = solved.fit().choices().map(|(place, promise)| {
        json!({
            "place": name(place),
            "private": promise.private.0,
            "mapped": promise.mapped.0,
            "total": promise.total().0,
        })
    });
    json!({
        "model": solved.fit().model().label(),
        "promised": {
            "private": promise.private.0,
            "mapped": promise.mapped.0,
            "total": promise.total().0,
        },
        "weights": {
            "place": name(solved.fit().place()),
            "choices": choices,
        },
        "memory": memory.map(|memory| memory.0),
        "fits": refusal.is_none(),
        "ctx": solved.context(),
        "threads": solved.fit().threads(),
        "buffers": buffers,
        "advice": advice,
        "notices": solved.fit().notices(),
    })
}

fn table(
    output: &mut Output,
    solved: &Solved,
    fits: Option<(Bytes, bool)>,
    detail: Detail,
) -> Result<()> {
    let fit = solved.fit();
    let (context, threads) = (solved.context(), counted(fit.threads(), "thread"));
    output.line(&format!("{}: context {context}, {threads}", fit.model().label()))?;
    output.line("")?;
    let width = solved.buffers().iter().map(|buffer| buffer.name.len()).max().unwrap_or(0).max(5);
    output.line(&format!("{:<15} {:<width$} {:>12}", "kind", "name", "bytes"))?;
    for kind in BufferKind::ALL {
        let buffers: Vec<_> = solved.buffers().iter().filter(|b| b.kind == kind).collect();
        // A model has hundreds of tensors; their sum is what matters.
        if buffers.len() > LISTED_MAX && detail == Detail::Sums {
            let bytes: Bytes = buffers.iter().map(|buffer| buffer.bytes).sum();
            let name = format!("{} buffers", buffers.len());
            output.line(&format!("{:<15} {name:<width$} {bytes:>12}", kind.name()))?;
            continue;
        }
        for buffer in buffers {
            let (name, bytes) = (&buffer.name, buffer.bytes);
            output.line(&format!("{:<15} {name:<width$} {bytes:>12}", kind.name()))?;
        }
    }
    let promise = solved.promise();
    output.line("")?;
    output.line(&format!("{:<15} {:<width$} {:>12}", "private", "", promise.private))?;
    output.line(&format!("{:<15} {:<width$} {:>12}", "mapped", "", promise.mapped))?;
    output.line(&format!("{:<15} {:<width$} {:>12}", "total", "", promise.total()))?;
    for (place, promise) in fit.choices() {
        let taken = if place == fit.place() { "  (this plan)" } else { "" };
        let flag = format!("--weights {}", name(place));
        let (private, mapped) = (promise.private, promise.mapped);
        output.line(&format!("{flag:<17} {private} private, {mapped} evictable{taken}"))?;
    }
    match fits {
        Some((memory, true)) => output.line(&format!("fits into {memory}")),
        Some((memory, false)) => output.line(&format!("does not fit into {memory}")),
        None => Ok(()),
    }
}
