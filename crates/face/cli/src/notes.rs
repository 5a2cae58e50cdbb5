//! Notes beside a network: what its file does not say of pictures, labels and sound.
//!
//! For `x.onnx` they are `x.toml` or `x.json` in the same folder. Settings that are misspelt are
//! refused; other people's JSON files that happen to lie there are read for what is known in them,
//! such as those of streaming wake words.

use crate::failure::{Exit, Failure, Result};
use serde::Deserialize;
use std::{
    io,
    path::{Path, PathBuf},
};

/// What notes say.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Notes {
    /// How pictures become numbers.
    pub(crate) image: Image,
    /// Names of the classes.
    pub(crate) labels: Option<Labels>,
    /// How sound becomes numbers, and what results mean.
    pub(crate) listen: Listen,
    /// Of streaming wake words.
    micro: Option<Micro>,
    wake_word: Option<String>,
    /// The folder of the notes, which their paths begin at.
    #[serde(skip)]
    pub(crate) folder: PathBuf,
}

/// Names, or the file that holds them.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Labels {
    File(PathBuf),
    List(Vec<String>),
}

/// One number for all colours, or one for each.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Numbers {
    One(f32),
    Each(Vec<f32>),
}

/// A side of a square, or height and width.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Size {
    Square(u32),
    Sides([u32; 2]),
}

/// How pictures become numbers.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Image {
    pub(crate) input: Option<String>,
    pub(crate) size: Option<Size>,
    pub(crate) shorter: Option<u32>,
    pub(crate) fit: Option<String>,
    pub(crate) filter: Option<String>,
    pub(crate) layout: Option<String>,
    pub(crate) colours: Option<String>,
    pub(crate) scale: Option<f32>,
    pub(crate) mean: Option<Numbers>,
    pub(crate) std: Option<Numbers>,
    pub(crate) softmax: Option<bool>,
}

/// How sound becomes numbers, and what results mean.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Listen {
    /// `micro`, or `none` for samples as they are.
    pub(crate) features: Option<String>,
    /// Samples a second.
    pub(crate) rate: Option<u32>,
    /// New samples of each run.
    pub(crate) chunk: Option<usize>,
    /// Samples of before that each run is given again.
    pub(crate) context: Option<usize>,
    /// The score from which on something is heard.
    pub(crate) threshold: Option<f32>,
    /// Runs over which scores are averaged.
    pub(crate) smooth: Option<usize>,
    /// Pairs of an input and the output that becomes it.
    pub(crate) states: std::collections::BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct Micro {
    probability_cutoff: Option<f32>,
    sliding_window_size: Option<usize>,
}

impl Notes {
    /// Reads the notes beside a network, where there are some.
    pub(crate) fn beside(network: &Path) -> Result<Self> {
        let folder = network.parent().unwrap_or(Path::new("")).to_path_buf();
        for ending in ["toml", "json"] {
            let path = network.with_extension(ending);
            let text = match std::fs::read_to_string(&path) {
                Ok(text) => text,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(Failure::reading(&path, &error)),
            };
            let read = if ending == "toml" {
                toml::from_str(&text).map_err(|error| error.to_string())
            } else {
                serde_json::from_str(&text).map_err(|error| error.to_string())
            };
            let read: std::result::Result<Self, String> = read;
            let notes = read.map_err(|reason| {
                let line = reason.split_whitespace().collect::<Vec<_>>().join(" ");
                Failure::new(Exit::File, format!("notes that cannot be read: {line}"))
                    .at(path.display())
                    .hint("`ledge run --help` and `ledge listen --help` name the settings")
            })?;
            return Ok(notes.settled(folder));
        }
        Ok(Self { folder, ..Self::default() })
    }

    /// With what other people's notes say in their words.
    fn settled(mut self, folder: PathBuf) -> Self {
        self.folder = folder;
        if let Some(micro) = &self.micro {
            let listen = &mut self.listen;
            listen.features = listen.features.take().or(Some("micro".into()));
            listen.threshold = listen.threshold.or(micro.probability_cutoff);
            listen.smooth = listen.smooth.or(micro.sliding_window_size);
        }
        if let (None, Some(word)) = (&self.labels, &self.wake_word) {
            self.labels = Some(Labels::List(vec![word.clone()]));
        }
        self
    }
}

/// The labels of a file, one a line; empty lines at the end do not count.
pub(crate) fn labels(path: &Path) -> Result<Vec<String>> {
    let text = crate::prompt::read(path)?;
    Ok(lines(&text))
}

/// Lines without what is empty at the end.
pub(crate) fn lines(text: &str) -> Vec<String> {
    let trimmed = text.trim_end();
    trimmed.lines().map(|line| line.trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_of_wake_words_are_understood() {
        let text = r#"{"type":"micro","wake_word":"Okay Nabu","model":"x.tflite",
            "micro":{"probability_cutoff":0.85,"sliding_window_size":5,"tensor_arena_size":1}}"#;
        let notes: Notes = serde_json::from_str(text).expect("they are read");
        let notes = notes.settled(PathBuf::new());
        assert_eq!(notes.listen.threshold, Some(0.85));
        assert_eq!(notes.listen.smooth, Some(5));
        assert!(matches!(notes.labels, Some(Labels::List(list)) if list == ["Okay Nabu"]));
    }

    #[test]
    fn misspelt_settings_are_refused() {
        let error = toml::from_str::<Notes>("[image]\nmeen = 3").expect_err("no such setting");
        assert!(error.to_string().contains("meen"));
        let notes: Notes = toml::from_str("[image]\nmean = [1, 2.5, 3]\nsize = 224").expect("good");
        assert!(matches!(notes.image.mean, Some(Numbers::Each(list)) if list == [1.0, 2.5, 3.0]));
        assert!(matches!(notes.image.size, Some(Size::Square(224))));
    }
}
