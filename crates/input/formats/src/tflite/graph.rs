//! A graph of a TFLite file and its operators, which stand in an order in which they can run.

use super::{Options, Scope, Tensor, index};
use crate::{FormatError, Place, flatbuffer::Table};

/// One graph: tensors and the operators that compute them.
#[derive(Clone, Debug)]
pub struct SubGraph<'a> {
    /// Its name, such as `main`; often empty.
    pub name: &'a str,
    /// All values, constants among them.
    pub tensors: Vec<Tensor<'a>>,
    /// What the graph is given: indices into `tensors`.
    pub inputs: Vec<usize>,
    /// What the graph gives: indices into `tensors`.
    pub outputs: Vec<usize>,
    /// What it does, in order.
    pub operators: Vec<Operator<'a>>,
}

/// One use of an operator.
#[derive(Clone, Debug)]
pub struct Operator<'a> {
    /// Which one: an index into the model's operator codes.
    pub code: usize,
    /// The tensors that it takes; `None` where one is left out.
    pub inputs: Vec<Option<u32>>,
    /// The tensors that it gives; `None` where one is left out.
    pub outputs: Vec<Option<u32>>,
    /// Tensors whose quantisation it uses inside, such as an integer LSTM's.
    pub intermediates: Vec<Option<u32>>,
    /// Its settings, to be read as the table that belongs to the operator.
    pub options: Options<'a>,
    /// Its settings out of the second union, for newer operators.
    pub options2: Options<'a>,
    /// A custom operator's settings, mostly a `FlexBuffers` map.
    pub custom_options: &'a [u8],
    /// Offset of the operator in the file, for errors.
    pub at: u64,
}

impl<'a> SubGraph<'a> {
    pub(super) fn read(table: &Table<'a>, scope: &Scope<'_, 'a>) -> Result<Self, FormatError> {
        let reader = scope.reader;
        let tensors =
            reader.each(table.tables(0, "Tensor")?, |tensor| Tensor::read(tensor, scope))?;
        let indices = |id, role: &str| {
            let list = table.list::<i32>(id)?;
            let mut indices = reader.budget.table(list.len())?;
            for idx in list.iter() {
                indices.push(index(idx.into(), tensors.len(), "tensors", || table.place(role))?);
            }
            Ok::<_, FormatError>(indices)
        };
        let operators = table.tables(3, "Operator")?;
        let place = Place::at(format_args!("number of operators"), table.at());
        reader.count_operators(operators.len(), place)?;
        Ok(Self {
            name: table.name(4, "name")?,
            inputs: indices(1, "inputs")?,
            outputs: indices(2, "outputs")?,
            operators: reader
                .each(operators, |operator| Operator::read(operator, scope, &tensors))?,
            tensors,
        })
    }
}

impl<'a> Operator<'a> {
    fn read(
        table: &Table<'a>,
        scope: &Scope<'_, 'a>,
        tensors: &[Tensor<'_>],
    ) -> Result<Self, FormatError> {
        let code: u32 = table.scalar(0, 0)?;
        let place = || table.place("opcode_index");
        let code = index(code.into(), scope.operator_codes, "operator codes", place)?;
        let indices = |id, role: &str| {
            let list = table.list::<i32>(id)?;
            let mut indices = scope.reader.budget.table(list.len())?;
            for idx in list.iter() {
                indices.push(match idx {
                    -1 => None,
                    idx => {
                        index(idx.into(), tensors.len(), "tensors", || table.place(role))?;
                        u32::try_from(idx).ok()
                    }
                });
            }
            Ok::<_, FormatError>(indices)
        };
        Ok(Self {
            code,
            inputs: indices(1, "inputs")?,
            outputs: indices(2, "outputs")?,
            intermediates: indices(8, "intermediates")?,
            options: Options::read(table, 3, 4)?,
            options2: Options::read(table, 11, 12)?,
            custom_options: custom_options(table, scope)?,
            at: table.at(),
        })
    }
}

fn custom_options<'a>(table: &Table<'a>, scope: &Scope<'_, 'a>) -> Result<&'a [u8], FormatError> {
    let (offset, size) = (table.scalar(9, 0u64)?, table.scalar(10, 0u64)?);
    if offset <= 1 {
        return table.text(5);
    }
    let file = scope.file;
    let range = usize::try_from(offset).ok().zip(usize::try_from(size).ok());
    let found = range.and_then(|(offset, size)| file.get(offset..)?.get(..size));
    found.ok_or_else(|| FormatError::Truncated {
        place: Place::at(format_args!("large_custom_options of Operator"), offset),
        need: size,
        have: (file.len() as u64).saturating_sub(offset),
    })
}
