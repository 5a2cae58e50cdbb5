//! Networks from bytes to outputs: bindings, stages, states, and files that break the rules.

use crate::{
    allocations::counted,
    onnx_file::{Proto, attribute, body, graph, model, node, value},
};
use import::onnx::NetworkError;
use ledge_engine::{
    EngineError,
    network::{Array, Network},
};
use std::num::NonZeroUsize;

fn f32s(list: &[f32]) -> Array {
    Array::from_f32(&[list.len() as u64], list).unwrap()
}

#[test]
fn each_binding_has_its_own_extents() {
    let add = node("add", "Add", &["a", "a"], &["sum"], &[]);
    let g = graph(&[add], &[value("a", 1, &[-1])], &[value("sum", 1, &[-1])]);
    let network = Network::from_bytes(model(17, &g)).unwrap();
    for n in [3, 1, 3, 20, 1] {
        let a = f32s(&vec![1.5; n]);
        let out = network.run(&[("a", a.view())]).unwrap();
        assert_eq!(out[0].1.to_f32().unwrap(), vec![3.0; n]);
    }
}

/// What is not zero in `2 a`, by stages.
fn found() -> Network {
    let nodes = [
        node("twice", "Add", &["a", "a"], &["d"], &[]),
        node("where", "NonZero", &["d"], &["index"], &[]),
        node("turn", "Transpose", &["index"], &["rows"], &[]),
        node("pick", "GatherND", &["d", "rows"], &["found"], &[]),
    ];
    let g = graph(&nodes, &[value("a", 1, &[-1])], &[value("found", 1, &[-2])]);
    Network::from_bytes(model(17, &g)).unwrap()
}

#[test]
fn extents_that_follow_from_data_are_run_for() {
    let network = found();
    for (a, want) in [
        (vec![1.0, 0.0, 2.0], vec![2.0, 4.0]),
        (vec![0.0, 0.0, 5.0], vec![10.0]),
        (vec![1.0, 0.0, 3.0], vec![2.0, 6.0]),
        (vec![0.0, 0.0, 0.0], vec![]),
    ] {
        let out = network.run(&[("a", f32s(&a).view())]).unwrap();
        assert_eq!(out[0].1.to_f32().unwrap(), want, "{a:?}");
    }
    let planned = network.plan(&[("a", tensor::Shape::new(&[3]).unwrap())]).unwrap();
    assert!(planned.pending.unwrap().contains("where"));
}

#[test]
fn running_a_known_binding_again_allocates_nothing() {
    let weight = Proto::default().int(1, 64).int(1, 4096).int(2, 1).text(8, "w");
    let weight = weight.bytes(9, &vec![0; 64 * 4096 * 4]);
    let nodes = [
        node("product", "MatMul", &["a", "w"], &["p"], &[]),
        node("relu", "Relu", &["p"], &["r"], &[]),
        node("same", "Identity", &["a"], &["again"], &[]),
        node("share", "Softmax", &["r"], &["y"], &[]),
    ];
    let outputs = [value("y", 1, &[2, 4096]), value("again", 1, &[2, 64])];
    let g = graph(&nodes, &[value("a", 1, &[2, 64])], &outputs).bytes(5, &weight.0);
    let plain = Network::from_bytes(model(17, &g)).unwrap();
    let row = Array::from_f32(&[2, 64], &[0.5; 128]).unwrap();
    let some = f32s(&[3.0, 0.0, 4.0, 0.0]);
    for (mut network, input, output) in [(plain, row, "y"), (found(), some, "found")] {
        network.set_threads(NonZeroUsize::MIN);
        let inputs = [("a", input.view())];
        let first = network.run(&inputs).unwrap();
        let count = counted(|| {
            for _ in 0..3 {
                let lent = network.lend(&inputs).unwrap();
                assert_eq!(lent.get(output).unwrap().bytes(), first[0].1.bytes());
            }
        });
        assert_eq!(count, 0, "{output}");
        assert_eq!(network.lend(&inputs).unwrap().to_arrays(), first);
    }
}

#[test]
fn large_weights_stay_in_the_file_until_they_are_packed() {
    let folder = std::env::temp_dir().join(format!("ledge-networks-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("large.onnx");
    let elements: Vec<u8> = (0..40_000u16).flat_map(|i| f32::from(i).to_le_bytes()).collect();
    let weight = Proto::default().int(1, 40_000).int(2, 1).text(8, "w").bytes(9, &elements);
    let add = node("add", "Add", &["a", "w"], &["sum"], &[]);
    let g = graph(&[add], &[value("a", 1, &[1])], &[value("sum", 1, &[40_000])]);
    std::fs::write(&path, model(17, &g.bytes(5, &weight.0))).unwrap();
    let network = Network::open(&path).unwrap();
    let held = network.bytes();
    assert!(held.iter().filter(|&&byte| byte != 0).count() < 10_000);
    let a = f32s(&[0.25]);
    let out = network.run(&[("a", a.view())]).unwrap();
    let sums = out[0].1.to_f32().unwrap();
    assert!(
        sums.iter()
            .zip(0..40_000u16)
            .all(|(sum, i)| sum.to_bits() == (f32::from(i) + 0.25).to_bits())
    );
    // Another folder entry of that name, and the file that was opened is still read.
    std::fs::remove_file(&path).unwrap();
    assert_eq!(network.run(&[("a", a.view())]).unwrap(), out);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn branches_may_have_different_ranks() {
    let then = graph(
        &[node("", "Unsqueeze", &["a", "zero"], &["t"], &[])],
        &[],
        &[value("t", 1, &[1, 2])],
    );
    let other = graph(&[node("", "Neg", &["a"], &["e"], &[])], &[], &[value("e", 1, &[2])]);
    let zero = Proto::default().int(1, 1).int(2, 7).text(8, "zero").bytes(9, &0i64.to_le_bytes());
    let branch = node(
        "choose",
        "If",
        &["c"],
        &["out"],
        &[body("then_branch", &then), body("else_branch", &other)],
    );
    let g = graph(&[branch], &[value("c", 9, &[]), value("a", 1, &[2])], &[value("out", 1, &[-1])])
        .bytes(5, &zero.0);
    let network = Network::from_bytes(model(17, &g)).unwrap();
    let a = f32s(&[1.0, 2.0]);
    for (c, dims) in [(1, vec![1, 2]), (0, vec![2])] {
        let c = Array::new(tensor::DType::Bool, &[], vec![c]).unwrap();
        let out = network.run(&[("c", c.view()), ("a", a.view())]).unwrap();
        assert_eq!(out[0].1.shape().dims(), dims);
    }
}

#[test]
fn states_are_carried_by_name() {
    let add = node("add", "Add", &["x", "h"], &["hn"], &[]);
    let g = graph(&[add], &[value("x", 1, &[2]), value("h", 1, &[2])], &[value("hn", 1, &[2])]);
    let network = Network::from_bytes(model(17, &g)).unwrap();
    let mut stream = network.stream();
    assert_eq!(stream.states().collect::<Vec<_>>(), [("h", "hn")]);
    let x = f32s(&[1.0, 10.0]);
    for n in 1..4 {
        let out = stream.run(&[("x", x.view())]).unwrap();
        assert_eq!(out[0].1.to_f32().unwrap(), [n as f32, 10.0 * n as f32]);
    }
    stream.reset();
    let out = stream.run(&[("x", x.view())]).unwrap();
    assert_eq!(out[0].1.to_f32().unwrap(), [1.0, 10.0]);
    assert!(stream.bind_state("x", "nothing").is_err());
}

#[test]
fn everything_unsupported_is_told_at_once() {
    let nodes = [
        node("first", "NoSuchThing", &["a"], &["b"], &[]),
        node("fine", "Relu", &["b"], &["c"], &[]),
        node("second", "NorThis", &["c"], &["d"], &[]),
    ];
    let g = graph(&nodes, &[value("a", 1, &[2])], &[value("d", 1, &[2])]);
    let network = Network::from_bytes(model(17, &g)).unwrap();
    let names: Vec<&str> = network.unsupported().iter().map(|u| u.node.as_str()).collect();
    assert_eq!(names, ["first", "second"]);
    let error = network.run(&[("a", f32s(&[1.0, 2.0]).view())]).unwrap_err();
    let EngineError::Network { source: NetworkError::Unsupported(list), .. } = error else {
        panic!("{error}")
    };
    assert_eq!(list.len(), 2);
}

#[test]
fn attributes_that_nobody_knows_are_unsupported() {
    let softmax = node("s", "Softmax", &["a"], &["b"], &[attribute("temperature", 2)]);
    let g = graph(&[softmax], &[value("a", 1, &[2])], &[value("b", 1, &[2])]);
    let network = Network::from_bytes(model(17, &g)).unwrap();
    let error = network.run(&[("a", f32s(&[1.0, 2.0]).view())]).unwrap_err();
    let EngineError::Network { source, .. } = error else { panic!("{error}") };
    assert!(source.to_string().contains("`temperature`"), "{source}");
}

#[test]
fn newer_opsets_are_a_notice() {
    let g = graph(
        &[node("", "Relu", &["a"], &["b"], &[])],
        &[value("a", 1, &[2])],
        &[value("b", 1, &[2])],
    );
    let network = Network::from_bytes(model(99, &g)).unwrap();
    assert_eq!(network.notices().len(), 1);
    assert!(network.run(&[("a", f32s(&[-1.0, 2.0]).view())]).is_ok());
}

/// Nodes that break a rule, and the node that the error must name.
#[test]
fn hostile_graphs_give_errors_that_name_the_node() {
    let forever = graph(
        &[node("", "Identity", &["go"], &["on"], &[]), node("", "Neg", &["x"], &["y"], &[])],
        &[value("i", 7, &[]), value("go", 9, &[]), value("x", 1, &[2])],
        &[value("on", 9, &[]), value("y", 1, &[2])],
    );
    let cases: [(&str, Vec<Proto>); 8] = [
        (
            "loop",
            vec![
                node("loop", "Add", &["a", "z"], &["y"], &[]),
                node("back", "Neg", &["y"], &["z"], &[]),
            ],
        ),
        (
            "again",
            vec![node("", "Neg", &["a"], &["y"], &[]), node("again", "Neg", &["a"], &["y"], &[])],
        ),
        ("lost", vec![node("lost", "Add", &["a", "nobody"], &["y"], &[])]),
        ("axis", vec![node("axis", "Softmax", &["a"], &["y"], &[attribute("axis", 9)])]),
        ("few", vec![node("few", "Add", &["a"], &["y"], &[])]),
        ("shapes", vec![node("shapes", "MatMul", &["a", "k"], &["y"], &[])]),
        ("many", vec![node("many", "Relu", &["a"], &["y", "w"], &[])]),
        ("shadow", vec![node("shadow", "Relu", &["a"], &["a"], &[])]),
    ];
    let three = Proto::default().int(1, 3).int(2, 1).text(8, "k").bytes(9, &[0; 12]);
    for (name, nodes) in cases {
        let g = graph(&nodes, &[value("a", 1, &[2])], &[value("y", 1, &[-1])]).bytes(5, &three.0);
        let ran = Network::from_bytes(model(17, &g))
            .and_then(|network| network.run(&[("a", f32s(&[1.0, 2.0]).view())]));
        let error = ran.unwrap_err();
        let EngineError::Network { source, .. } = error else { panic!("{name}: {error}") };
        let named = source.to_string().contains(&format!("`{name}`"));
        assert!(
            named || name == "loop" && source.to_string().contains("`back`"),
            "{name}: {source}"
        );
    }
    let trips = Proto::default().int(2, 7).text(8, "trips").bytes(9, &i64::MAX.to_le_bytes());
    let go = Proto::default().int(2, 9).text(8, "go_in").bytes(9, &[1]);
    let endless =
        node("endless", "Loop", &["trips", "go_in", "a"], &["y"], &[body("body", &forever)]);
    let g = graph(&[endless], &[value("a", 1, &[2])], &[value("y", 1, &[2])])
        .bytes(5, &trips.0)
        .bytes(5, &go.0);
    let network = Network::from_bytes(model(17, &g)).unwrap();
    let error = network.run(&[("a", f32s(&[1.0, 2.0]).view())]).unwrap_err();
    let EngineError::Network { source, .. } = error else { panic!("{error}") };
    assert!(source.to_string().contains("endless"), "{source}");
}

#[test]
fn inputs_are_checked_by_name_type_and_extents() {
    let g = graph(
        &[node("", "Relu", &["a"], &["b"], &[])],
        &[value("a", 1, &[-1, 2])],
        &[value("b", 1, &[-1, 2])],
    );
    let network = Network::from_bytes(model(17, &g)).unwrap();
    let good = Array::from_f32(&[1, 2], &[1.0, 2.0]).unwrap();
    let bad = [
        ("b", good.clone()),
        ("a", Array::from_f32(&[2, 1], &[1.0, 2.0]).unwrap()),
        ("a", Array::from_f32(&[2], &[1.0, 2.0]).unwrap()),
        ("a", Array::from_i64(&[1, 2], &[1, 2]).unwrap()),
    ];
    assert!(network.run(&[("a", good.view())]).is_ok());
    assert!(network.run(&[]).is_err());
    for (name, array) in bad {
        let error = network.run(&[(name, array.view())]).unwrap_err();
        let EngineError::Network { source: NetworkError::Input { .. }, .. } = error else {
            panic!("{error}")
        };
    }
}

#[test]
fn variables_are_kept_by_a_stream_and_begin_anew_elsewhere() {
    let file = include_bytes!("../goldens/counter.tflite");
    let network = Network::from_bytes(file.to_vec()).unwrap();
    let [variable] = network.variables() else { panic!("{:?}", network.variables()) };
    assert_eq!((variable.name.as_str(), &*variable.dims), ("sum", &[3][..]));
    let run = |out: Vec<(String, Array)>| {
        assert_eq!(out.len(), 1, "the variable is no output");
        out[0].1.to_f32().unwrap()
    };
    let mut stream = network.stream();
    // What LiteRT 2.3.0 gives (tools/goldens/counter.py).
    let want = [[2.0, 12.0, 103.0], [4.0, 32.0, 303.0], [7.0, 62.0, 603.0]];
    for (turn, want) in (1u8..).zip(want) {
        let given = [1.0, 10.0, 100.0].map(|x| x * f32::from(turn));
        let once = run(network.run(&[("x", f32s(&given).view())]).unwrap());
        assert_eq!(once, [given[0] + 1.0, given[1] + 2.0, given[2] + 3.0]);
        assert_eq!(run(stream.run(&[("x", f32s(&given).view())]).unwrap()), want);
    }
    stream.reset();
    assert_eq!(run(stream.run(&[("x", f32s(&[0.0; 3]).view())]).unwrap()), [1.0, 2.0, 3.0]);
}
