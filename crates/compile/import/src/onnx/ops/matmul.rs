//! Products of matrices, and what reduces to them.

use super::super::call::{Call, Outputs, one};
use crate::network::{Builder, Fault, Tensor, emit::contiguous};
use plan::array::{ReduceKind, Zip};
use std::collections::BTreeMap;

pub(super) fn matmul(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    one(product(b, call.tensor(0)?, call.tensor(1)?)?)
}

/// NumPy's product: vectors are rows on the left and columns on the right.
pub(super) fn product(b: &mut Builder<'_>, x: &Tensor, y: &Tensor) -> Result<Tensor, Fault> {
    if x.rank() == 0 || y.rank() == 0 {
        return Err(Fault::invalid("a product needs at least one dimension"));
    }
    let left = if x.rank() == 1 { b.unsqueeze(x, 0)? } else { x.clone() };
    let right = if y.rank() == 1 { b.unsqueeze(y, 1)? } else { y.clone() };
    let mut result = b.matmul(&left, &right)?;
    if y.rank() == 1 {
        result = b.squeeze(&result, &[result.rank() - 1])?;
    }
    if x.rank() == 1 {
        let place = result.rank() - if y.rank() == 1 { 1 } else { 2 };
        result = b.squeeze(&result, &[place])?;
    }
    Ok(result)
}

pub(super) fn gemm(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let (mut x, mut y) = (call.tensor(0)?.clone(), call.tensor(1)?.clone());
    let (alpha, beta) = (call.float("alpha", 1.0)?, call.float("beta", 1.0)?);
    let (turn_x, turn_y) = (call.flag("transA", false)?, call.flag("transB", false)?);
    call.int("broadcast", 0)?;
    if x.rank() != 2 || y.rank() != 2 {
        return Err(Fault::invalid(format!("factors must be matrices: {}, {}", x.dims, y.dims)));
    }
    if turn_x {
        x = b.swap(&x, 0, 1)?;
    }
    if turn_y {
        y = b.swap(&y, 0, 1)?;
    }
    let mut result = b.matmul(&x, &y)?;
    if alpha.to_bits() != 1f32.to_bits() {
        result = b.with(Zip::Multiply, &result, f64::from(alpha))?;
    }
    let Some(c) = call.optional(2)? else { return one(result) };
    let mut c = c.clone();
    if beta.to_bits() != 1f32.to_bits() {
        c = b.with(Zip::Multiply, &c, f64::from(beta))?;
    }
    one(b.add(&result, &c)?)
}

/// An operand of a sum over labels: a letter for each dimension.
#[derive(Clone, Debug)]
struct Labelled {
    labels: Vec<char>,
    tensor: Tensor,
}

pub(super) fn einsum(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let equation: String =
        call.text("equation", "")?.chars().filter(|c| !c.is_whitespace()).collect();
    let tensors = call.tensors()?;
    let (left, right) = match equation.split_once("->") {
        Some((left, right)) => (left, Some(right)),
        None => (equation.as_str(), None),
    };
    let terms: Vec<&str> = left.split(',').collect();
    if terms.len() != tensors.len() || terms.is_empty() {
        return Err(Fault::invalid(format!("`{equation}` of {} inputs", tensors.len())));
    }
    let mut dots = 0;
    for (term, tensor) in terms.iter().zip(&tensors) {
        if term.contains("...") {
            let letters = term.len().saturating_sub(3);
            dots = dots.max(tensor.rank().saturating_sub(letters));
        }
    }
    let mut operands = Vec::with_capacity(terms.len());
    for (term, tensor) in terms.iter().zip(&tensors) {
        let labels = spell(term, Some(tensor.rank()), dots)?;
        operands.push(diagonal(b, &labels, tensor)?);
    }
    let output = match right {
        Some(right) => spell(right, None, dots)?,
        None => implicit(&operands, dots),
    };
    let mut operands = operands.into_iter();
    let mut result = operands.next().ok_or_else(|| Fault::invalid("there is no input"))?;
    let rest: Vec<Labelled> = operands.collect();
    for (i, next) in rest.iter().enumerate() {
        let later: Vec<char> = rest[i + 1..]
            .iter()
            .flat_map(|term| term.labels.clone())
            .chain(output.clone())
            .collect();
        result = contract(b, result, next.clone(), &later)?;
    }
    let result = sum_out(b, result, &output)?;
    let order: Option<Vec<usize>> =
        output.iter().map(|label| result.labels.iter().position(|own| own == label)).collect();
    let order =
        order.ok_or_else(|| Fault::invalid(format!("`{equation}` gives an unknown label")))?;
    one(b.transpose(&result.tensor, &order)?)
}

/// The labels of a term; dots stand for digits, aligned at the end.
fn spell(term: &str, rank: Option<usize>, dots: usize) -> Result<Vec<char>, Fault> {
    let wrong = || Fault::invalid(format!("term `{term}` does not fit its operand"));
    let digit = |i: usize| char::from_digit(u32::try_from(i).unwrap_or(99), 10).ok_or_else(wrong);
    let (before, after) = term.split_once("...").unwrap_or((term, ""));
    let letters = before.chars().count() + after.chars().count();
    let hidden = match (term.contains("..."), rank) {
        (true, Some(rank)) => rank.checked_sub(letters).ok_or_else(wrong)?,
        (true, None) => dots,
        (false, _) => 0,
    };
    let mut labels: Vec<char> = before.chars().collect();
    for i in dots - hidden.min(dots)..dots {
        labels.push(digit(i)?);
    }
    labels.extend(after.chars());
    let plain = |c: &char| c.is_ascii_alphanumeric();
    if !labels.iter().all(plain) || rank.is_some_and(|rank| rank != labels.len()) {
        return Err(wrong());
    }
    Ok(labels)
}

/// Without an arrow: dots, then labels that occur once, in order.
fn implicit(operands: &[Labelled], dots: usize) -> Vec<char> {
    let mut counts: BTreeMap<char, usize> = BTreeMap::new();
    for label in operands.iter().flat_map(|term| &term.labels) {
        *counts.entry(*label).or_default() += 1;
    }
    let digits = (0..dots).filter_map(|i| char::from_digit(u32::try_from(i).ok()?, 10));
    let once = counts.into_iter().filter(|(c, n)| *n == 1 && c.is_ascii_alphabetic());
    digits.chain(once.map(|(c, _)| c)).collect()
}

/// Repeated labels of one operand become one: the diagonal.
fn diagonal(b: &mut Builder<'_>, labels: &[char], x: &Tensor) -> Result<Labelled, Fault> {
    let mut kept: Vec<char> = Vec::new();
    let (mut dims, mut strides): (Vec<u64>, Vec<i64>) = (Vec::new(), Vec::new());
    for ((label, &dim), stride) in labels.iter().zip(&*x.dims).zip(contiguous(&x.dims)) {
        match kept.iter().position(|known| known == label) {
            Some(place) if dims[place] == dim => strides[place] += stride,
            Some(_) => return Err(Fault::invalid(format!("label `{label}` has two extents"))),
            None => {
                kept.push(*label);
                dims.push(dim);
                strides.push(stride);
            }
        }
    }
    let tensor =
        if kept.len() == labels.len() { x.clone() } else { b.view(x, &dims, &strides, 0)? };
    Ok(Labelled { labels: kept, tensor })
}

/// Sums over labels that nobody needs.
fn sum_out(b: &mut Builder<'_>, x: Labelled, needed: &[char]) -> Result<Labelled, Fault> {
    let axes: Vec<usize> =
        (0..x.labels.len()).filter(|&i| !needed.contains(&x.labels[i])).collect();
    if axes.is_empty() {
        return Ok(x);
    }
    let tensor = b.reduce(ReduceKind::Sum, &x.tensor, &axes, false)?;
    let labels = x.labels.into_iter().filter(|label| needed.contains(label)).collect();
    Ok(Labelled { labels, tensor })
}

/// The product of two operands, summed over labels that are not needed later.
fn contract(
    b: &mut Builder<'_>,
    x: Labelled,
    y: Labelled,
    later: &[char],
) -> Result<Labelled, Fault> {
    let also = |labels: &[char]| later.iter().chain(labels).copied().collect::<Vec<char>>();
    let (for_x, for_y) = (also(&y.labels), also(&x.labels));
    let (x, y) = (sum_out(b, x, &for_x)?, sum_out(b, y, &for_y)?);
    let pick = |list: &[char], keep: &dyn Fn(char) -> bool| {
        list.iter().copied().filter(|&c| keep(c)).collect::<Vec<char>>()
    };
    let batch = pick(&x.labels, &|c| y.labels.contains(&c) && later.contains(&c));
    let inner = pick(&x.labels, &|c| y.labels.contains(&c) && !later.contains(&c));
    let rows = pick(&x.labels, &|c| !y.labels.contains(&c));
    let columns = pick(&y.labels, &|c| !x.labels.contains(&c));
    let extent = |term: &Labelled, label: char| {
        term.labels.iter().position(|&own| own == label).map_or(1, |i| term.tensor.dims[i])
    };
    // An extent of 1 is repeated to the other operand's.
    let both = |label: char| extent(&x, label).max(extent(&y, label));
    let sizes = |list: &[char]| list.iter().map(|&c| both(c)).collect::<Vec<u64>>();
    let mut lay = |term: &Labelled, groups: [&[char]; 3]| {
        let labels: Vec<char> = groups.concat();
        let order: Vec<usize> = labels
            .iter()
            .filter_map(|label| term.labels.iter().position(|own| own == label))
            .collect();
        let tensor = b.transpose(&term.tensor, &order)?;
        let tensor = b.expand(&tensor, &sizes(&labels))?;
        let flat = |group: &[char]| sizes(group).iter().product::<u64>();
        b.reshape(&tensor, &[flat(groups[0]), flat(groups[1]), flat(groups[2])])
    };
    let left = lay(&x, [&batch, &rows, &inner])?;
    let right = lay(&y, [&batch, &inner, &columns])?;
    let result = b.matmul(&left, &right)?;
    let labels = [batch, rows, columns].concat();
    Ok(Labelled { tensor: b.reshape(&result, &sizes(&labels))?, labels })
}

/// The determinant of matrices, by expansion: they are 2×2 or 3×3 wherever the operator is used.
pub(super) fn det(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(0)?;
    let rank = x.rank();
    let n = x.dims.dims().last().copied().unwrap_or(0);
    if rank < 2 || x.dims[rank - 2] != n || !(1..=4).contains(&n) {
        return Err(Fault::unsupported(format!("determinants of {}", x.dims)));
    }
    let batch = x.span(0..rank - 2);
    let flat = b.reshape(x, &[batch, n, n])?;
    let all: Vec<u64> = (0..n).collect();
    let result = minor(b, &flat, 0, &all)?;
    one(b.reshape(&result, &x.dims[..rank - 2])?)
}

fn minor(b: &mut Builder<'_>, x: &Tensor, row: u64, columns: &[u64]) -> Result<Tensor, Fault> {
    let mut sum: Option<Tensor> = None;
    for (i, &column) in columns.iter().enumerate() {
        let cell = b.slice(x, 1, row, 1, 1)?;
        let cell = b.slice(&cell, 2, column, 1, 1)?;
        let rest: Vec<u64> = columns.iter().copied().filter(|&c| c != column).collect();
        let term = if rest.is_empty() {
            cell
        } else {
            let inner = minor(b, x, row + 1, &rest)?;
            b.mul(&cell, &inner)?
        };
        sum = Some(match sum {
            None => term,
            Some(sum) if i % 2 == 1 => b.sub(&sum, &term)?,
            Some(sum) => b.add(&sum, &term)?,
        });
    }
    sum.ok_or_else(|| Fault::invalid("a matrix without elements"))
}
