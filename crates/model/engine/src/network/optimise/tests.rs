//! Graphs of random operators give the same results with all passes, with each left out, and with
//! none.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "numbers below a hundred"
)]

use super::super::constants::{Constants, Held};
use graph::{Graph, Input, Type, ValueId, passes::PASSES};
use plan::array::{
    Channels, Conv, Coordinates, Interpolation, List, Map, Nearest, Pad, PadMode, Pool, PoolKind,
    Reduce, ReduceKind, Requant, Resize, Rounding, View, Zip,
};
use plan::{ArrayOp, Dim, Op, Weight};
use proptest::{prelude::*, test_runner::RngSeed};
use tensor::{DType, Shape, TensorRef, TensorType};

/// Grows a graph by operators that fit what is there.
struct Maker {
    graph: Graph,
    constants: Constants,
    values: Vec<ValueId>,
    state: u64,
}

impl Maker {
    fn new(seed: u64) -> Self {
        let mut maker = Self {
            graph: Graph::default(),
            constants: Constants::default(),
            values: Vec::new(),
            state: seed,
        };
        let dims = [1 + maker.below(2), 1 + maker.below(6), 4 + maker.below(4), 4 + maker.below(4)];
        let dims = dims.map(Dim::Fixed).into();
        let input = maker.graph.input("x", Type { dtype: DType::F32, dims });
        maker.values.push(input);
        maker
    }

    /// A number below `n`.
    fn below(&mut self, n: u64) -> u64 {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.state >> 33) % n
    }

    fn dims(&self, value: ValueId) -> Vec<u64> {
        self.graph.ty(value).dims.iter().map(|dim| dim.at(&[])).collect()
    }

    fn pick(&mut self) -> ValueId {
        // Later values are likelier, so that chains grow.
        let n = self.values.len() as u64;
        let back = self.below(n).min(self.below(n));
        self.values[(n - 1 - back) as usize]
    }

    fn floats(&mut self, dims: &[u64]) -> Input {
        let n = dims.iter().product::<u64>();
        let numbers: Vec<f32> = (0..n).map(|_| (self.below(33) as f32 - 16.0) / 16.0).collect();
        let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        self.weight(DType::F32, dims, bytes)
    }

    fn weight(&mut self, dtype: DType, dims: &[u64], bytes: Vec<u8>) -> Input {
        let name = format!("#{}", self.graph.weights.len());
        self.constants.insert(name.clone(), Held::Bytes(bytes.into()));
        let ty = TensorType::Plain(dtype);
        let shape = Shape::new(dims).unwrap();
        self.graph.weight(Weight { tensor: name, ty, shape, first: 0 }).into()
    }

    fn push(&mut self, op: ArrayOp, inputs: Vec<Input>) -> Option<ValueId> {
        let value = self.graph.push(Op::Array(op), inputs, None).ok()?;
        let small = self.dims(value).iter().product::<u64>() <= 1 << 13;
        let floats = self.graph.ty(value).dtype == DType::F32;
        if small && floats {
            self.values.push(value);
        }
        Some(value)
    }

    fn window(&mut self, rank: usize, groups: u32) -> Conv {
        let mut list = |least: u64, choices: u64| {
            let items: Vec<u32> =
                (0..rank).map(|_| u32::try_from(least + self.below(choices)).unwrap()).collect();
            List::new(&items).unwrap()
        };
        Conv {
            kernel: list(1, 3),
            strides: list(1, 2),
            dilations: list(1, 2),
            before: list(0, 2),
            after: list(0, 2),
            groups,
        }
    }

    fn grow(&mut self) {
        let x = self.pick();
        let dims = self.dims(x);
        let rank = dims.len();
        if rank == 0 {
            return;
        }
        match self.below(17) {
            0 | 1 if rank >= 3 => self.conv(x, &dims),
            2 => {
                let maps = [
                    Map::Relu,
                    Map::Relu6,
                    Map::Sigmoid,
                    Map::HardSwish,
                    Map::Clamp { low: -0.5, high: 0.75 },
                    Map::LeakyRelu { alpha: 0.25 },
                ];
                let map = maps[self.below(6) as usize];
                self.push(ArrayOp::Map(map), vec![x.into()]);
            }
            3 | 4 if rank >= 2 => self.channelwise(x, &dims),
            5 => {
                let y = self.pick();
                let zip = [Zip::Add, Zip::Multiply, Zip::Maximum][self.below(3) as usize];
                self.push(ArrayOp::Zip(zip), vec![x.into(), y.into()]);
            }
            6 if rank >= 3 => self.pool(x, &dims),
            7 => {
                let y = self.pick();
                let axis = self.below(rank as u64) as u8;
                self.push(ArrayOp::Concat { axis }, vec![x.into(), y.into(), x.into()]);
            }
            8 => {
                let reduce = Reduce {
                    kind: ReduceKind::Mean,
                    axes: (self.below(256) & ((1 << rank) - 1)) as u8,
                    keep: self.below(2) == 0,
                };
                self.push(ArrayOp::Reduce(reduce), vec![x.into()]);
            }
            9 | 10 => self.transpose(x, &dims),
            11 => self.reshape(x, &dims),
            12 => {
                let amounts: Vec<i64> = dims.iter().map(|_| self.below(3) as i64).collect();
                let mode = [PadMode::Constant, PadMode::Edge][self.below(2) as usize];
                let after = List::new(&amounts).unwrap();
                let pad = Pad { mode, before: List::repeat(0, rank).unwrap(), after };
                self.push(ArrayOp::Pad(pad), vec![x.into()]);
            }
            13 => {
                let axis = self.below(rank as u64) as u8;
                self.push(ArrayOp::Softmax { axis, log: false }, vec![x.into()]);
            }
            14 => self.slice(x, &dims),
            15 if rank >= 3 => self.resize(x, &dims),
            16 if rank >= 2 => {
                let n = 1 + self.below(6);
                let b = self.floats(&[dims[rank - 1], n]);
                self.push(ArrayOp::MatMul, vec![x.into(), b]);
            }
            _ => self.codes(x, &dims),
        }
    }

    fn conv(&mut self, x: ValueId, dims: &[u64]) {
        let c = dims[1];
        let spatial = dims.len() - 2;
        let depthwise = self.below(3) == 0;
        let groups = if depthwise { c } else { 1 };
        let m = if depthwise { c } else { 1 + self.below(6) };
        let conv = self.window(spatial, u32::try_from(groups).unwrap());
        let window: Vec<u64> = conv.kernel.iter().map(|&k| k.into()).collect();
        if self.below(5) == 0 {
            // Windows that do not meet, and others.
            let none = List::repeat(0, spatial).unwrap();
            let mut conv = Conv { before: none, after: none, groups: 1, ..conv };
            if self.below(2) == 0 {
                conv.strides = conv.kernel;
                conv.dilations = List::repeat(1, spatial).unwrap();
            }
            let covered = |i: usize| (dims[2 + i] - 1) * u64::from(conv.strides[i]) + conv.span(i);
            let output: Vec<u32> =
                (0..spatial).map(|i| u32::try_from(covered(i)).unwrap()).collect();
            let w = self.floats(&[&[c, m], &window[..]].concat());
            let bias = self.floats(&[m]);
            let output = List::new(&output).unwrap();
            self.push(ArrayOp::ConvTranspose { conv, output }, vec![x.into(), w, bias]);
            return;
        }
        let w = self.floats(&[&[m, c / groups], &window[..]].concat());
        let bias = if self.below(2) == 0 { self.floats(&[m]) } else { Input::Absent };
        self.push(ArrayOp::Conv(conv), vec![x.into(), w, bias]);
    }

    /// What a batch normalisation becomes.
    fn channelwise(&mut self, x: ValueId, dims: &[u64]) {
        let mut each = vec![1; dims.len() - 1];
        each[0] = dims[1];
        let (scale, term) = (self.floats(&each), self.floats(&each));
        let order = self.below(3);
        let Some(y) = self.push(ArrayOp::Zip(Zip::Multiply), vec![x.into(), scale]) else { return };
        let zip = if order == 0 { Zip::Subtract } else { Zip::Add };
        let inputs = if order == 2 { vec![term, y.into()] } else { vec![y.into(), term] };
        self.push(ArrayOp::Zip(zip), inputs);
    }

    fn pool(&mut self, x: ValueId, dims: &[u64]) {
        let conv = self.window(dims.len() - 2, 1);
        let places = (0..dims.len() - 2).map(|i| conv.extent(i, dims[2 + i]));
        let Some(places) = places.collect::<Option<Vec<u64>>>() else { return };
        let output: Vec<u32> = places.iter().map(|&n| u32::try_from(n).unwrap()).collect();
        let kind =
            [PoolKind::Max, PoolKind::Average { count_padding: true }][self.below(2) as usize];
        let output = List::new(&output).unwrap();
        let pool = Pool { kind, conv, output, channels: Channels::First };
        // The maximum of a window in the padding is no number to compare.
        if conv.before.iter().zip(&*conv.kernel).all(|(pad, kernel)| pad < kernel)
            && conv.after.iter().zip(&*conv.kernel).all(|(pad, kernel)| pad < kernel)
        {
            self.push(ArrayOp::Pool(pool), vec![x.into()]);
        }
    }

    fn transpose(&mut self, x: ValueId, dims: &[u64]) {
        let mut order: Vec<usize> = (0..dims.len()).collect();
        for i in (1..order.len()).rev() {
            let other = self.below(i as u64 + 1) as usize;
            order.swap(i, other);
        }
        let step = |d: usize| dims[d + 1..].iter().product::<u64>().cast_signed();
        let strides: Vec<i64> = order.iter().map(|&d| step(d)).collect();
        let turned: Vec<u64> = order.iter().map(|&d| dims[d]).collect();
        self.view(x, &turned, &strides, 0);
    }

    fn view(&mut self, x: ValueId, dims: &[u64], strides: &[i64], offset: u64) {
        let (dims, strides) = (Shape::new(dims).unwrap(), List::new(strides).unwrap());
        self.push(ArrayOp::View(View { dims, strides, offset }), vec![x.into()]);
    }

    fn slice(&mut self, x: ValueId, dims: &[u64]) {
        let step = |d: usize| dims[d + 1..].iter().product::<u64>();
        let (mut part, mut offset) = (dims.to_vec(), 0);
        let mut strides: Vec<i64> = (0..dims.len()).map(|d| step(d).cast_signed()).collect();
        let d = self.below(dims.len() as u64) as usize;
        let first = self.below(dims[d]);
        part[d] = 1 + self.below(dims[d] - first);
        offset += first * step(d);
        if self.below(3) == 0 {
            offset += (part[d] - 1) * step(d);
            strides[d] = -strides[d];
        }
        self.view(x, &part, &strides, offset);
    }

    fn reshape(&mut self, x: ValueId, dims: &[u64]) {
        let mut new = dims.to_vec();
        let d = self.below(dims.len() as u64) as usize;
        let merge = self.below(2) == 0 && d + 1 < new.len();
        if merge {
            new[d] *= new.remove(d + 1);
        } else if let Some(factor) = [2, 3, 1].into_iter().find(|f| new[d].is_multiple_of(*f)) {
            new[d] /= factor;
            new.insert(d, factor);
        }
        if new.len() <= 6 {
            self.push(ArrayOp::Reshape { dims: Shape::new(&new).unwrap() }, vec![x.into()]);
        }
    }

    fn resize(&mut self, x: ValueId, dims: &[u64]) {
        let mut scales = vec![1.0f32; dims.len()];
        for scale in &mut scales[2..] {
            *scale = 1.0 + self.below(2) as f32;
        }
        let new: Vec<u64> = dims.iter().zip(&scales).map(|(&n, &s)| n * s as u64).collect();
        let modes = [Interpolation::Nearest(Nearest::Floor), Interpolation::Linear];
        let resize = Resize {
            dims: Shape::new(&new).unwrap(),
            scales: List::new(&scales).unwrap(),
            mode: modes[self.below(2) as usize],
            coordinates: Coordinates::Asymmetric,
            exclude_outside: false,
            antialias: false,
            roi_start: List::default(),
            roi_end: List::default(),
            extrapolation: 0.0,
        };
        self.push(ArrayOp::Resize(resize), vec![x.into()]);
    }

    /// A product of codes, scaled, and back to floats.
    fn codes(&mut self, x: ValueId, dims: &[u64]) {
        if dims.len() < 3 {
            return;
        }
        // Codes far from a half, so that a last bit of `x` decides nothing: of signs.
        let sign = self.push(ArrayOp::Map(Map::Sign), vec![x.into()]);
        let Some(sign) = sign else { return };
        let codes = self.push(ArrayOp::Cast { to: DType::I8, saturate: true }, vec![sign.into()]);
        let Some(codes) = codes else { return };
        let conv = self.window(dims.len() - 2, 1);
        let m = 1 + self.below(4);
        let window: Vec<u64> = conv.kernel.iter().map(|&k| k.into()).collect();
        let shape = [&[m, dims[1]], &window[..]].concat();
        let bytes = (0..shape.iter().product()).map(|_| self.below(7) as u8).collect();
        let w = self.weight(DType::I8, &shape, bytes);
        let Some(sums) = self.push(ArrayOp::Conv(conv), vec![codes.into(), w]) else { return };
        let factors: Vec<u8> =
            (0..m).flat_map(|_| (self.below(9) as f64 / 16.0).to_le_bytes()).collect();
        let factors = self.weight(DType::F64, &[m], factors);
        let requant = Requant {
            rounding: Rounding::Double,
            axis: 1,
            zero: 3,
            low: -100,
            high: 100,
            to: DType::I8,
        };
        let scaled = self.push(ArrayOp::Requant(requant), vec![sums.into(), factors]);
        let Some(scaled) = scaled else { return };
        let back = ArrayOp::Cast { to: DType::F32, saturate: true };
        self.push(back, vec![scaled.into()]);
    }

    /// The graph with a few outputs.
    fn finish(mut self) -> (Graph, Constants) {
        let mut outputs = vec![*self.values.last().unwrap(), self.pick(), self.pick()];
        outputs.sort();
        outputs.dedup();
        outputs.retain(|value| *value != self.values[0]);
        for (i, value) in outputs.iter().enumerate() {
            self.graph.output(&format!("y{i}"), *value);
        }
        (self.graph, self.constants)
    }
}

/// Runs a graph node by node.
fn interpret(graph: &Graph, constants: &Constants, x: Vec<u8>) -> Vec<Vec<u8>> {
    let mut values: Vec<Option<Vec<u8>>> = vec![None; graph.values.len()];
    values[graph.inputs[0].1.index()] = Some(x);
    let ty = |value: ValueId| {
        let ty = graph.ty(value);
        let dims: Vec<u64> = ty.dims.iter().map(|dim| dim.at(&[])).collect();
        (ty.dtype, Shape::new(&dims).unwrap())
    };
    for node in &graph.nodes {
        let Op::Array(op) = &node.op else { panic!("arrays only") };
        let held: Vec<_> = node
            .inputs
            .iter()
            .map(|input| match *input {
                Input::Value(value) => Some((ty(value), values[value.index()].clone().unwrap())),
                Input::Weight(id) => {
                    let weight = &graph.weights[id.0 as usize];
                    let TensorType::Plain(dtype) = weight.ty else { panic!("plain") };
                    let held = constants.find(&weight.tensor).unwrap();
                    let bytes = held.all(dtype, weight.shape).unwrap().into_owned();
                    Some(((dtype, weight.shape), bytes))
                }
                Input::State(_) | Input::Absent => None,
            })
            .collect();
        let refs: Vec<Option<TensorRef<'_>>> = held
            .iter()
            .map(|entry| {
                let ((dtype, dims), bytes) = entry.as_ref()?;
                Some(TensorRef::new((*dtype).into(), *dims, bytes).unwrap())
            })
            .collect();
        let (dtype, dims) = ty(node.output);
        let out = reference::evaluate(op, &refs, dtype, dims).unwrap();
        values[node.output.index()] = Some(out);
    }
    graph.outputs.iter().map(|(_, value)| values[value.index()].clone().unwrap()).collect()
}

fn results(graph: &Graph, constants: &Constants) -> Vec<Vec<f32>> {
    let n: u64 = graph.ty(graph.inputs[0].1).dims.iter().map(|dim| dim.at(&[])).product();
    let x: Vec<u8> =
        (0..n).flat_map(|i| (((i * 7919) % 41) as f32 / 20.0 - 1.0).to_le_bytes()).collect();
    let outputs = interpret(graph, constants, x);
    let floats =
        |bytes: &Vec<u8>| bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    outputs.iter().map(floats).collect()
}

/// The constants of a graph, to be changed.
fn copy(constants: &Constants, graph: &Graph) -> Constants {
    let mut all = Constants::default();
    for weight in &graph.weights {
        all.insert(weight.tensor.clone(), constants.find(&weight.tensor).unwrap());
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn passes_change_no_result(seed in any::<u64>(), length in 3usize..24) {
        let mut maker = Maker::new(seed);
        for _ in 0..length {
            maker.grow();
        }
        let (graph, constants) = maker.finish();
        if graph.outputs.is_empty() {
            return Ok(());
        }
        let want = results(&graph, &constants);
        let all: Vec<&str> = PASSES.iter().map(|pass| pass.name).collect();
        let without = all.iter().map(|name| vec![*name]);
        for off in without.chain([vec![]]) {
            let mut after = graph.clone();
            let mut constants = copy(&constants, &graph);
            super::run(&mut after, &mut constants, &off);
            let text = || format!("{}\nwithout {off:?}:\n{}", graph::text::print(&graph), graph::text::print(&after));
            prop_assert!(graph::verify(&after) == Ok(()), "{}", text());
            let have = results(&after, &constants);
            for (have, want) in have.iter().zip(&want) {
                // The largest of a window that holds nothing is minus infinity.
                let finite = want.iter().filter(|x| x.is_finite());
                let most = finite.fold(1.0f32, |most, x| most.max(x.abs()));
                let near = |a: f32, b: f32| (a - b).abs() <= 2e-5 * most || a.to_bits() == b.to_bits();
                let near = have.iter().zip(want).all(|(a, b)| near(*a, *b));
                prop_assert!(have.len() == want.len() && near, "{have:?}\n{want:?}\n{}", text());
            }
        }
    }
}
