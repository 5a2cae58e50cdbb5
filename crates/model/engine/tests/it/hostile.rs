//! Networks made to hurt: each is a good file with one number out of range, and gets an error that
//! names the node, soon and without much memory.

use crate::{
    onnx_file::{Proto, attribute, body, graph, integers, list, model, node, value},
    raw::Flat,
};
use ledge_engine::{
    EngineError,
    network::{Array, Network},
};
use std::{fs, time::Instant};

/// The longest that an answer may take; what is refused is refused at once.
const SECONDS: f64 = 30.0;

fn f32s(dims: &[u64]) -> Array {
    let count = usize::try_from(dims.iter().product::<u64>()).unwrap();
    Array::from_f32(dims, &vec![1.0; count]).unwrap()
}

/// Opens and runs a network with one input of ones.
fn run(file: Vec<u8>, input: &str, dims: &[u64]) -> Result<(), EngineError> {
    let start = Instant::now();
    let ran = Network::from_bytes(file)
        .and_then(|network| network.run(&[(input, f32s(dims).view())]).map(drop));
    let seconds = start.elapsed().as_secs_f64();
    assert!(seconds < SECONDS, "{seconds} s");
    ran
}

/// An ONNX network of one node of this name, which reads `a: [1, 2, 3, 4]` and the constants.
struct Case {
    name: &'static str,
    op: &'static str,
    inputs: &'static [&'static str],
    attributes: Vec<Proto>,
    constants: Vec<Proto>,
}

fn case(name: &'static str, op: &'static str, inputs: &'static [&'static str]) -> Case {
    Case { name, op, inputs, attributes: Vec::new(), constants: Vec::new() }
}

impl Case {
    fn with(mut self, attribute: Proto) -> Self {
        self.attributes.push(attribute);
        self
    }

    /// A constant of 64-bit numbers along one dimension.
    fn ints(mut self, name: &str, list: &[i64]) -> Self {
        self.constants.push(integers(name, &[list.len().cast_signed() as i64], list));
        self
    }

    fn scalar(mut self, name: &str, number: i64) -> Self {
        self.constants.push(integers(name, &[], &[number]));
        self
    }

    /// A constant of zeros in single precision.
    fn zeros(mut self, name: &str, dims: &[i64]) -> Self {
        let count = usize::try_from(4 * dims.iter().product::<i64>()).unwrap();
        let tensor = dims.iter().fold(Proto::default(), |tensor, &dim| tensor.int(1, dim));
        self.constants.push(tensor.int(2, 1).text(8, name).bytes(9, &vec![0; count]));
        self
    }

    fn file(&self) -> Vec<u8> {
        let op = node(self.name, self.op, self.inputs, &["y"], &self.attributes);
        let graph = graph(&[op], &[value("a", 1, &[1, 2, 3, 4])], &[value("y", 1, &[-1])]);
        let graph = self.constants.iter().fold(graph, |graph, tensor| graph.bytes(5, &tensor.0));
        model(23, &graph)
    }
}

fn cases() -> Vec<Case> {
    let far = i64::MAX;
    let conv = |name| case(name, "Conv", &["a", "w"]).zeros("w", &[2, 2, 3, 3]);
    let pool = |name| case(name, "MaxPool", &["a"]);
    vec![
        // Axes.
        case("softmax axis", "Softmax", &["a"]).with(attribute("axis", 4)),
        case("softmax low axis", "Softmax", &["a"]).with(attribute("axis", -5)),
        case("least axis", "ArgMax", &["a"]).with(attribute("axis", i64::MIN)),
        case("flatten axis", "Flatten", &["a"]).with(attribute("axis", 6)),
        case("concat axis", "Concat", &["a", "a"]).with(attribute("axis", 200)),
        case("gather axis", "Gather", &["a", "i"]).with(attribute("axis", -9)).ints("i", &[0]),
        case("reduced axis", "ReduceSum", &["a", "x"]).ints("x", &[7]),
        case("squeezed axis", "Squeeze", &["a", "x"]).ints("x", &[2]),
        case("far squeezed axis", "Squeeze", &["a", "x"]).ints("x", &[far]),
        case("double axis", "Unsqueeze", &["a", "x"]).ints("x", &[0, 0]),
        case("split axis", "Split", &["a"]).with(attribute("axis", 77)),
        case("layer axis", "LayerNormalization", &["a", "s"])
            .with(attribute("axis", 4))
            .zeros("s", &[4]),
        case("few axes", "Transpose", &["a"]).with(list("perm", &[0, 1])),
        case("axis twice", "Transpose", &["a"]).with(list("perm", &[0, 1, 1, 2])),
        case("axis outside", "Transpose", &["a"]).with(list("perm", &[0, 1, 2, 4])),
        case("no axis", "Transpose", &["a"]).with(list("perm", &[0, 1, -3, 2])),
        // Shapes.
        case("other shape", "Reshape", &["a", "x"]).ints("x", &[5, 5]),
        case("open shape", "Reshape", &["a", "x"]).ints("x", &[-1, -1]),
        case("least shape", "Reshape", &["a", "x"]).ints("x", &[i64::MIN]),
        case("far shape", "Reshape", &["a", "x"]).ints("x", &[far, far, 2]),
        case("many dimensions", "Reshape", &["a", "x"]).ints("x", &[1; 40]),
        case("copied dimension", "Reshape", &["a", "x"]).ints("x", &[1, 2, 3, 4, 0]),
        case("expanded", "Expand", &["a", "x"]).ints("x", &[1, 2, 5, 4]),
        case("far expanded", "Expand", &["a", "x"]).ints("x", &[far, 1, 1, 1]),
        case("overflowing", "Expand", &["a", "x"]).ints("x", &[1 << 62, 1 << 62, 1, 1, 1, 1]),
        case("tiled", "Tile", &["a", "x"]).ints("x", &[1 << 40, 1 << 40, 1, 1]),
        case("tiled backwards", "Tile", &["a", "x"]).ints("x", &[1, 1, 1, -1]),
        case("filled", "ConstantOfShape", &["x"]).ints("x", &[1 << 50, 1 << 50]),
        case("filled backwards", "ConstantOfShape", &["x"]).ints("x", &[-1]),
        case("split sizes", "Split", &["a", "x"]).ints("x", &[far, far]),
        case("inner extents", "MatMul", &["a", "w"]).zeros("w", &[5, 2]),
        // Pads, windows, steps.
        conv("pads below zero").with(list("pads", &[-1, 0, 0, 0])),
        conv("few pads").with(list("pads", &[1])),
        conv("far pads").with(list("pads", &[far; 4])),
        conv("no step").with(list("strides", &[0, 1])),
        conv("step backwards").with(list("strides", &[-1, 1])),
        conv("no dilation").with(list("dilations", &[0, 1])),
        conv("far dilation").with(list("dilations", &[far, 1])),
        conv("groups").with(attribute("group", 3)),
        conv("no group").with(attribute("group", 0)),
        conv("least group").with(attribute("group", i64::MIN)),
        case("wide window", "Conv", &["a", "w"]).zeros("w", &[1, 2, 9, 1]),
        case("other channels", "Conv", &["a", "w"]).zeros("w", &[1, 3, 1, 1]),
        pool("no window").with(list("kernel_shape", &[0, 0])),
        pool("window of one dimension").with(list("kernel_shape", &[1])),
        pool("far window").with(list("kernel_shape", &[far, 1])),
        pool("pool steps").with(list("kernel_shape", &[1, 1])).with(list("strides", &[0, 0])),
        case("cropped away", "Pad", &["a", "x"]).ints("x", &[0, 0, -9, 0, 0, 0, 0, 0]),
        case("few amounts", "Pad", &["a", "x"]).ints("x", &[1]),
        case("far amounts", "Pad", &["a", "x"]).ints("x", &[far; 8]),
        // Indices.
        case("index", "Gather", &["a", "i"]).ints("i", &[1]),
        case("low index", "Gather", &["a", "i"]).ints("i", &[-2]),
        case("element", "GatherElements", &["a", "i"]).ints("i", &[far]),
        case("slice index", "GatherND", &["a", "i"]).ints("i", &[0, 5]),
        case("scattered", "ScatterND", &["a", "i", "w"]).ints("i", &[0, 9]).zeros("w", &[3, 4]),
        case("k", "TopK", &["a", "k"]).ints("k", &[5]),
        case("low k", "TopK", &["a", "k"]).ints("k", &[-1]),
        case("no steps", "Slice", &["a", "i", "i", "x", "z"])
            .ints("i", &[0])
            .ints("x", &[3])
            .ints("z", &[0]),
        case("depth", "OneHot", &["i", "d", "v"]).ints("i", &[0]).scalar("d", -1).zeros("v", &[2]),
        case("blocks", "DepthToSpace", &["a"]).with(attribute("blocksize", 0)),
        case("table of rotations", "RotaryEmbedding", &["a", "t", "t"]).scalar("t", 1),
        case("far blocks", "SpaceToDepth", &["a"]).with(attribute("blocksize", far)),
    ]
}

#[test]
fn numbers_out_of_range_give_errors_that_name_the_node() {
    for case in cases() {
        let error = run(case.file(), "a", &[1, 2, 3, 4]).unwrap_err().to_string();
        let source = chain(&run(case.file(), "a", &[1, 2, 3, 4]).unwrap_err());
        assert!(source.contains(&format!("`{}`", case.name)), "{}: {error}: {source}", case.name);
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// Loops that never end, in both trip counts and both kinds; a body that is entered again.
#[test]
fn trip_counts_out_of_range_name_the_loop() {
    let step =
        [node("", "Identity", &["go"], &["on"], &[]), node("", "Add", &["x", "x"], &["y"], &[])];
    let inner = graph(
        &step,
        &[value("i", 7, &[]), value("go", 9, &[]), value("x", 1, &[2])],
        &[value("on", 9, &[]), value("y", 1, &[2])],
    );
    let go = Proto::default().int(2, 9).text(8, "yes").bytes(9, &[1]);
    let nested = graph(
        &[
            node("", "Identity", &["go2"], &["on2"], &[]),
            node("inner", "Loop", &["trips", "yes", "x2"], &["y2"], &[body("body", &inner)]),
        ],
        &[value("i2", 7, &[]), value("go2", 9, &[]), value("x2", 1, &[2])],
        &[value("on2", 9, &[]), value("y2", 1, &[2])],
    );
    for (trips, body_graph) in [(i64::MAX, &inner), (1 << 40, &inner), (60_000, &nested)] {
        let repeat =
            node("outer", "Loop", &["trips", "yes", "a"], &["z"], &[body("body", body_graph)]);
        let g = graph(&[repeat], &[value("a", 1, &[2])], &[value("z", 1, &[2])])
            .bytes(5, &integers("trips", &[], &[trips]).0)
            .bytes(5, &go.0);
        let error = chain(&run(model(17, &g), "a", &[2]).unwrap_err());
        assert!(error.contains("node `"), "{trips}: {error}");
    }
}

/// An index that only a run gives.
#[test]
fn computed_indices_out_of_range_name_the_node() {
    let nodes = [
        node("round", "Cast", &["a"], &["i"], &[attribute("to", 7)]),
        node("pick", "Gather", &["a", "i"], &["y"], &[]),
    ];
    let g = graph(&nodes, &[value("a", 1, &[100])], &[value("y", 1, &[100])]);
    let file = model(17, &g);
    let network = Network::from_bytes(file).unwrap();
    let far = Array::from_f32(&[100], &[100.0; 100]).unwrap();
    let error = chain(&network.run(&[("a", far.view())]).unwrap_err());
    assert!(error.contains("`pick`") && error.contains("100"), "{error}");
    assert!(network.run(&[("a", f32s(&[100]).view())]).is_ok());
    // The image that a region is cut from.
    let nodes = [
        node("round", "Cast", &["a"], &["i"], &[attribute("to", 7)]),
        node("grow", "Reshape", &["a", "four"], &["x"], &[]),
        node("place", "Reshape", &["a", "two"], &["r"], &[]),
        node("cut", "RoiAlign", &["x", "r", "i"], &["y"], &[]),
    ];
    let shapes = [integers("four", &[4], &[1, 1, 2, 2]), integers("two", &[2], &[-1, 4])];
    let g = graph(&nodes, &[value("a", 1, &[4])], &[value("y", 1, &[-1, 1, 1, 1])]);
    let g = shapes.iter().fold(g, |g, shape| g.bytes(5, &shape.0));
    let network = Network::from_bytes(model(17, &g));
    let error = network.and_then(|network| network.run(&[("a", f32s(&[4]).view())]).map(drop));
    let error = chain(&error.unwrap_err());
    assert!(error.contains("`cut`"), "{error}");
}

/// A kilobyte that claims gigabytes: in the tensor itself, in another file, by arithmetic.
#[test]
fn gigabytes_claimed_in_a_kilobyte_are_refused_at_once() {
    let claim = |tensor: Proto, extra: &[Proto]| {
        let mut nodes = vec![node("sum", "Add", &["a", "w"], &["y"], &[])];
        nodes.extend_from_slice(extra);
        let g = graph(&nodes, &[value("a", 1, &[1])], &[value("y", 1, &[-1])]).bytes(5, &tensor.0);
        model(17, &g)
    };
    let big = || Proto::default().int(1, 1 << 30).int(2, 1).text(8, "w");
    let entry = |key: &str, text: &str| Proto::default().text(1, key).text(2, text);
    let external = big()
        .bytes(13, &entry("location", "weights.bin").0)
        .bytes(13, &entry("length", "4294967296").0)
        .int(14, 1);
    let shape = integers("s", &[1], &[1 << 30]);
    let doubling: Vec<Proto> = (0..40)
        .map(|i| {
            let (from, to) = (format!("d{i}"), format!("d{}", i + 1));
            node(&to, "Concat", &[&from, &from], &[&to], &[attribute("axis", 0)])
        })
        .collect();
    let cases = [
        ("its own bytes", claim(big().bytes(9, &[0; 16]), &[])),
        ("another file", claim(external, &[])),
        ("no bytes", claim(big(), &[])),
        ("an output", {
            let fill = node("fill", "ConstantOfShape", &["s"], &["y"], &[]);
            model(
                17,
                &graph(&[fill], &[value("a", 1, &[1])], &[value("y", 1, &[-1])]).bytes(5, &shape.0),
            )
        }),
        ("doubled", {
            let g = graph(&doubling, &[value("a", 1, &[1])], &[value("d40", 7, &[-1])]);
            model(17, &g.bytes(5, &integers("d0", &[1024], &[3; 1024]).0))
        }),
    ];
    for (name, file) in cases {
        assert!(name == "doubled" || file.len() < 1024, "{name}: {}", file.len());
        assert!(run(file, "a", &[1]).is_err(), "{name}");
    }
}

/// External data that is outside of the model's folder, or behind a link.
#[test]
fn external_data_stays_in_the_models_folder() {
    let folder = std::env::temp_dir().join(format!("ledge-external-{}", std::process::id()));
    fs::create_dir_all(folder.join("model/below")).unwrap();
    let bytes: Vec<u8> = [1.0f32, 2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    for name in ["outside.bin", "model/good.bin", "model/below/good.bin"] {
        fs::write(folder.join(name), &bytes).unwrap();
    }
    fs::write(folder.join("model/short.bin"), &bytes[..4]).unwrap();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(folder.join("outside.bin"), folder.join("model/link.bin"))
            .unwrap();
        std::os::unix::fs::symlink(&folder, folder.join("model/up")).unwrap();
        std::os::unix::fs::symlink("good.bin", folder.join("model/near.bin")).unwrap();
    }
    let absolute = folder.join("outside.bin").display().to_string();
    let entry = |key: &str, text: &str| Proto::default().text(1, key).text(2, text);
    let open = |location: &str| {
        let tensor = Proto::default()
            .int(1, 2)
            .int(2, 1)
            .text(8, "w")
            .bytes(13, &entry("location", location).0)
            .int(14, 1);
        let add = node("sum", "Add", &["a", "w"], &["y"], &[]);
        let g = graph(&[add], &[value("a", 1, &[2])], &[value("y", 1, &[2])]).bytes(5, &tensor.0);
        let path = folder.join("model/model.onnx");
        fs::write(&path, model(17, &g)).unwrap();
        let network = Network::open(&path)?;
        let out = network.run(&[("a", f32s(&[2]).view())])?;
        Ok::<_, EngineError>(out[0].1.to_f32().unwrap())
    };
    for good in ["good.bin", "below/good.bin"] {
        assert_eq!(open(good).unwrap(), [2.0, 3.0], "{good}");
    }
    let mut bad = vec![
        "../outside.bin",
        "below/../../outside.bin",
        &absolute,
        "./../outside.bin",
        "",
        ".",
        "below",
        "nobody.bin",
        "short.bin",
        "C:\\outside.bin",
        "..\\outside.bin",
        "good.bin\0",
    ];
    if cfg!(unix) {
        bad.extend(["link.bin", "up/outside.bin", "near.bin"]);
    }
    for location in bad {
        assert!(open(location).is_err(), "{location:?}");
    }
    let missing = open("nobody.bin").unwrap_err().to_string();
    assert!(missing.starts_with(&*folder.join("model/nobody.bin").to_string_lossy()), "{missing}");
    fs::remove_dir_all(&folder).unwrap();
}

/// A TFLite file of one operator that reads `a: [1, 3, 4, 2]` and writes `out`.
fn tflite(code: i64, options: Option<(u8, Flat)>, constants: &[(i64, &[i32], Vec<u8>)]) -> Vec<u8> {
    let new = Flat::default;
    let tensor = |shape: &[i32], ty: u8, buffer: i64, name: &str| {
        new().ints(0, shape).byte(1, ty).int(2, buffer).bytes(3, name)
    };
    let mut tensors = vec![tensor(&[1, 3, 4, 2], 0, 0, "a"), tensor(&[1], 0, 0, "out")];
    let mut buffers = vec![new()];
    let mut inputs = vec![0];
    for (place, (ty, shape, bytes)) in constants.iter().enumerate() {
        let buffer = i64::try_from(place + 1).unwrap();
        tensors.push(tensor(shape, u8::try_from(*ty).unwrap(), buffer, &format!("c{place}")));
        buffers.push(new().bytes(0, bytes));
        inputs.push(i32::try_from(place + 2).unwrap());
    }
    let mut operator = new().int(0, 0).ints(1, &inputs).ints(2, &[1]);
    if let Some((kind, table)) = options {
        operator = operator.byte(3, kind).table(4, table);
    }
    let graph = new().tables(0, &tensors).ints(1, &[0]).ints(2, &[1]).tables(3, &[operator]);
    let code = new().byte(0, u8::try_from(code.min(127)).unwrap()).int(3, code);
    new().int(0, 3).tables(1, &[code]).tables(2, &[graph]).tables(4, &buffers).file()
}

#[test]
fn tflite_numbers_out_of_range_give_errors_that_name_the_node() {
    let ints = |list: &[i32]| -> (Vec<i32>, Vec<u8>) {
        let bytes = list.iter().flat_map(|n| n.to_le_bytes()).collect();
        (vec![i32::try_from(list.len()).unwrap()], bytes)
    };
    let new = Flat::default;
    let padding = |kind: u8| new().byte(0, kind);
    let one = |code: i64, list: &[i32]| {
        let (shape, bytes) = ints(list);
        tflite(code, None, &[(2, &shape, bytes)])
    };
    let floats = |shape: &[i32]| {
        (0i64, shape.to_vec(), vec![0; 4 * usize::try_from(shape.iter().product::<i32>()).unwrap()])
    };
    let conv = |options: Flat, shape: &[i32]| {
        let (ty, shape, bytes) = floats(shape);
        tflite(3, Some((1, options)), &[(ty, &shape, bytes)])
    };
    let pool = |options: Flat| tflite(17, Some((5, options)), &[]);
    let cases = [
        ("reshape", one(22, &[5, 5])),
        ("far reshape", one(22, &[i32::MAX, i32::MAX, i32::MAX])),
        ("low reshape", one(22, &[-7])),
        ("open reshape", one(22, &[-1, -1])),
        ("many dimensions", one(22, &[1; 30])),
        ("transpose", one(39, &[0, 1, 2, 9])),
        ("transpose twice", one(39, &[0, 1, 1, 2])),
        ("mean axis", one(40, &[9])),
        ("low mean axis", one(40, &[i32::MIN])),
        ("expanded axis", one(70, &[50])),
        ("tile", one(69, &[i32::MAX; 4])),
        ("low tile", one(69, &[-1; 4])),
        ("pad", one(34, &[1])),
        ("broadcast", one(130, &[7, 7, 7, 7])),
        ("gather", one(36, &[9])),
        ("low gather", one(36, &[-2])),
        ("no step", conv(padding(1), &[1, 1, 1, 2])),
        ("step backwards", conv(padding(1).int(1, -1).int(2, 1), &[1, 1, 1, 2])),
        ("channels", conv(padding(1).int(1, 1).int(2, 1), &[1, 1, 1, 7])),
        ("wide window", conv(padding(1).int(1, 1).int(2, 1), &[1, 9, 9, 2])),
        ("pool window", pool(padding(1).int(1, 1).int(2, 1).int(3, 9).int(4, 9))),
        ("no window", pool(padding(1).int(1, 1).int(2, 1).int(3, 0).int(4, 0))),
        ("pool steps", pool(padding(0).int(1, 0).int(2, 0).int(3, 1).int(4, 1))),
        ("low window", pool(padding(0).int(1, 1).int(2, 1).int(3, -5).int(4, 1))),
        ("concat axis", tflite(2, Some((10, new().int(0, 9))), &[])),
        ("blocks", tflite(5, Some((94, new().int(0, 0))), &[])),
        ("low blocks", tflite(26, Some((17, new().int(0, -2))), &[])),
        ("squeeze", tflite(43, Some((30, new().ints(0, &[2]))), &[])),
        ("far squeeze", tflite(43, Some((30, new().ints(0, &[i32::MAX]))), &[])),
        ("while", tflite(119, Some((93, new().int(0, 7).int(1, -1))), &[])),
        ("branch", tflite(118, Some((92, new().int(0, 0).int(1, 0))), &[])),
    ];
    for (name, file) in cases {
        let error = chain(&run(file, "a", &[1, 3, 4, 2]).expect_err(name));
        assert!(error.contains("`out`") || error.contains("`graph 0`"), "{name}: {error}");
    }
    // Four gigabytes in a file of a kilobyte.
    let claim = tflite(0, None, &[(0, &[1 << 30], vec![0; 16])]);
    assert!(claim.len() < 1024);
    assert!(run(claim, "a", &[1, 3, 4, 2]).is_err());
}
