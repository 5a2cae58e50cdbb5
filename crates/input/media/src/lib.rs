//! Pictures and sound as numbers for networks.
//!
//! [`Picture`] decodes JPEG and PNG, resizes as Pillow does, and fills a network's input;
//! [`Wave`] reads recordings sample by sample, and [`Micro`] turns sound into the features that
//! small wake words are trained on, bit for bit as TensorFlow Lite Micro's front end. Everything
//! here takes bytes and gives values: no files, no clock. Whatever the bytes are, the answer is a
//! result or an error.

mod micro;
mod picture;
mod wave;

pub use micro::Micro;
pub use picture::{Colours, Filter, Fit, Layout, Normalise, Picture, PictureError};
pub use wave::{Samples, Wave, WaveError};
