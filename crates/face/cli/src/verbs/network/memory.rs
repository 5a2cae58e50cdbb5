//! The memory plan of a network: in words, and as a picture with time across and bytes up.
//!
//! A value lives from the step that writes it to the last that reads it; its box stands at its
//! place in the buffer. Buffers stand above each other. Weights do not change while a network runs
//! and are told beside the picture.

use crate::{failure::Result, output::Output};
use engine::network::NetworkPlan;
use plan::{BufferKind, Operand, Plan, Slot, Step};
use std::{collections::BTreeMap, fmt::Write as _, path::Path};
use tensor::Bytes;

/// A value at its place.
#[derive(Debug)]
struct Block {
    /// Where its buffer and then its bytes begin.
    bottom: u64,
    bytes: u64,
    /// The step that writes it; inputs are there from the beginning.
    first: usize,
    last: usize,
    title: String,
    kind: String,
}

/// A buffer in the picture.
#[derive(Debug)]
struct Lane {
    name: String,
    bottom: u64,
    bytes: u64,
}

/// What one stage keeps while it runs.
#[derive(Debug)]
struct Picture {
    steps: usize,
    lanes: Vec<Lane>,
    blocks: Vec<Block>,
    height: u64,
    weights: Bytes,
}

fn size(slot: &Slot) -> u64 {
    slot.dims.iter().map(|dim| dim.at(&[])).fold(slot.dtype.bytes(), u64::saturating_mul)
}

fn dims(slot: &Slot) -> String {
    let list: Vec<String> = slot.dims.iter().map(|dim| dim.at(&[]).to_string()).collect();
    format!("{} [{}]", slot.dtype, list.join(", "))
}

fn slots(step: &Step) -> impl Iterator<Item = &Slot> {
    step.inputs.iter().filter_map(|operand| match operand {
        Operand::Slot(slot) => Some(slot),
        Operand::Weight(_) | Operand::State(_) | Operand::Absent => None,
    })
}

impl Picture {
    fn of(plan: &Plan) -> Self {
        let mut lanes = BTreeMap::new();
        let mut list: Vec<Lane> = Vec::new();
        let mut height = 0;
        let holding =
            |kind| matches!(kind, BufferKind::Arena | BufferKind::Io | BufferKind::Scratch);
        let buffers = plan.buffers.iter().enumerate();
        let kept = buffers.filter(|(_, buffer)| holding(buffer.kind) && buffer.bytes.0 > 0);
        let mut kept: Vec<_> = kept.collect();
        // The arena is what the picture is about: it stands at the bottom.
        kept.sort_by_key(|(_, buffer)| buffer.kind != BufferKind::Arena);
        for (id, buffer) in kept {
            lanes.insert(id, height);
            list.push(Lane { name: buffer.name.clone(), bottom: height, bytes: buffer.bytes.0 });
            height += buffer.bytes.0;
        }
        let place = |slot: &Slot| Some(lanes.get(&(slot.buffer.0 as usize))? + slot.offset);
        let mut blocks: Vec<Block> = Vec::new();
        for port in &plan.inputs {
            if let Some(bottom) = place(&port.slot) {
                let title = format!("input {}: {}", port.name, dims(&port.slot));
                let kind = "input".into();
                let bytes = size(&port.slot);
                blocks.push(Block { bottom, bytes, first: 0, last: 0, title, kind });
            }
        }
        let read = |blocks: &mut Vec<Block>, slot: &Slot, at: usize| {
            let Some(bottom) = place(slot) else { return };
            let end = bottom + size(slot);
            let over =
                |block: &&mut Block| block.bottom < end && bottom < block.bottom + block.bytes;
            if let Some(block) = blocks.iter_mut().rev().find(over) {
                block.last = block.last.max(at);
            }
        };
        for (at, step) in plan.steps.iter().enumerate() {
            for slot in slots(step) {
                read(&mut blocks, slot, at);
            }
            if let Some(bottom) = place(&step.output) {
                let bytes = size(&step.output);
                let kind = step.op.name().to_owned();
                let title = format!("step {at}, {kind}: {}, {}", dims(&step.output), Bytes(bytes));
                // What is overwritten in place does not lie beside the result.
                let over = |block: &&mut Block| (block.bottom, block.bytes) == (bottom, bytes);
                if let Some(block) = blocks.iter_mut().rev().find(over)
                    && block.last == at
                {
                    block.last = at.saturating_sub(1).max(block.first);
                }
                blocks.push(Block { bottom, bytes, first: at, last: at, title, kind });
            }
        }
        for port in &plan.outputs {
            read(&mut blocks, &port.slot, plan.steps.len().saturating_sub(1));
        }
        Self {
            steps: plan.steps.len().max(1),
            lanes: list,
            blocks,
            height,
            weights: [BufferKind::PackedWeights, BufferKind::MappedWeights]
                .into_iter()
                .map(|kind| plan.bytes_of(kind))
                .sum(),
        }
    }

    /// Bytes that live at each step.
    fn live(&self) -> Vec<u64> {
        let mut live = vec![0; self.steps];
        for block in &self.blocks {
            for sum in &mut live[block.first..=block.last] {
                *sum += block.bytes;
            }
        }
        live
    }
}

/// Tells what each stage keeps.
pub(super) fn tell(planned: &NetworkPlan, output: &mut Output) -> Result<()> {
    const SHOWN: usize = 5;
    for (number, plan) in planned.stages.iter().enumerate() {
        let picture = Picture::of(plan);
        if planned.stages.len() > 1 {
            output.line(&format!("stage {number}"))?;
        }
        output.line(&format!("{:<15} {:>12}", "weights", picture.weights))?;
        for lane in &picture.lanes {
            output.line(&format!("{:<15} {:>12}", lane.name, Bytes(lane.bytes)))?;
        }
        let live = picture.live();
        let most = live.iter().enumerate().max_by_key(|(at, bytes)| (**bytes, usize::MAX - at));
        if let Some((at, bytes)) = most {
            output.line(&format!("{:<15} {:>12}  at step {at}", "live at most", Bytes(*bytes)))?;
        }
        let mut largest: Vec<&Block> = picture.blocks.iter().collect();
        largest.sort_by_key(|block| std::cmp::Reverse(block.bytes));
        for block in largest.into_iter().take(SHOWN) {
            output.line(&format!("  {}, until step {}", block.title, block.last))?;
        }
    }
    Ok(())
}

/// Draws each stage's plan below the other.
pub(super) fn draw(planned: &NetworkPlan, label: &str, path: &Path) -> Result<()> {
    let svg = svg(planned, label);
    let mut output = Output::open(Some(path))?;
    output.write(&svg)?;
    output.finish()
}

const WIDTH: f64 = 1200.0;
const LEFT: f64 = 90.0;
const RIGHT: f64 = 20.0;
const TALL: f64 = 420.0;
const ABOVE: f64 = 60.0;
const BELOW: f64 = 60.0;

fn svg(planned: &NetworkPlan, label: &str) -> String {
    let each = TALL + ABOVE + BELOW;
    let count = planned.stages.len().max(1);
    let all = each * count as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {all}\" width=\"{WIDTH}\" \
         height=\"{all}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    for (number, plan) in planned.stages.iter().enumerate() {
        let title = match planned.stages.len() {
            1 => label.to_owned(),
            count => format!("{label}, stage {} of {count}", number + 1),
        };
        stage(&mut svg, &Picture::of(plan), &title, each * number as f64 + ABOVE);
    }
    svg += "</svg>\n";
    svg
}

/// Writes a line of the picture; writing to text cannot fail.
macro_rules! put {
    ($svg:expr, $($text:tt)*) => {
        writeln!($svg, $($text)*).expect("text can be written to")
    };
}

fn stage(svg: &mut String, picture: &Picture, title: &str, top: f64) {
    let across = (WIDTH - LEFT - RIGHT) / picture.steps as f64;
    let up = TALL / picture.height.max(1) as f64;
    let x = |step: usize| LEFT + step as f64 * across;
    let y = |bytes: u64| top + TALL - bytes as f64 * up;
    let most = picture.live().into_iter().max().unwrap_or(0);
    put!(
        svg,
        "<text x=\"{LEFT}\" y=\"{:.1}\" font-size=\"16\">{}</text>",
        top - 36.0,
        escaped(title)
    );
    put!(
        svg,
        "<text x=\"{LEFT}\" y=\"{:.1}\" fill=\"#555555\">{} steps; weights {} beside the picture; at most {} live at once</text>",
        top - 16.0,
        picture.steps,
        picture.weights,
        Bytes(most)
    );
    // Bytes up, in steps that a person reads.
    let unit = tick(picture.height, 6);
    let mut at = 0;
    while at <= picture.height {
        put!(
            svg,
            "<line x1=\"{LEFT}\" y1=\"{0:.1}\" x2=\"{1}\" y2=\"{0:.1}\" stroke=\"#e4e4e4\"/>",
            y(at),
            WIDTH - RIGHT
        );
        put!(
            svg,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#555555\">{}</text>",
            LEFT - 8.0,
            y(at) + 4.0,
            Bytes(at)
        );
        at += unit;
    }
    let unit = usize::try_from(tick_of(picture.steps as u64, 12)).unwrap_or(1).max(1);
    for step in (0..picture.steps).step_by(unit) {
        put!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"#555555\">{step}</text>",
            x(step),
            top + TALL + 18.0
        );
    }
    put!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#555555\">step</text>",
        WIDTH - RIGHT,
        top + TALL + 36.0
    );
    let kinds = kinds(picture);
    let mut left = LEFT;
    for (place, kind) in kinds.iter().take(9).enumerate() {
        let (colour, word) = (colour(place), if place < 8 { *kind } else { "others" });
        let (box_y, text_y) = (top + TALL + 27.0, top + TALL + 36.0);
        put!(
            svg,
            "<rect x=\"{left:.1}\" y=\"{box_y:.1}\" width=\"10\" height=\"10\" fill=\"{colour}\"/>"
        );
        put!(svg, "<text x=\"{:.1}\" y=\"{text_y:.1}\">{}</text>", left + 15.0, escaped(word));
        left += 40.0 + 7.0 * word.len() as f64;
    }
    for block in &picture.blocks {
        let place = kinds.iter().position(|kind| *kind == block.kind).unwrap_or(kinds.len());
        let (left, right) = (x(block.first), x(block.last + 1));
        let (high, low) = (y(block.bottom + block.bytes), y(block.bottom));
        put!(
            svg,
            "<rect x=\"{left:.1}\" y=\"{high:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{}\" stroke=\"#ffffff\" stroke-width=\"{}\"><title>{}</title></rect>",
            right - left,
            (low - high).max(0.5),
            colour(place),
            if across > 4.0 { 0.7 } else { 0.2 },
            escaped(&format!("{}, until step {}", block.title, block.last))
        );
        // A name where there is room for it.
        if right - left > 7.0 * block.kind.len() as f64 + 6.0 && low - high > 15.0 {
            put!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"11\" fill=\"#ffffff\" pointer-events=\"none\">{}</text>",
                left + 4.0,
                f64::midpoint(low, high) + 4.0,
                escaped(&block.kind)
            );
        }
    }
    for lane in &picture.lanes {
        let line = y(lane.bottom + lane.bytes);
        put!(
            svg,
            "<line x1=\"{LEFT}\" y1=\"{line:.1}\" x2=\"{0}\" y2=\"{line:.1}\" stroke=\"#222222\" stroke-dasharray=\"5 3\"/>",
            WIDTH - RIGHT
        );
        put!(
            svg,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{} {}</text>",
            WIDTH - RIGHT - 4.0,
            line - 4.0,
            escaped(&lane.name),
            Bytes(lane.bytes)
        );
    }
}

/// A round number of bytes of which about `count` make the whole.
fn tick(whole: u64, count: u64) -> u64 {
    let mut unit = 1u64;
    while whole / unit > count {
        unit = unit.saturating_mul(2);
    }
    unit
}

/// A round number of steps of which at most `count` make the whole.
fn tick_of(whole: u64, count: u64) -> u64 {
    let powers = (0..18).map(|power| 10u64.pow(power));
    let mut round = powers.flat_map(|power| [power, 2 * power, 5 * power]);
    round.find(|unit| whole / unit <= count).unwrap_or(whole.max(1))
}

/// Kinds of values, those that take most first: the first ones have colours of their own.
fn kinds(picture: &Picture) -> Vec<&str> {
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for block in &picture.blocks {
        let sum = sums.entry(&block.kind).or_default();
        *sum = sum.saturating_add(block.bytes);
    }
    let mut kinds: Vec<(&str, u64)> = sums.into_iter().collect();
    kinds.sort_by_key(|(_, sum)| std::cmp::Reverse(*sum));
    kinds.into_iter().map(|(kind, _)| kind).collect()
}

/// The colour of a kind by its place among them.
fn colour(place: usize) -> &'static str {
    const COLOURS: [&str; 8] =
        ["#4477aa", "#cc5566", "#228833", "#aa8822", "#3399bb", "#8844aa", "#884422", "#44aa88"];
    COLOURS.get(place).copied().unwrap_or("#888888")
}

fn escaped(text: &str) -> String {
    let plain = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    plain.chars().filter(|c| !c.is_control()).collect()
}
