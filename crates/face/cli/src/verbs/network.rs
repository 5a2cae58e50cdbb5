//! Networks in the verbs that take any model: running, planning, and the graphs that are run.
//! Arrays come from .npy files and go there.

use super::Scene;
use crate::{
    args::{GraphForm, Plan, Run},
    devices,
    failure::{Exit, Failure, Result},
    output::{Output, counted, say},
};
use engine::{Network, network::NetworkPlan};
use formats::npy::{self, Npy};
use import::onnx;
use ledge::{Array, BufferKind, Bytes};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Instant,
};
use tensor::Shape;

mod ctc;
mod memory;
mod picture;
mod steps;

pub(super) use steps::bind;

/// Runs a network on .npy files and a picture.
pub(super) fn run(args: &Run, scene: &Scene, mut network: Network, path: &Path) -> Result<()> {
    if let Some(threads) = args.model.threads {
        network.set_threads(threads);
    }
    network.set_profile(args.profile.into());
    devices::set(&mut network, &args.model, &scene.manner)?;
    for notice in network.notices().iter().filter(|_| !scene.manner.quiet) {
        say(format_args!("note: {notice}"));
    }
    let mut inputs = inputs(&args.input, &network)?;
    let given: Vec<String> = inputs.iter().map(|(name, _)| name.clone()).collect();
    let quiet = scene.manner.quiet;
    let see = |image: &PathBuf| picture::see(&args.picture, image, &network, path, &given, quiet);
    let seen = args.picture.image.as_ref().map(see).transpose()?;
    if let Some(seen) = &seen {
        inputs.push((seen.name.clone(), seen.array.clone()));
    }
    let views: Vec<_> = inputs.iter().map(|(name, array)| (name.as_str(), array.view())).collect();
    let begin = Instant::now();
    let outputs = if args.steps {
        steps::run(&network, &inputs, &args.state)?
    } else {
        network.run(&views)?
    };
    let seconds = begin.elapsed().as_secs_f64();
    devices::notices(&network, &scene.manner);
    if let Some(seen) = &seen
        && args.output.is_none()
    {
        let json_ms = scene.manner.json.then_some(seconds * 1e3);
        picture::show(&args.picture, seen, &network, &outputs, json_ms)?;
        if json_ms.is_none() && !quiet {
            say(format_args!("{:.1} ms with binding", seconds * 1e3));
        }
        return Ok(());
    }
    match &args.output {
        Some(path) => write(path, &outputs)?,
        None if !scene.manner.json => print(&outputs)?,
        None => {}
    }
    if scene.manner.json {
        let list: Vec<Value> = outputs
            .iter()
            .map(|(name, array)| {
                json!({
                    "name": name,
                    "type": array.dtype().name(),
                    "shape": array.shape().dims(),
                })
            })
            .collect();
        let mut output = Output::stdout();
        let placement = devices::object(&network.placements());
        let object = json!({ "outputs": list, "run_ms": seconds * 1e3, "placement": placement });
        output.line(&object.to_string())?;
        output.finish()?;
    } else if !scene.manner.quiet {
        say(format_args!("{:.1} ms with binding", seconds * 1e3));
    }
    Ok(())
}

/// The arrays that the flags name.
pub(super) fn inputs(flags: &[String], network: &Network) -> Result<Vec<(String, Array)>> {
    flags
        .iter()
        .map(|flag| {
            let (name, path) = match flag.split_once('=') {
                Some((name, path)) => (name.to_owned(), Path::new(path)),
                None => match network.inputs() {
                    [one] => (one.name.clone(), Path::new(flag.as_str())),
                    all => {
                        let names: Vec<&str> = all.iter().map(|i| i.name.as_str()).collect();
                        let what = format!("which input is {flag}? there are {}", names.join(", "));
                        return Err(Failure::usage(what).at("--input").hint("write NAME=FILE.npy"));
                    }
                },
            };
            let bytes = std::fs::read(path).map_err(|error| Failure::reading(path, &error))?;
            let bad = |error: &dyn std::error::Error| {
                Failure::new(Exit::File, crate::failure::chain(error)).at(path.display())
            };
            let (header, elements) = Npy::from_bytes(&bytes).map_err(|error| bad(&error))?;
            let array = Array::new(header.dtype, header.shape.dims(), elements.to_vec());
            Ok((name, array.map_err(|error| bad(&error))?))
        })
        .collect()
}

/// Writes the only output into a file, or each into a file of a folder.
fn write(path: &Path, outputs: &[(String, Array)]) -> Result<()> {
    let is_folder = path.is_dir() || path.as_os_str().to_string_lossy().ends_with('/');
    if let ([(_, array)], false) = (outputs, is_folder) {
        return write_npy(path, array);
    }
    if !is_folder {
        let count = outputs.len();
        return Err(Failure::usage(format!("{count} outputs do not go into one file"))
            .at(path.display())
            .hint("name a folder: --output out/"));
    }
    std::fs::create_dir_all(path).map_err(|error| Failure::writing(path.display(), &error))?;
    outputs.iter().try_for_each(|(name, array)| write_npy(&path.join(file_name(name)), array))
}

/// A file's name for an output's, which may hold anything.
fn file_name(name: &str) -> PathBuf {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let mut text: String = name.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    if text.starts_with('.') || text.is_empty() {
        text.insert(0, '_');
    }
    PathBuf::from(text + ".npy")
}

fn write_npy(path: &Path, array: &Array) -> Result<()> {
    let mut output = Output::open(Some(path))?;
    npy::write_header(&mut output, array.dtype(), array.shape())
        .map_err(|error| Failure::usage(crate::failure::chain(&error)).at(path.display()))?;
    output.bytes(array.bytes())?;
    output.finish()
}

/// The outputs for a person: type, extents and the first elements.
fn print(outputs: &[(String, Array)]) -> Result<()> {
    const SHOWN: usize = 8;
    let mut output = Output::stdout();
    for (name, array) in outputs {
        let numbers = import::network::Numbers { dtype: array.dtype(), bytes: array.bytes() };
        let all = numbers.floats();
        let first: Vec<String> = all.iter().take(SHOWN).map(|x| format!("{x:.6}")).collect();
        let more = if all.len() > SHOWN { " …" } else { "" };
        let (dtype, shape) = (array.dtype(), array.shape());
        output.line(&format!("{name}  {dtype} {shape}  {}{more}", first.join(" ")))?;
    }
    output.finish()
}

/// What a plan takes, with the arrays that this program holds beside it: inputs as they were read, and
/// outputs as they will be written.
fn promise(planned: &mut NetworkPlan) -> plan::Promise {
    let ports: Bytes = planned.stages.iter().map(|plan| plan.bytes_of(BufferKind::Io)).sum();
    if let Some(first) = planned.stages.first_mut() {
        first.name("arrays".into(), BufferKind::Io, ports);
    }
    planned.promise()
}

/// The largest extents below these with which the network fits, tried in sixteenths.
fn fitting(network: &Network, shapes: &[(&str, Shape)], have: Bytes) -> Option<String> {
    let free = |name: &str, i: usize| {
        let declared = network.inputs().iter().find(|declared| declared.name == name);
        let dims = declared.and_then(|declared| declared.dims.as_ref());
        dims.is_none_or(|dims| !matches!(dims.get(i), Some(onnx::Extent::Fixed(_))))
    };
    // What is large is an extent in space or time; networks want these in multiples of 32.
    let smaller = |extent: u64, sixteenths: u64| match extent * sixteenths / 16 {
        part if extent >= 64 => (part / 32 * 32).max(32),
        part => part.max(1),
    };
    (1..16).rev().find_map(|sixteenths| {
        let mut list = Vec::new();
        for (name, shape) in shapes {
            let dims: Vec<u64> = shape
                .iter()
                .enumerate()
                .map(|(i, &n)| if free(name, i) { smaller(n, sixteenths) } else { n })
                .collect();
            list.push((*name, Shape::new(&dims)?));
        }
        if list.as_slice() == shapes {
            return None;
        }
        let need = promise(&mut network.plan(&list).ok()?).total();
        let flags = list.iter().map(|(name, shape)| {
            let dims: Vec<String> = shape.iter().map(u64::to_string).collect();
            format!("--shape {name}={}", dims.join(","))
        });
        (need <= have).then(|| format!("{} takes {need}", flags.collect::<Vec<_>>().join(" ")))
    })
}

/// Says what a binding takes.
pub(super) fn plan(args: &Plan, scene: &Scene, network: &mut Network) -> Result<()> {
    let shapes: Vec<_> = args.shape.iter().map(|(name, shape)| (name.as_str(), *shape)).collect();
    let threads: Option<NonZeroUsize> = args.model.threads;
    if let Some(threads) = threads {
        network.set_threads(threads);
    }
    devices::set(network, &args.model, &scene.manner)?;
    let mut planned = network.plan(&shapes).map_err(|error| {
        Failure::from(error).hint("--shape NAME=1,3,224,224 gives an input's extents")
    })?;
    let promise = promise(&mut planned);
    let fits = args.model.memory.is_none_or(|memory| promise.total() <= memory);
    let buffers = || planned.stages.iter().flat_map(|plan| &plan.buffers);
    let mut output = Output::stdout();
    if scene.manner.json {
        let list: Vec<Value> = buffers()
            .map(|b| json!({ "name": b.name, "kind": b.kind.name(), "bytes": b.bytes.0 }))
            .collect();
        let object = json!({
            "model": network.label(),
            "promised": {
                "private": promise.private.0,
                "mapped": promise.mapped.0,
                "total": promise.total().0,
            },
            "memory": args.model.memory.map(|memory| memory.0),
            "fits": fits,
            "threads": threads.map(NonZeroUsize::get),
            "stages": planned.stages.len(),
            "pending": planned.pending,
            "buffers": list,
            "placement": devices::object(&planned.placements),
        });
        output.line(&object.to_string())?;
    } else {
        let steps: usize = planned.stages.iter().map(|plan| plan.steps.len()).sum();
        let (steps, stages) = (counted(steps, "step"), counted(planned.stages.len(), "stage"));
        output.line(&format!("{}: {steps} in {stages}", network.label()))?;
        let mut sums: BTreeMap<&str, Bytes> = BTreeMap::new();
        for buffer in buffers() {
            let sum = sums.entry(buffer.kind.name()).or_default();
            *sum = Bytes(sum.0.saturating_add(buffer.bytes.0));
        }
        for (kind, bytes) in sums {
            output.line(&format!("{kind:<15} {bytes:>12}"))?;
        }
        output.line(&format!("{:<15} {:>12}", "total", promise.total()))?;
        devices::tell(&planned.placements, &mut output)?;
        if let Some(node) = &planned.pending {
            output.line(&format!("what follows {node} is planned when it has run"))?;
        }
    }
    output.finish()?;
    if fits {
        return Ok(());
    }
    let need = promise.total();
    let have = args.model.memory.unwrap_or_default();
    let way_out = fitting(network, &shapes, have);
    let way_out = way_out.unwrap_or_else(|| "smaller extents with --shape, or more memory".into());
    Err(Failure::new(
        Exit::DoesNotFit,
        format!("does not fit: {need} are needed, {have} may be taken"),
    )
    .at("--memory")
    .hint(way_out))
}

/// Tells the memory plan, or draws it into a file.
pub(super) fn memory(
    shapes: &[(String, Shape)],
    svg: Option<&Path>,
    network: &Network,
) -> Result<()> {
    let shapes: Vec<_> = shapes.iter().map(|(name, shape)| (name.as_str(), *shape)).collect();
    let planned = network.plan(&shapes)?;
    let mut output = Output::stdout();
    memory::tell(&planned, &mut output)?;
    output.finish()?;
    match svg {
        Some(path) => memory::draw(&planned, network.label(), path),
        None => Ok(()),
    }
}

/// Prints the graphs as they were imported, or as they are run with the passes that fired.
pub(super) fn graphs(shapes: &[(String, Shape)], form: GraphForm, network: &Network) -> Result<()> {
    let shapes: Vec<_> = shapes.iter().map(|(name, shape)| (name.as_str(), *shape)).collect();
    let planned = network.plan(&shapes)?;
    let mut output = Output::stdout();
    let imported = form == GraphForm::Imported;
    for graph in if imported { &planned.before } else { &planned.graphs } {
        output.write(graph)?;
    }
    for fired in planned.fired.iter().filter(|_| !imported) {
        output.line(&format!("# pass {}: {}", fired.pass, fired.times))?;
    }
    if let Some(node) = &planned.pending {
        output.line(&format!("# what follows {node} is imported when it has run"))?;
    }
    output.finish()
}
