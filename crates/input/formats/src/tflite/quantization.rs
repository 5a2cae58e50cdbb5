//! How the whole numbers of a tensor stand for real ones: `real = scale × (number − zero point)`.

use crate::{
    FormatError, Label,
    flatbuffer::{List, Table},
};

/// Scales and zero points, for the whole tensor or along one dimension.
#[derive(Clone, Debug)]
pub struct Quantization<'a> {
    /// One scale, or one for each index of `dimension`.
    pub scales: List<'a, f32>,
    /// None (all 0), one, or one for each index of `dimension`.
    pub zero_points: List<'a, i64>,
    /// The dimension along which scales change. Writers of one-dimensional tensors also give the
    /// dimension that it has in the weights.
    pub dimension: u32,
    /// Smallest real values seen, where they were recorded.
    pub min: List<'a, f32>,
    /// Largest real values seen, where they were recorded.
    pub max: List<'a, f32>,
    /// How numbers are quantised in other ways.
    pub details: Option<Details<'a>>,
}

/// Ways to quantise beside scales along one dimension.
#[derive(Clone, Debug)]
pub enum Details<'a> {
    /// Known to its writer only.
    Custom(List<'a, u8>),
    /// Scales for blocks of elements, in tensors of their own.
    Blockwise {
        /// Index of the tensor of scales in the sub-graph; checked by whoever uses it.
        scales: i32,
        /// Index of the tensor of zero points; −1 for none.
        zero_points: i32,
        /// Elements of a block.
        block_size: i32,
    },
    /// Scales along several dimensions, in tensors of their own.
    MultiAxis {
        /// Index of the tensor of scales in the sub-graph; checked by whoever uses it.
        scales: i32,
        /// Index of the tensor of zero points; −1 for none.
        zero_points: i32,
        /// The dimensions along which scales change.
        dimensions: List<'a, i32>,
    },
}

impl<'a> Quantization<'a> {
    /// Reads the table; `None` if it says nothing.
    pub(super) fn read(table: &Table<'a>) -> Result<Option<Self>, FormatError> {
        let dimension = table.scalar(6, 0i32)?;
        let dimension = u32::try_from(dimension).map_err(|_| {
            let place = table.place("quantized_dimension");
            FormatError::invalid(place, "0 or higher", format_args!("{dimension}"))
        })?;
        let details = match table.scalar(4, 0u8)? {
            0 => None,
            1 => table
                .table(5, "CustomQuantization")?
                .map(|custom| Ok::<_, FormatError>(Details::Custom(custom.list(0)?)))
                .transpose()?,
            2 => table
                .table(5, "BlockwiseQuantization")?
                .map(|blocks| {
                    Ok::<_, FormatError>(Details::Blockwise {
                        scales: blocks.scalar(0, 0)?,
                        zero_points: blocks.scalar(1, 0)?,
                        block_size: blocks.scalar(2, 0)?,
                    })
                })
                .transpose()?,
            3 => table
                .table(5, "MultiAxisQuantization")?
                .map(|axes| {
                    Ok::<_, FormatError>(Details::MultiAxis {
                        scales: axes.scalar(0, 0)?,
                        zero_points: axes.scalar(1, 0)?,
                        dimensions: axes.list(3)?,
                    })
                })
                .transpose()?,
            other => {
                return Err(FormatError::Unsupported {
                    place: table.place("details"),
                    got: Label::from(format_args!("kind {other}")),
                    instead: "kinds 0 to 3 of the schema are read",
                });
            }
        };
        let found = Self {
            scales: table.list(2)?,
            zero_points: table.list(3)?,
            dimension,
            min: table.list(0)?,
            max: table.list(1)?,
            details,
        };
        let silent = found.scales.is_empty()
            && found.zero_points.is_empty()
            && found.min.is_empty()
            && found.details.is_none();
        Ok((!silent).then_some(found))
    }

    /// Whether there are several scales.
    pub fn is_per_channel(&self) -> bool {
        self.scales.len() > 1
    }

    /// The scale of a channel; a single one holds for all.
    pub fn scale(&self, channel: usize) -> Option<f32> {
        if self.scales.len() == 1 { self.scales.first() } else { self.scales.get(channel) }
    }

    /// The zero point of a channel; a single one holds for all, and none is 0.
    pub fn zero_point(&self, channel: usize) -> i64 {
        let found = self.zero_points.get(channel).or_else(|| self.zero_points.first());
        found.unwrap_or(0)
    }
}
