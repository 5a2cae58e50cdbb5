//! How long values are needed, and which of them have one place.
//!
//! A value lives from the step that writes it to the last that reads it, or reads what lies in its bytes.
//! A result that takes an operand's place goes on with the operand's life, which ends where its own begins;
//! so no step has more bytes alive than before.

use super::{Home, Place, size};
use crate::{
    Fault, Graph, Input, Node, ValueId,
    memory::{self, Life},
};
use alloc::{vec, vec::Vec};
use tensor::Bytes;

/// Lives of all values that steps write and that are no input or output.
#[derive(Default)]
pub(super) struct Lives {
    list: Vec<Life>,
    values: Vec<ValueId>,
    /// The life of each value of the graph that has one here.
    of_value: Vec<Option<usize>>,
}

impl Lives {
    /// Adds step `number`, which `node` becomes, behind those before it.
    pub(super) fn add(
        &mut self,
        graph: &Graph,
        number: usize,
        node: &Node,
        homes: &[Home],
        places: &[Option<Place>],
    ) -> Result<(), Fault> {
        self.of_value.resize(graph.values.len(), None);
        for input in &node.inputs {
            if let Input::Value(value) = input
                && let Some(life) = self.of_value[homes[value.index()].value.index()]
            {
                self.list[life].last = number;
            }
        }
        let value = homes[node.output.index()].value;
        if let Some(life) = self.of_value[value.index()] {
            self.list[life].last = number;
        } else if places[value.index()].is_none() {
            self.of_value[value.index()] = Some(self.list.len());
            self.values.push(value);
            self.list.push(Life { bytes: size(graph, value)?, first: number, last: number });
        }
        Ok(())
    }

    /// Puts the result of step `number`, which `node` becomes, in the place of an operand of so many
    /// bytes; says whether that goes: nothing else may read what lies there, now or later.
    pub(super) fn overwrite(
        &mut self,
        number: usize,
        node: &Node,
        (operand, bytes): (ValueId, u64),
        homes: &[Home],
    ) -> bool {
        let home = homes[operand.index()];
        let lies = |value: ValueId| self.of_value[homes[value.index()].value.index()];
        let (Some(own), Some(life)) = (self.of_value[node.output.index()], lies(operand)) else {
            return false;
        };
        let reads = node.inputs.iter().filter(|input| match input {
            Input::Value(value) => lies(*value) == Some(life),
            Input::Weight(_) | Input::State(_) | Input::Absent => false,
        });
        let (result, place) = (self.list[own], self.list[life]);
        let whole = home.offset == 0 && bytes == place.bytes && bytes == result.bytes;
        if !whole || place.last != number || reads.count() != 1 {
            return false;
        }
        self.list[life].last = result.last;
        self.of_value[node.output.index()] = Some(life);
        true
    }

    /// Gives each value its offset, and tells how large the arena is.
    pub(super) fn place(self, mut put: impl FnMut(ValueId, u64)) -> Bytes {
        let mut kept: Vec<Life> = Vec::new();
        let mut places: Vec<Option<usize>> = vec![None; self.list.len()];
        let life = |value: &ValueId| {
            self.of_value[value.index()].expect("every value of the list has a life")
        };
        for life in self.values.iter().map(life) {
            if places[life].is_none() {
                places[life] = Some(kept.len());
                kept.push(self.list[life]);
            }
        }
        let layout = memory::place(&kept);
        for value in &self.values {
            let place = places[life(value)].expect("every life was kept");
            put(*value, layout.offsets[place]);
        }
        Bytes(layout.bytes)
    }
}
