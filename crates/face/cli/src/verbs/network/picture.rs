//! A picture for a network, and its classes: what flags, notes and the network's own file say,
//! in this order, decides how bytes become numbers.

use crate::{
    args::{ColoursArg, FilterArg, FitArg, LayoutArg, PictureArgs},
    failure::{Exit, Failure, Result, chain},
    notes::{self, Labels, Notes, Numbers as NoteNumbers, Size},
    output::{Output, say},
};
use clap::ValueEnum;
use engine::Network;
use formats::{
    onnx::ElementType,
    tflite::metadata::{self, Metadata},
};
use import::{
    network::Numbers,
    onnx::{Declared, Extent},
};
use ledge::Array;
use media::{Colours, Filter, Fit, Layout, Normalise, Picture};
use serde_json::json;
use std::path::Path;
use tensor::{DType, F16};

/// The input that a picture became.
pub(super) struct Seen {
    pub(super) name: String,
    pub(super) array: Array,
    /// Columns and rows of the file.
    size: (u32, u32),
    labels: Option<Vec<String>>,
    softmax: bool,
}

const SHOWN_HINT: &str = "`ledge inspect` lists the inputs; --input NAME=FILE.npy gives any array";

/// Reads a picture and makes it an input; `given` are the inputs that other flags give.
pub(super) fn see(
    args: &PictureArgs,
    path: &Path,
    network: &Network,
    model: &Path,
    given: &[String],
    quiet: bool,
) -> Result<Seen> {
    let notes = Notes::beside(model)?;
    let own = own(network)?;
    let (place, input) = input(network, notes.image.input.as_deref(), given)?;
    let described = own.as_ref().and_then(|own| own.inputs.get(place));
    let mut wish = Wish::of(args, &notes)?;
    if !wish.is_normalised
        && let Some(described) = described.filter(|described| !described.mean.is_empty())
    {
        wish.normalise = Normalise {
            scale: 1.0,
            mean: three(&described.mean)?,
            deviation: three(&described.deviation)?,
        };
        wish.is_normalised = true;
    }
    let bytes = std::fs::read(path).map_err(|error| Failure::reading(path, &error))?;
    let picture = Picture::decode(&bytes).map_err(|error| {
        Failure::new(Exit::File, &error).at(path.display()).hint(match error {
            media::PictureError::Other => "convert it to JPEG or PNG",
            media::PictureError::TooLarge { .. } => "make it smaller first",
            _ => "fetch or save it again",
        })
    })?;
    let form = Form::of(input, &wish, &picture)?;
    let size = (picture.width(), picture.height());
    let picture = match wish.shorter {
        Some(side) => picture.shorter(side, wish.filter).window(form.width, form.height),
        None => picture.fitted(form.width, form.height, wish.fit, wish.filter),
    };
    let array = elements(network, place, input, &picture, &form, &wish, quiet)?;
    let labels = labels(args, &notes, own.as_ref(), network)?;
    let softmax = args.softmax || notes.image.softmax.unwrap_or(false);
    Ok(Seen { name: input.name.clone(), array, size, labels, softmax })
}

/// What the network's own file says.
fn own(network: &Network) -> Result<Option<Metadata<'_>>> {
    let Ok(model) = formats::tflite::Model::parse(network.bytes()) else { return Ok(None) };
    model.described().map_err(|error| damaged(network, &error))
}

fn damaged(network: &Network, error: &formats::FormatError) -> Failure {
    Failure::new(Exit::File, chain(error))
        .at(network.label())
        .hint("what the file says of its labels is damaged: give --labels and the --image flags")
}

/// The input that takes a picture.
fn input<'n>(
    network: &'n Network,
    named: Option<&str>,
    given: &[String],
) -> Result<(usize, &'n Declared)> {
    let all = network.inputs().iter().enumerate();
    if let Some(name) = named {
        return all.clone().find(|(_, input)| input.name == name).ok_or_else(|| {
            Failure::new(
                Exit::File,
                format!("the notes name an input `{name}`, which does not exist"),
            )
            .at(network.label())
            .hint(SHOWN_HINT)
        });
    }
    let is_open = |input: &Declared| !given.contains(&input.name);
    let looks = |input: &Declared| {
        let rank = input.dims.as_ref().map(Vec::len);
        is_open(input) && matches!(rank, None | Some(3 | 4)) && element(input).is_some()
    };
    let fitting: Vec<_> = all.filter(|(_, input)| looks(input)).collect();
    match fitting[..] {
        [one] => Ok(one),
        [] => {
            let names: Vec<String> = network
                .inputs()
                .iter()
                .map(|input| {
                    let dims = input.dims.as_deref().map(import::onnx::extents);
                    format!("`{}` {}", input.name, dims.unwrap_or_default())
                })
                .collect();
            let what = format!("no input takes a picture: there are {}", names.join(", "));
            Err(Failure::usage(what).at(network.label()).hint(SHOWN_HINT))
        }
        _ => {
            let names: Vec<&str> = fitting.iter().map(|(_, input)| input.name.as_str()).collect();
            let what = format!("which input takes the picture? there are {}", names.join(", "));
            let hint =
                "name it in notes beside the network: [image] input, or give the others by --input";
            Err(Failure::usage(what).at(network.label()).hint(hint))
        }
    }
}

fn element(input: &Declared) -> Option<DType> {
    match input.element? {
        ElementType::Float => Some(DType::F32),
        ElementType::Float16 => Some(DType::F16),
        ElementType::Uint8 => Some(DType::U8),
        ElementType::Int8 => Some(DType::I8),
        _ => None,
    }
}

/// What is asked for by flags and notes.
struct Wish {
    size: Option<[u32; 2]>,
    shorter: Option<u32>,
    fit: Fit,
    filter: Filter,
    layout: Option<Layout>,
    colours: Option<Colours>,
    normalise: Normalise,
    /// Whether anybody said how bytes become numbers.
    is_normalised: bool,
}

/// A word of the notes that must be one of a flag's values.
fn word<T: ValueEnum>(flag: Option<T>, note: Option<&str>, name: &str) -> Result<Option<T>> {
    match (flag, note) {
        (Some(flag), _) => Ok(Some(flag)),
        (None, None) => Ok(None),
        (None, Some(word)) => T::from_str(word, true).map(Some).map_err(|_| {
            let known: Vec<String> = T::value_variants()
                .iter()
                .filter_map(|value| Some(value.to_possible_value()?.get_name().to_owned()))
                .collect();
            Failure::new(Exit::File, format!("the notes' `{name}` is `{word}`"))
                .at("[image]")
                .hint(format!("it is one of {}", known.join(", ")))
        }),
    }
}

/// One number for each colour.
fn three(list: &[f32]) -> Result<[f32; 3]> {
    match *list {
        [one] => Ok([one; 3]),
        [a, b, c] => Ok([a, b, c]),
        _ => Err(Failure::usage(format!("{} numbers for three colours", list.len()))
            .at("mean and std")
            .hint("give one number, or one for each colour in their order")),
    }
}

fn noted(note: Option<&NoteNumbers>) -> Vec<f32> {
    match note {
        None => Vec::new(),
        Some(NoteNumbers::One(one)) => vec![*one],
        Some(NoteNumbers::Each(list)) => list.clone(),
    }
}

impl Wish {
    fn of(args: &PictureArgs, notes: &Notes) -> Result<Self> {
        let image = &notes.image;
        let size = args.image_size.or_else(|| {
            image.size.as_ref().map(|size| match *size {
                Size::Square(side) => [side; 2],
                Size::Sides(sides) => sides,
            })
        });
        let shorter = args.image_shorter.or(image.shorter);
        if size.into_iter().flatten().chain(shorter).any(|side| !(1..65536).contains(&side)) {
            return Err(Failure::new(Exit::File, "a side of 0 or above 65535").at("[image]"));
        }
        let fit = match word(args.image_fit, image.fit.as_deref(), "fit")? {
            None | Some(FitArg::Stretch) => Fit::Stretch,
            Some(FitArg::Crop) => Fit::Crop,
            Some(FitArg::Pad) => Fit::Pad,
        };
        let filter = match word(args.image_filter, image.filter.as_deref(), "filter")? {
            None | Some(FilterArg::Bilinear) => Filter::Bilinear,
            Some(FilterArg::Nearest) => Filter::Nearest,
            Some(FilterArg::Bicubic) => Filter::Bicubic,
        };
        let layout = word(args.image_layout, image.layout.as_deref(), "layout")?;
        let layout = layout.map(|layout| match layout {
            LayoutArg::Nchw => Layout::First,
            LayoutArg::Nhwc => Layout::Last,
        });
        let colours = word(args.image_colours, image.colours.as_deref(), "colours")?;
        let colours = colours.map(|colours| match colours {
            ColoursArg::Rgb => Colours::Rgb,
            ColoursArg::Bgr => Colours::Bgr,
            ColoursArg::Grey => Colours::Grey,
        });
        let or = |flag: &[f32], note: Option<&NoteNumbers>| {
            if flag.is_empty() { noted(note) } else { flag.to_vec() }
        };
        let (mean, std) =
            (or(&args.image_mean, image.mean.as_ref()), or(&args.image_std, image.std.as_ref()));
        let scale = args.image_scale.or(image.scale);
        let plain = Normalise::default();
        let deviation = if std.is_empty() { plain.deviation } else { three(&std)? };
        if deviation.iter().any(|x| !x.is_normal()) {
            return Err(Failure::usage("a divisor that is 0 or no number").at("std"));
        }
        Ok(Self {
            size,
            shorter,
            fit,
            filter,
            layout,
            colours,
            is_normalised: scale.is_some() || !mean.is_empty() || !std.is_empty(),
            normalise: Normalise {
                scale: scale.unwrap_or(plain.scale),
                mean: if mean.is_empty() { plain.mean } else { three(&mean)? },
                deviation,
            },
        })
    }
}

/// What an input wants of a picture.
struct Form {
    layout: Layout,
    colours: Colours,
    width: u32,
    height: u32,
    /// Whether there is an extent for several pictures.
    batch: bool,
}

impl Form {
    fn of(input: &Declared, wish: &Wish, picture: &Picture) -> Result<Self> {
        let refuse = |what: String, hint: &str| {
            Err(Failure::usage(what).at(format!("the input `{}`", input.name)).hint(hint))
        };
        let fixed = |dim: &Extent| match dim {
            Extent::Fixed(n) => Some(*n),
            Extent::Named(_) | Extent::Free => None,
        };
        let dims: Vec<Option<u64>> = match &input.dims {
            Some(dims) => dims.iter().map(fixed).collect(),
            None => vec![None; 4],
        };
        let batch = dims.len() == 4;
        let Some(&[a, b, c]) = dims.get(usize::from(batch)..).and_then(|rest| rest.first_chunk())
        else {
            return refuse("takes no picture".into(), SHOWN_HINT);
        };
        if batch && dims[0].is_some_and(|n| n != 1) {
            return refuse(format!("takes {} pictures at once", dims[0].unwrap_or(0)), SHOWN_HINT);
        }
        let is_colours = |dim: Option<u64>| matches!(dim, Some(1 | 3));
        let layout = match wish.layout {
            Some(layout) => layout,
            None if is_colours(c) => Layout::Last,
            None if is_colours(a) => Layout::First,
            None => {
                return refuse(
                    "does not say where colours stand".into(),
                    "give --image-layout nchw or nhwc",
                );
            }
        };
        let (count, height, width) = match layout {
            Layout::First => (a, b, c),
            Layout::Last => (c, a, b),
        };
        let colours = match (wish.colours, count) {
            (Some(colours), _) => colours,
            (None, Some(1)) => Colours::Grey,
            (None, _) => Colours::Rgb,
        };
        if count.is_some_and(|count| count != colours.count() as u64) {
            let (have, want) = (colours.count(), count.unwrap_or(0));
            return refuse(
                format!("takes {want} numbers for each pixel, not {have}"),
                "give another --image-colours",
            );
        }
        let [tall, wide] = match wish.size {
            Some(size) => size.map(Some),
            None => [None; 2],
        };
        let side = |fixed: Option<u64>, wish: Option<u32>, own: u32| match (fixed, wish) {
            (Some(side), Some(wish)) if side != u64::from(wish) => Err(side),
            (Some(side), _) => {
                u32::try_from(side).ok().filter(|n| (1..65536).contains(n)).ok_or(side)
            }
            (None, wish) => Ok(wish.unwrap_or(own)),
        };
        let height = side(height, tall, picture.height());
        let width = side(width, wide, picture.width());
        match (height, width) {
            (Ok(height), Ok(width)) => Ok(Self { layout, colours, width, height, batch }),
            (Err(side), _) | (_, Err(side)) => refuse(
                format!("has a side of {side}"),
                "leave out the size, or give the input's own",
            ),
        }
    }

    fn dims(&self) -> Vec<u64> {
        let (h, w, c) = (self.height.into(), self.width.into(), self.colours.count() as u64);
        let mut dims = match self.layout {
            Layout::First => vec![c, h, w],
            Layout::Last => vec![h, w, c],
        };
        if self.batch {
            dims.insert(0, 1);
        }
        dims
    }
}

/// The picture in the input's type.
fn elements(
    network: &Network,
    place: usize,
    input: &Declared,
    picture: &Picture,
    form: &Form,
    wish: &Wish,
    quiet: bool,
) -> Result<Array> {
    let dtype = element(input).unwrap_or(DType::F32);
    let numbers = || picture.numbers(form.colours, form.layout, &wish.normalise);
    let codes = matches!(dtype, DType::U8 | DType::I8);
    if !wish.is_normalised && !codes && !quiet {
        say(format_args!(
            "note: nothing says how pixels become numbers: they are taken from 0 to 1 (--image-scale, --image-mean, --image-std)"
        ));
    }
    let bytes: Vec<u8> = match (dtype, network.input_scale(place)) {
        (DType::F16, _) => {
            numbers().into_iter().flat_map(|x| F16::from_f32(x).to_le_bytes()).collect()
        }
        (DType::F32, _) => numbers().into_iter().flat_map(f32::to_le_bytes).collect(),
        (_, Some(by)) if wish.is_normalised => {
            let (low, high) = if dtype == DType::U8 { (0, 255) } else { (-128, 127) };
            let code = |x: f32| {
                #[expect(clippy::cast_possible_truncation, reason = "`as` clamps, which is wanted")]
                let steps = (x / by.scale).round() as i32;
                steps.saturating_add(by.zero).clamp(low, high).to_le_bytes()[0]
            };
            numbers().into_iter().map(code).collect()
        }
        // Pixels are the codes; signed ones begin at -128.
        (DType::I8, _) => {
            picture.arranged(form.colours, form.layout).iter().map(|byte| byte ^ 0x80).collect()
        }
        _ => picture.arranged(form.colours, form.layout),
    };
    Array::new(dtype, &form.dims(), bytes).map_err(|error| Failure::new(Exit::Ours, error))
}

/// Names of classes: the user's, the notes', or those in the network's file.
fn labels(
    args: &PictureArgs,
    notes: &Notes,
    own: Option<&Metadata<'_>>,
    network: &Network,
) -> Result<Option<Vec<String>>> {
    if let Some(path) = &args.labels {
        return notes::labels(path).map(Some);
    }
    match &notes.labels {
        Some(Labels::File(path)) => return notes::labels(&notes.folder.join(path)).map(Some),
        Some(Labels::List(list)) => return Ok(Some(list.clone())),
        None => {}
    }
    // Text recognisers keep their characters among the metadata.
    if args.ctc
        && let Ok(model) = formats::onnx::Model::parse(network.bytes())
        && let Some((_, lines)) = model.metadata_props.iter().find(|(key, _)| *key == "character")
    {
        return Ok(Some(lines.to_string().split('\n').map(str::to_owned).collect()));
    }
    let name = own.and_then(|own| own.outputs.iter().find_map(|output| output.labels));
    let Some(name) = name else { return Ok(None) };
    let packed =
        metadata::packed(network.bytes(), name).map_err(|error| damaged(network, &error))?;
    Ok(packed.map(|bytes| notes::lines(&String::from_utf8_lossy(bytes))))
}

/// Prints the best classes.
pub(super) fn show(
    args: &PictureArgs,
    seen: &Seen,
    network: &Network,
    outputs: &[(String, Array)],
    json_ms: Option<f64>,
) -> Result<()> {
    if args.ctc {
        return super::ctc::show(seen.labels.as_deref(), network.label(), outputs, json_ms);
    }
    let is_list = |array: &Array| array.shape().iter().filter(|&&dim| dim != 1).count() <= 1;
    let wanted = seen.labels.as_ref().map(Vec::len);
    let fits =
        |array: &Array| wanted.is_none_or(|count| array.shape().elements() == Some(count as u64));
    let lists = || outputs.iter().enumerate().filter(|(_, (_, array))| is_list(array));
    let found = lists().find(|(_, (_, array))| fits(array)).or_else(|| lists().next());
    let Some((place, (name, array))) = found else {
        let shapes: Vec<String> =
            outputs.iter().map(|(name, array)| format!("`{name}` {}", array.shape())).collect();
        let what = format!("no output is a list of scores: there are {}", shapes.join(", "));
        return Err(Failure::usage(what)
            .at(network.label())
            .hint("write them as arrays: --output DIR/"));
    };
    let numbers = Numbers { dtype: array.dtype(), bytes: array.bytes() }.floats();
    let mut scores: Vec<f64> = match network.output_scale(place) {
        Some(by) => {
            numbers.iter().map(|x| (x - f64::from(by.zero)) * f64::from(by.scale)).collect()
        }
        None => numbers,
    };
    if let Some(labels) = &seen.labels
        && labels.len() != scores.len()
    {
        let (have, want) = (labels.len(), scores.len());
        let place = args.labels.as_ref().map_or("labels".into(), |path| path.display().to_string());
        return Err(Failure::new(
            Exit::File,
            format!("{have} labels, but `{name}` has {want} scores"),
        )
        .at(place)
        .hint("give a file with one label a line, in the order of the scores"));
    }
    if seen.softmax {
        let most = scores.iter().fold(f64::NEG_INFINITY, |most, x| most.max(*x));
        let sum: f64 = scores.iter().map(|x| (x - most).exp()).sum();
        scores = scores.iter().map(|x| (x - most).exp() / sum).collect();
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
    order.truncate(args.top);
    let label = |idx: usize| seen.labels.as_ref().map(|labels| labels[idx].as_str());
    let mut output = Output::stdout();
    if let Some(run_ms) = json_ms {
        let list: Vec<_> = order
            .iter()
            .map(|&idx| json!({ "index": idx, "label": label(idx), "score": scores[idx] }))
            .collect();
        let image = json!({ "width": seen.size.0, "height": seen.size.1 });
        let object = json!({ "image": image, "output": name, "labels": list, "run_ms": run_ms });
        output.line(&object.to_string())?;
    } else {
        for &idx in &order {
            match label(idx) {
                Some(label) => output.line(&format!("{:8.4}  {label}", scores[idx]))?,
                None => output.line(&format!("{:8.4}  class {idx}", scores[idx]))?,
            }
        }
    }
    output.finish()
}
