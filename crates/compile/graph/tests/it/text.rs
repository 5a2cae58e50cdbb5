//! The text form reads back, and broken text names its line.

use crate::LAYER;
use ledge_graph::{text, verify};
use proptest::prelude::*;

#[test]
fn the_text_form_reads_back_to_an_equal_graph() {
    let graph = text::parse(LAYER).unwrap();
    verify(&graph).unwrap();
    let printed = text::print(&graph);
    assert_eq!(text::parse(&printed).unwrap(), graph);
    let bare: Vec<&str> = printed.lines().map(|l| l.split('#').next().unwrap().trim()).collect();
    assert_eq!(bare, LAYER.lines().collect::<Vec<_>>());
}

#[test]
fn a_broken_line_is_named_with_its_reason() {
    let cases = [
        ("v6 = linear(v5, w2)", "v6 = linear(v5, w8)", "must have shape [outputs, 64]"),
        ("v6 = linear(v5, w2)", "v6 = linear(v99, w2)", "v99 does not exist"),
        ("v6 = linear(v5, w2)", "v6 = linear(v5)", "operand 1 must be a weight"),
        ("v6 = linear(v5, w2)", "v5 = linear(v5, w2)", "v5 is there already"),
        ("v6 = linear(v5, w2)", "v90000 = linear(v5, w2)", "v90000 is far beyond v6"),
        ("v6 = linear(v5, w2)", "v60 = linear(v5, w2)", "v6 does not exist"),
        ("v6 = linear", "v6 = lineal", "there is no operator `lineal`"),
        ("kind=rms", "kind=rms kind=rms", "kind= does not belong here"),
        ("heads=4", "heads=3", "3 query heads are no multiple of 2"),
        ("window=32", "window=0", "window=0 cannot be read"),
        ("dims=16 base=10000 scale=1 ", "dims=15 base=10000 scale=1 ", "must be even"),
        ("used=2", "used=5", "5 of 4 experts"),
        ("symbol rows 2", "symbol rows two", "`two` cannot be the bound"),
        ("input v1 \"rows\"", "input v1 rows", "a name in quotes is missing"),
        ("output v24 \"logits\"", "output v99 \"logits\"", "v99 does not exist"),
        ("group=64", "group=48", "no whole number of groups"),
        ("v4 = binary(v2, v3)", "v4 = binary(v2, v0)", "operand 1 must be F32"),
    ];
    for (from, to, reason) in cases {
        let broken = LAYER.replacen(from, to, 1);
        assert_ne!(broken, LAYER, "{from}");
        let error = text::parse(&broken).unwrap_err().to_string();
        assert!(error.contains(reason), "{to}: {error}");
    }
}

#[test]
fn the_verifier_catches_what_the_builder_cannot() {
    let good = text::parse(LAYER).unwrap();
    let mut twice = good.clone();
    twice.nodes[1].output = twice.nodes[0].output;
    let mut early = good.clone();
    early.nodes.swap(0, 2);
    let mut silent = good.clone();
    silent.outputs.clear();
    let mut unbounded = good.clone();
    unbounded.symbols[0].max = 0;
    let mut wrong_type = good.clone();
    wrong_type.values[5].dims[1] = 65.into();
    let mut shared_cache = good.clone();
    let attention = shared_cache.nodes[9].clone();
    shared_cache.nodes.insert(10, attention);
    for (graph, reason) in [
        (twice, "written twice"),
        (early, "before it is written"),
        (silent, "no output"),
        (unbounded, "bounded by zero"),
        (wrong_type, "node 3 gives"),
        (shared_cache, "two nodes use cache"),
    ] {
        let fault = verify(&graph).map_err(|fault| fault.to_string());
        assert!(fault.as_ref().is_err_and(|text| text.contains(reason)), "{reason}: {fault:?}");
    }
}

#[test]
fn dead_code_goes_and_caches_stay() {
    let mut graph = text::parse(LAYER).unwrap();
    let before = graph.nodes.len();
    graph.outputs[0].1 = graph.nodes[0].output;
    ledge_graph::passes::dead_code::run(&mut graph);
    verify(&graph).unwrap();
    assert!(graph.nodes.len() < before);
    assert!(graph.nodes.iter().any(|node| node.op.name() == "attention"));
    assert!(graph.nodes.iter().all(|node| node.op.name() != "experts"));
}

proptest! {
    #[test]
    fn mutated_text_never_panics(place in 0..LAYER.len(), byte in 0u8..128) {
        let mut bytes = LAYER.as_bytes().to_vec();
        bytes[place] = byte;
        if let Ok(graph) = text::parse(&String::from_utf8(bytes).unwrap()) {
            drop(verify(&graph));
        }
    }
}
