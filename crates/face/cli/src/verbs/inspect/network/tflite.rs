//! What there is to show of a TFLite file: inputs and outputs are those of its first graph,
//! operators and constants those of all.

use super::{Extent, Network, Port, Quantization, shown};
use formats::{
    FormatError,
    tflite::{Model, SubGraph, Tensor},
};
use import::onnx::Declared;
use serde_json::json;

/// Reads a file.
pub(super) fn read(file: &[u8]) -> Result<Network, FormatError> {
    let model = Model::parse(file)?;
    let mut network = Network { format: "TFLite", ..Network::default() };
    let description = String::from_utf8_lossy(model.description);
    if !description.is_empty() {
        network.head.push(("producer", json!(shown(&description))));
    }
    if model.subgraphs.len() > 1 {
        network.head.push(("graphs", json!(model.subgraphs.len())));
    }
    let known = import::tflite::Network::new(file, &model);
    if let Some(main) = model.subgraphs.first() {
        // The names that runs go by, which need not be those of the tensors.
        let ports = |indices: &[usize], names: &[Declared]| {
            let tensors = indices.iter().filter_map(|&idx| main.tensors.get(idx));
            let named = tensors.zip(names).map(|(tensor, declared)| {
                let name = declared.name.clone();
                Port { name, ..port(tensor) }
            });
            named.collect()
        };
        network.inputs = ports(&main.inputs, known.inputs());
        network.outputs = ports(&main.outputs, known.outputs());
    }
    for signature in &model.signatures {
        let names =
            |list: &[(&str, usize)]| list.iter().map(|(name, _)| (*name).to_owned()).collect();
        let (inputs, outputs) = (names(&signature.inputs), names(&signature.outputs));
        network.signatures.push((signature.key.to_owned(), inputs, outputs));
    }
    for graph in &model.subgraphs {
        operators(&model, graph, &mut network);
    }
    network.unsupported = known.unsupported().iter().map(ToString::to_string).collect();
    constants(&model, &mut network);
    for (name, bytes) in &model.metadata {
        let text = str::from_utf8(bytes).map(|text| text.trim_end_matches('\0'));
        let text = text.ok().filter(|text| text.len() <= 80 && !text.contains(char::is_control));
        let text = text.map_or_else(|| format!("{} bytes", bytes.len()), str::to_owned);
        network.metadata.push(((*name).to_owned(), text));
    }
    Ok(network)
}

fn constants(model: &Model<'_>, network: &mut Network) {
    // A buffer that several tensors share is one constant.
    let mut seen = vec![false; model.buffers.len()];
    for tensor in model.subgraphs.iter().flat_map(|graph| &graph.tensors) {
        let bytes = match (model.external(tensor), model.constant(tensor)) {
            (Some(external), _) => {
                let bytes = network.external.entry(external.location.to_owned()).or_default();
                *bytes = bytes.saturating_add(external.length);
                external.length
            }
            (None, Some(bytes)) => {
                let known = seen.get_mut(tensor.buffer);
                if known.is_none_or(|known| std::mem::replace(known, true)) {
                    continue;
                }
                bytes.len() as u64
            }
            (None, None) => continue,
        };
        network.constants.push((port(tensor), bytes));
    }
}

fn operators(model: &Model<'_>, graph: &SubGraph<'_>, network: &mut Network) {
    network.lines.push(format!("graph {}:", shown(graph.name)));
    let name = |idx: &Option<u32>| {
        let tensor = idx.and_then(|idx| graph.tensors.get(usize::try_from(idx).ok()?));
        tensor.map_or_else(|| "-".to_owned(), |tensor| shown(tensor.name))
    };
    for operator in &graph.operators {
        let code = model.code(operator).to_string();
        let names = |list: &[Option<u32>]| list.iter().map(name).collect::<Vec<_>>().join(", ");
        let (inputs, outputs) = (names(&operator.inputs), names(&operator.outputs));
        network.lines.push(format!("  {outputs} = {code}({inputs})"));
        *network.operators.entry(code).or_default() += 1;
    }
}

fn port(tensor: &Tensor<'_>) -> Port {
    let shape = tensor.dims().map(|dim| dim.map_or(Extent::Free, Extent::Known)).collect();
    let quantization = tensor.quantization.as_ref().and_then(|found| {
        let (scale, channels) = (found.scale(0)?, found.scales.len());
        Some(Quantization { scale, zero_point: found.zero_point(0), channels })
    });
    let ty = tensor.ty.name().to_owned();
    Port { name: tensor.name.to_owned(), ty, shape: Some(shape), quantization }
}
