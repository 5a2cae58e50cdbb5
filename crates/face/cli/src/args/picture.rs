//! The flags that say how a picture becomes a network's input.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// How a picture becomes an input, and what the outputs are called.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Picture")]
pub(crate) struct PictureArgs {
    /// A JPEG or PNG picture for the network; prints the best classes
    #[arg(long, value_name = "FILE")]
    pub(crate) image: Option<PathBuf>,
    /// Names of the classes, one a line [default: those in the notes or in the network's file]
    #[arg(long, value_name = "FILE", requires = "image")]
    pub(crate) labels: Option<PathBuf>,
    /// Read text: labels are characters, scores are those of positions along a line, and the first
    /// score is that of none
    #[arg(long, requires = "image")]
    pub(crate) ctc: bool,
    /// How many classes are printed
    #[arg(long, value_name = "N", default_value_t = 5, requires = "image")]
    pub(crate) top: usize,
    /// Turn scores into shares of 1
    #[arg(long, requires = "image")]
    pub(crate) softmax: bool,
    /// Height and width that the picture is made, where the network leaves them open
    #[arg(long, value_name = "HxW", value_parser = sides, requires = "image")]
    pub(crate) image_size: Option<[u32; 2]>,
    /// Scale the shorter side to this first, then cut out the middle
    #[arg(long, value_name = "N", requires = "image", value_parser = clap::value_parser!(u32).range(1..65536))]
    pub(crate) image_shorter: Option<u32>,
    /// How a picture of another shape is made to fit [default: stretch]
    #[arg(long, value_name = "HOW", requires = "image")]
    pub(crate) image_fit: Option<FitArg>,
    /// How pixels are averaged [default: bilinear]
    #[arg(long, value_name = "FILTER", requires = "image")]
    pub(crate) image_filter: Option<FilterArg>,
    /// Where the colours stand among the input's extents [default: as they tell]
    #[arg(long, value_name = "LAYOUT", requires = "image")]
    pub(crate) image_layout: Option<LayoutArg>,
    /// Which numbers a pixel gives [default: rgb, or grey where the input has one]
    #[arg(long, value_name = "ORDER", requires = "image")]
    pub(crate) image_colours: Option<ColoursArg>,
    /// What bytes are multiplied with first [default: 1/255]
    #[arg(long, value_name = "X", value_parser = fraction, requires = "image")]
    pub(crate) image_scale: Option<f32>,
    /// What is then taken away, for all colours or for each [default: 0]
    #[arg(
        long,
        value_name = "X[,X,X]",
        value_delimiter = ',',
        requires = "image",
        allow_hyphen_values = true
    )]
    pub(crate) image_mean: Vec<f32>,
    /// What the rest is divided by, for all colours or for each [default: 1]
    #[arg(long, value_name = "X[,X,X]", value_delimiter = ',', requires = "image")]
    pub(crate) image_std: Vec<f32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FitArg {
    /// Each side by its own factor
    Stretch,
    /// Cover everything and cut off what stands over
    Crop,
    /// All inside, black around it
    Pad,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FilterArg {
    Nearest,
    Bilinear,
    Bicubic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LayoutArg {
    /// Colours before rows and columns
    Nchw,
    /// Colours behind rows and columns
    Nhwc,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColoursArg {
    Rgb,
    Bgr,
    Grey,
}

fn sides(text: &str) -> Result<[u32; 2], String> {
    let both = text.split_once(['x', 'X', ',']).unwrap_or((text, text));
    let side = |word: &str| {
        let side = word.trim().parse().ok().filter(|side| (1..65536).contains(side));
        side.ok_or_else(|| format!("`{word}` is no side; write 224 or 224x224"))
    };
    Ok([side(both.0)?, side(both.1)?])
}

/// A number, or a quotient of two.
fn fraction(text: &str) -> Result<f32, String> {
    let number = |word: &str| word.trim().parse::<f32>().ok().filter(|x| x.is_finite());
    let value = match text.split_once('/') {
        Some((a, b)) => number(a).zip(number(b)).map(|(a, b)| a / b),
        None => number(text),
    };
    value
        .filter(|x| x.is_finite() && *x != 0.0)
        .ok_or_else(|| "write a number such as 1/255".into())
}
