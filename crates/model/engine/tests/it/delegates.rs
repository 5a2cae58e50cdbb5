//! Random graphs on a host and delegates that fail in every way: the results are the host's alone.

use crate::onnx_file::{self, Proto, list, model, node, value};
use cpu::CpuBackend;
use graph::{Graph, Input, Type, ValueId};
use ledge_engine::{
    delegates::{Delegates, Pin, Placed, Worth, load},
    network::{Array, Network},
};
use plan::{
    ArrayOp, Backend, Control, Dim, Grant, LoadError, Needs, Op, Plan, Program, ReadError, Refusal,
    RunError, State, Step, Uncontrolled, Unit, Weight, WeightSource,
    array::{Map, Zip},
};
use proptest::prelude::*;
use std::{num::NonZeroUsize, sync::Arc};
use tensor::{DType, Shape, TensorType};

/// What goes wrong with a delegate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Nothing,
    Load,
    Run,
}

/// Computes as the processor does, but takes only some steps, and fails as it is told.
#[derive(Debug)]
struct Mock {
    name: &'static str,
    inner: Arc<dyn Backend>,
    /// Bit `i` is set where value `i` modulo 64 is taken.
    takes: u64,
    fault: Fault,
}

impl Backend for Mock {
    fn name(&self) -> &'static str {
        self.name
    }

    fn accept(&self, step: &Step, plan: &Plan) -> Result<Needs, Refusal> {
        // A draft has no buffers; its values are in buffers of their own numbers.
        if plan.buffers.is_empty() && self.takes >> (step.output.buffer.0 % 64) & 1 == 0 {
            let reason = "this one is not taken".to_owned();
            return Err(Refusal::Op { backend: self.name.into(), op: step.op.name(), reason });
        }
        self.inner.accept(step, plan)
    }

    fn load(
        &self,
        plan: Plan,
        weights: Arc<dyn WeightSource>,
        grant: &mut Grant,
        control: &dyn Control,
    ) -> Result<Arc<dyn Program>, LoadError> {
        if self.fault == Fault::Load {
            let reason = "does not compile".to_owned();
            return Err(LoadError::Delegate { backend: self.name.into(), reason });
        }
        let program = self.inner.load(plan, weights, grant, control)?;
        Ok(Arc::new(MockProgram { name: self.name, program, fault: self.fault }))
    }
}

#[derive(Debug)]
struct MockProgram {
    name: &'static str,
    program: Arc<dyn Program>,
    fault: Fault,
}

impl Program for MockProgram {
    fn plan(&self) -> &Plan {
        self.program.plan()
    }

    fn units(&self) -> Vec<Unit> {
        self.program.units()
    }

    fn state(self: Arc<Self>, grant: &mut Grant) -> Result<Box<dyn State>, LoadError> {
        let state = Arc::clone(&self.program).state(grant)?;
        Ok(Box::new(MockState { program: self, state }))
    }
}

#[derive(Debug)]
struct MockState {
    program: Arc<MockProgram>,
    state: Box<dyn State>,
}

impl State for MockState {
    fn plan(&self) -> &Plan {
        self.state.plan()
    }

    fn input(&mut self, port: usize) -> &mut [u8] {
        self.state.input(port)
    }

    fn run(&mut self, extents: &[u64], control: &dyn Control) -> Result<(), RunError> {
        if self.program.fault == Fault::Run {
            let reason = "the device is gone".to_owned();
            return Err(RunError::Delegate { backend: self.program.name.into(), reason });
        }
        self.state.run(extents, control)
    }

    fn output(&self, port: usize) -> &[u8] {
        self.state.output(port)
    }

    fn positions(&self) -> u64 {
        0
    }

    fn truncate(&mut self, _: u64) {}
}

/// Weights whose elements count up.
struct Counting;

impl WeightSource for Counting {
    fn read_rows(&self, weight: &Weight, row: u64, out: &mut [u8]) -> Result<(), ReadError> {
        let first = row * weight.shape.last();
        for (place, chunk) in (first..).zip(out.chunks_exact_mut(4)) {
            chunk.copy_from_slice(&((place % 7) as f32 / 4.0 - 0.75).to_le_bytes());
        }
        Ok(())
    }
}

/// A graph of sums, products and functions over `[4, 4]`.
fn build(nodes: &[(usize, usize, u8)]) -> Graph {
    let mut graph = Graph::default();
    let ty = Type { dtype: DType::F32, dims: [Dim::Fixed(4); 2].into() };
    let mut values: Vec<ValueId> = vec![graph.input("a", ty.clone()), graph.input("b", ty)];
    let weight = graph.weight(Weight {
        tensor: "w".into(),
        ty: TensorType::Plain(DType::F32),
        shape: Shape::new(&[4, 4]).unwrap(),
        first: 0,
    });
    let mut used = vec![true; 2];
    for &(a, b, kind) in nodes {
        let (a, b) = (a % values.len(), b % values.len());
        let (x, y) = (Input::from(values[a]), Input::from(values[b]));
        let (op, inputs): (ArrayOp, Vec<Input>) = match kind {
            0 => (ArrayOp::Map(Map::Tanh), vec![x]),
            1 => (ArrayOp::Zip(Zip::Add), vec![x, y]),
            2 => (ArrayOp::MatMul, vec![x, weight.into()]),
            _ => (ArrayOp::Zip(Zip::Multiply), vec![x, y]),
        };
        used[a] = true;
        used[b] |= inputs.contains(&y);
        values.push(graph.push(Op::Array(op), inputs, None).unwrap());
        used.push(false);
    }
    for (i, value) in values.iter().enumerate().filter(|(i, _)| !used[*i]) {
        graph.output(&format!("y{i}"), *value);
    }
    graph
}

fn host() -> Arc<dyn Backend> {
    Arc::new(CpuBackend::new(NonZeroUsize::MIN).unwrap())
}

fn delegates(host: &Arc<dyn Backend>, takes: u64, fault: Fault) -> Delegates {
    let mock = |name, takes, fault| -> Arc<dyn Backend> {
        Arc::new(Mock { name, inner: Arc::clone(host), takes, fault })
    };
    Delegates {
        backends: vec![
            mock("first", takes, fault),
            mock("second", takes.rotate_left(5), Fault::Nothing),
        ],
        worth: Worth { operations: 0, per_byte: 0 },
        pins: Vec::new(),
    }
}

fn place(graph: &Graph, host: &Arc<dyn Backend>, delegates: &Delegates) -> Arc<Placed> {
    let source: Arc<dyn WeightSource> = Arc::new(Counting);
    Arc::new(load(graph, &source, host, delegates).unwrap())
}

/// Runs twice and gives all outputs of the second run.
fn run(placed: &Arc<Placed>) -> Vec<Vec<u8>> {
    let mut grant = Grant::new(placed.plan().promise().total());
    let mut state = Arc::clone(placed).state(&mut grant).unwrap();
    for turn in 0..2u16 {
        for port in 0..2u16 {
            for (i, chunk) in (0u16..).zip(state.input(port.into())[..64].chunks_exact_mut(4)) {
                let x = f32::from(i * (port + 1) + turn) / 16.0 - 0.5;
                chunk.copy_from_slice(&x.to_le_bytes());
            }
        }
        state.run(&[], &Uncontrolled).unwrap();
    }
    (0..placed.plan().outputs.len()).map(|port| state.output(port)[..64].to_vec()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn results_are_those_of_the_host_alone(
        nodes in prop::collection::vec((0usize..30, 0usize..30, 0u8..4), 1..24),
        takes in any::<u64>(),
        fault in prop::sample::select(vec![Fault::Nothing, Fault::Load, Fault::Run]),
    ) {
        let graph = build(&nodes);
        let host = host();
        let alone = run(&place(&graph, &host, &Delegates::default()));
        let delegates = delegates(&host, takes, fault);
        let placed = place(&graph, &host, &delegates);
        prop_assert_eq!(run(&placed), alone);
        let placement = placed.placement();
        let ran: usize = placement.parts.iter().map(|part| part.nodes).sum();
        prop_assert!(ran <= nodes.len());
        let first = placement.parts.iter().any(|part| part.backend == "first");
        prop_assert!(fault == Fault::Nothing || !first, "{placement:?}");
    }
}

#[test]
fn reasons_say_why_nodes_are_where_they_are() {
    let graph = build(&[(0, 1, 1), (2, 0, 2), (3, 0, 0), (4, 0, 2)]);
    let host = host();
    let of = |fault, pins: &[(&str, &str)], worth| {
        let mut delegates = delegates(&host, u64::MAX, fault);
        let pin = |(what, backend): &(&str, &str)| Pin {
            what: (*what).into(),
            backend: (*backend).into(),
        };
        delegates.pins = pins.iter().map(pin).collect();
        delegates.worth = worth;
        delegates.backends.truncate(1);
        let placed = place(&graph, &host, &delegates);
        run(&placed);
        placed.placement()
    };
    let free = Worth { operations: 0, per_byte: 0 };
    let all = of(Fault::Nothing, &[], free);
    assert_eq!((all.parts.len(), all.parts[0].nodes, all.parts[0].macs), (1, 4, 128));
    assert_eq!(all.shares(), [("first".to_owned(), 1.0)]);
    assert!(all.reasons.is_empty());

    let pinned = of(Fault::Nothing, &[("matmul", "cpu"), ("v5", "first")], free);
    let backends: Vec<&str> = pinned.parts.iter().map(|part| part.backend.as_str()).collect();
    assert_eq!(backends, ["first", "cpu", "first"]);
    assert_eq!(pinned.shares(), [("cpu".to_owned(), 0.5), ("first".to_owned(), 0.5)]);
    assert_eq!((pinned.reasons.len(), pinned.reasons[0].nodes), (1, 1));
    assert!(pinned.reasons[0].why.contains("pinned to cpu"), "{:?}", pinned.reasons);

    for (fault, worth, why) in [
        (Fault::Load, free, "does not compile"),
        (Fault::Run, free, "the device is gone; the host took over"),
        (Fault::Nothing, Worth { operations: 1 << 20, per_byte: 0 }, "not worth handing over"),
    ] {
        let placement = of(fault, &[], worth);
        assert_eq!(placement.shares(), [("cpu".to_owned(), 1.0)], "{why}");
        assert!(placement.reasons[0].why.contains(why), "{:?}", placement.reasons);
        assert_eq!(placement.reasons[0].nodes, 4);
    }
}

/// A network of two branches of convolutions over `a: [1, 2, n, n]` that meet, as an ONNX file.
fn convolutions() -> Vec<u8> {
    let constant = |name: &str, dims: &[i64]| {
        let count = u16::try_from(dims.iter().product::<i64>()).unwrap();
        let element = |i: u16| (f32::from(i % 9) / 8.0 - 0.5).to_le_bytes();
        let elements: Vec<u8> = (0..count).flat_map(element).collect();
        let tensor = dims.iter().fold(Proto::default(), |tensor, &dim| tensor.int(1, dim));
        tensor.int(2, 1).text(8, name).bytes(9, &elements)
    };
    let pads = || list("pads", &[1, 1, 1, 1]);
    let nodes = [
        node("c1", "Conv", &["a", "w1", "b1"], &["x1"], &[pads()]),
        node("r1", "Relu", &["x1"], &["x2"], &[]),
        node("c2", "Conv", &["x2", "w2"], &["x3"], &[pads()]),
        node("c3", "Conv", &["x2", "w2"], &["x4"], &[pads()]),
        node("s", "Sigmoid", &["x4"], &["x5"], &[]),
        node("m", "Mul", &["x3", "x5"], &["x6"], &[]),
        node("p", "GlobalAveragePool", &["x6"], &["x7"], &[]),
        node("f", "Flatten", &["x7"], &["x8"], &[]),
        node("l", "MatMul", &["x8", "w3"], &["x9"], &[]),
        node("q", "Softmax", &["x9"], &["y"], &[]),
        node("nz", "NonZero", &["x9"], &["where"], &[]),
        node("turn", "Transpose", &["where"], &["rows"], &[]),
        node("pick", "GatherND", &["x9", "rows"], &["found"], &[]),
        node("half", "Tanh", &["found"], &["z"], &[]),
    ];
    let outputs = [value("y", 1, &[1, 5]), value("z", 1, &[-2])];
    let g = onnx_file::graph(&nodes, &[value("a", 1, &[1, 2, -1, -1])], &outputs);
    let constants = [
        constant("w1", &[4, 2, 3, 3]),
        constant("b1", &[4]),
        constant("w2", &[4, 4, 3, 3]),
        constant("w3", &[4, 5]),
    ];
    model(17, &constants.iter().fold(g, |g, constant| g.bytes(5, &constant.0)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn networks_give_the_same_with_delegates_that_fail(
        takes in any::<u64>(),
        fault in prop::sample::select(vec![Fault::Nothing, Fault::Load, Fault::Run]),
        wide in 5u64..9,
    ) {
        let mut network = Network::from_bytes(convolutions()).unwrap();
        network.set_threads(NonZeroUsize::MIN);
        let elements: Vec<f32> = (0..2 * wide * wide).map(|i| (i % 13) as f32 / 8.0 - 0.5).collect();
        let a = Array::from_f32(&[1, 2, wide, wide], &elements).unwrap();
        let given = [("a", a.view())];
        let alone = network.run(&given).unwrap();
        prop_assert!(network.placements().is_empty());
        let host = host();
        network.set_delegates(delegates(&host, takes, fault));
        for _ in 0..2 {
            prop_assert_eq!(&network.run(&given).unwrap(), &alone);
        }
        let placements = network.placements();
        prop_assert!(!placements.is_empty());
        let first = placements.iter().flat_map(|p| &p.parts).any(|part| part.backend == "first");
        prop_assert!(fault == Fault::Nothing || !first, "{placements:?}");
        let planned = network.plan(&[("a", Shape::new(&[1, 2, wide, wide]).unwrap())]).unwrap();
        prop_assert_eq!(planned.placements.len(), 1);
        let nodes = |placement: &ledge_engine::delegates::Placement| -> usize {
            placement.parts.iter().map(|part| part.nodes).sum()
        };
        prop_assert_eq!(nodes(&planned.placements[0]), nodes(&placements[0]));
        network.set_delegates(Delegates::default());
        prop_assert_eq!(network.run(&given).unwrap(), alone);
    }
}

#[test]
fn what_is_planned_with_delegates_is_what_is_promised() {
    let mut network = Network::from_bytes(convolutions()).unwrap();
    let host = host();
    network.set_delegates(delegates(&host, 0x5555_5555_5555_5555, Fault::Nothing));
    let elements = vec![0.25; 2 * 36];
    let a = Array::from_f32(&[1, 2, 6, 6], &elements).unwrap();
    network.run(&[("a", a.view())]).unwrap();
    let planned = network.plan(&[("a", Shape::new(&[1, 2, 6, 6]).unwrap())]).unwrap();
    let backends: Vec<&str> =
        planned.placements[0].parts.iter().map(|part| part.backend.as_str()).collect();
    assert!(backends.contains(&"first") && backends.contains(&"second"), "{backends:?}");
    let sum = |kind| planned.stages.iter().map(|plan| plan.bytes_of(kind).0).sum::<u64>();
    assert!(sum(plan::BufferKind::PackedWeights) > 0 && sum(plan::BufferKind::Arena) > 0);
    let text = &planned.before[0];
    let again = graph::text::parse(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(graph::text::print(&again), *text);
    assert!(text.contains("\"a\""), "ports have the file's names: {text}");
}
