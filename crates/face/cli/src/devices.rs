//! Devices beside the processor: what `--device` names, and where a network's parts run.
//!
//! A device that is not there is a notice, and the processor runs everything.

use crate::{
    args::{Device, Manner, ModelArgs},
    failure::{Failure, Result},
    output::{Output, counted, say},
};
use engine::Network;
use ledge::delegates::Placement;
use serde_json::{Value, json};
use std::num::NonZeroUsize;

/// Lets a network use the devices that were named.
pub(crate) fn set(network: &mut Network, args: &ModelArgs, manner: &Manner) -> Result<()> {
    match args.device {
        Device::Cpu => Ok(()),
        Device::Openvino => openvino(network, args.threads, manner),
    }
}

/// Refuses devices that run networks only, for a language model.
pub(crate) fn check(device: Device) -> Result<()> {
    match device {
        Device::Cpu => Ok(()),
        Device::Openvino => Err(Failure::usage("openvino runs networks, this is a language model")
            .at("--device")
            .hint("leave --device out: the processor runs language models")),
    }
}

#[cfg(not(feature = "openvino"))]
fn openvino(_: &mut Network, _: Option<NonZeroUsize>, _: &Manner) -> Result<()> {
    Err(Failure::usage("this program was built without openvino")
        .at("--device")
        .hint("cargo build --release -p ledge-cli --features openvino"))
}

#[cfg(feature = "openvino")]
fn openvino(network: &mut Network, threads: Option<NonZeroUsize>, manner: &Manner) -> Result<()> {
    use ledge::delegates::Delegates;
    let folder = std::env::var_os("LEDGE_OPENVINO").map(std::path::PathBuf::from);
    match ledge_openvino::OpenVino::open(folder.as_deref(), threads) {
        Ok(backend) => {
            if !manner.quiet {
                say(format_args!(
                    "note: the promise counts what openvino is given, not what it takes beside that"
                ));
            }
            network.set_delegates(Delegates {
                backends: vec![std::sync::Arc::new(backend)],
                ..Delegates::default()
            });
        }
        Err(error) if !manner.quiet => {
            say(format_args!("note: {error}; the processor runs everything"));
            say(format_args!(
                "note: pip install openvino, then LEDGE_OPENVINO=…/site-packages/openvino/libs"
            ));
        }
        Err(_) => {}
    }
    Ok(())
}

/// Tells where stages run and why not elsewhere.
pub(crate) fn tell(placements: &[Placement], output: &mut Output) -> Result<()> {
    for placement in placements {
        for (backend, share) in placement.shares() {
            let parts = || placement.parts.iter().filter(|part| part.backend == backend);
            let (nodes, count) = (parts().map(|part| part.nodes).sum::<usize>(), parts().count());
            output.line(&format!(
                "on {backend:<12} {:>11.1} %  of multiply-adds, {} in {}",
                share * 100.0,
                counted(nodes, "node"),
                counted(count, "part")
            ))?;
        }
        for reason in &placement.reasons {
            let what = reason.op.unwrap_or("parts");
            let (backend, nodes, why) = (&reason.backend, reason.nodes, &reason.why);
            output.line(&format!("not on {backend}: {nodes} × {what}: {why}"))?;
        }
    }
    Ok(())
}

/// The same for scripts.
pub(crate) fn object(placements: &[Placement]) -> Value {
    let stages = placements.iter().map(|placement| {
        let parts = placement.parts.iter().map(|part| {
            json!({
                "backend": part.backend,
                "nodes": part.nodes,
                "macs": part.macs,
                "moved_bytes": part.moved.0,
            })
        });
        let reasons = placement.reasons.iter().map(|reason| {
            json!({
                "backend": reason.backend,
                "op": reason.op,
                "nodes": reason.nodes,
                "why": reason.why,
            })
        });
        json!({ "parts": parts.collect::<Vec<_>>(), "reasons": reasons.collect::<Vec<_>>() })
    });
    stages.collect()
}

/// Says what a device failed at while the network ran.
pub(crate) fn notices(network: &Network, manner: &Manner) {
    if manner.quiet {
        return;
    }
    for placement in network.placements() {
        for reason in placement.reasons.iter().filter(|reason| reason.op.is_none()) {
            let (backend, nodes) = (&reason.backend, counted(reason.nodes, "node"));
            say(format_args!("note: {nodes} not on {backend}: {}", reason.why));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledge::{
        Bytes,
        delegates::{Part, Reason},
    };

    #[test]
    fn a_placement_is_told_with_its_reasons() {
        let part = |backend: &str, macs| Part {
            backend: backend.to_owned(),
            nodes: 3,
            macs,
            moved: Bytes(64),
        };
        let reason = Reason {
            backend: "npu".into(),
            op: Some("conv"),
            nodes: 2,
            why: "windows are too wide".into(),
        };
        let placement =
            Placement { parts: vec![part("npu", 3), part("cpu", 1)], reasons: vec![reason] };
        let object = object(&[placement]);
        assert_eq!(object[0]["parts"][0]["backend"], "npu");
        assert_eq!(object[0]["parts"][1]["macs"], 1);
        assert_eq!(object[0]["reasons"][0]["op"], "conv");
        assert_eq!(object[0]["reasons"][0]["why"], "windows are too wide");
    }
}
