//! From outputs to what is heard: scores, smoothed, and when they pass the threshold.

use super::Show;
use crate::{
    args::Listen,
    failure::{Exit, Failure, Result},
    notes::{self, Labels, Notes},
};
use engine::Network;
use import::network::Numbers;
use ledge::{Array, Scale};
use serde_json::json;
use std::{collections::VecDeque, time::Duration};

/// What is heard by scores.
pub(super) struct Scores {
    labels: Vec<String>,
    /// The labels are the user's, and there must be one for each score.
    given: bool,
    scale: Option<Scale>,
    threshold: f32,
    smooth: usize,
    last: VecDeque<Vec<f32>>,
    /// What is being heard, since when, and how surely at most.
    active: Option<(usize, Duration, f32)>,
    end: Duration,
}

impl Scores {
    pub(super) fn of(args: &Listen, notes: &Notes, network: &Network) -> Result<Self> {
        let (mut labels, mut given) = (Vec::new(), true);
        if let Some(path) = &args.labels {
            labels = notes::labels(path)?;
        } else {
            match &notes.labels {
                Some(Labels::File(path)) => labels = notes::labels(&notes.folder.join(path))?,
                Some(Labels::List(list)) => labels.clone_from(list),
                None => given = false,
            }
        }
        if !given {
            let name = args.model.file_stem().unwrap_or_default().to_string_lossy();
            labels.push(name.into_owned());
        }
        let threshold = args.threshold.or(notes.listen.threshold).unwrap_or(0.5);
        let smooth = args.smooth.map(Into::into).or(notes.listen.smooth).unwrap_or(1).max(1);
        Ok(Self {
            labels,
            given,
            scale: network.output_scale(0),
            threshold,
            smooth,
            last: VecDeque::new(),
            active: None,
            end: Duration::ZERO,
        })
    }

    /// The scores of a run.
    pub(super) fn read(&self, outputs: &[(String, Array)]) -> Result<Vec<f32>> {
        let Some((name, array)) = outputs.first() else {
            return Err(Failure::new(Exit::File, "the network gives nothing"));
        };
        let numbers = Numbers { dtype: array.dtype(), bytes: array.bytes() }.floats();
        #[expect(clippy::cast_possible_truncation, reason = "scores need no more precision")]
        let score = |x: f64| match self.scale {
            Some(by) => ((x - f64::from(by.zero)) * f64::from(by.scale)) as f32,
            None => x as f32,
        };
        let scores: Vec<f32> = numbers.into_iter().map(score).collect();
        let (have, want) = (self.labels.len(), scores.len());
        if self.given && have != want {
            return Err(Failure::new(
                Exit::File,
                format!("{have} labels are given, the network's `{name}` has {want} scores"),
            )
            .at("--labels")
            .hint("give a file with one label a line, in the order of the scores"));
        }
        Ok(scores)
    }

    fn label(&self, idx: usize) -> String {
        match self.labels.get(idx) {
            Some(label) if self.given || idx == 0 && self.labels.len() == 1 => label.clone(),
            _ => format!("#{idx}"),
        }
    }

    /// Takes the scores at a time.
    pub(super) fn take(&mut self, scores: Vec<f32>, at: Duration, show: &mut Show) -> Result<()> {
        self.end = at;
        if self.last.len() == self.smooth {
            self.last.pop_front();
        }
        self.last.push_back(scores);
        let width = self.last.back().map_or(0, Vec::len);
        // What was before the beginning counts as silence.
        let mean = |idx: usize| -> f32 {
            let sum: f32 = self.last.iter().filter_map(|scores| scores.get(idx)).sum();
            sum / self.smooth as f32
        };
        let means: Vec<f32> = (0..width).map(mean).collect();
        let best = (0..width).max_by(|&a, &b| means[a].total_cmp(&means[b]).then(b.cmp(&a)));
        let Some(best) = best else { return Ok(()) };
        let score = means[best];
        let heard = score >= self.threshold;
        if show.json {
            let object = json!({
                "time_s": rounded(at),
                "label": self.label(best),
                "score": score,
                "heard": heard,
                "scores": if width <= 16 { Some(&means) } else { None },
            });
            return show.line(&object.to_string());
        }
        match self.active {
            Some((idx, since, most)) if heard && idx == best => {
                self.active = Some((idx, since, most.max(score)));
            }
            active => {
                if let Some((idx, since, most)) = active {
                    self.ended(idx, (since, at), most, show)?;
                    self.active = None;
                }
                if heard {
                    self.active = Some((best, at, score));
                    show.line(&format!("{:8.2} s  {}  {score:.2}", seconds(at), self.label(best)))?;
                }
            }
        }
        show.live(format!("{:8.2} s  {} {score:.2}", seconds(at), self.label(best)), score);
        Ok(())
    }

    fn ended(
        &self,
        idx: usize,
        (since, at): (Duration, Duration),
        most: f32,
        show: &mut Show,
    ) -> Result<()> {
        let length = seconds(at.saturating_sub(since));
        show.line(&format!(
            "{:8.2} s  {} ends after {length:.2} s, at most {most:.2}",
            seconds(at),
            self.label(idx)
        ))
    }

    /// The sound is over.
    pub(super) fn end(&mut self, show: &mut Show) -> Result<()> {
        match self.active.take() {
            Some((idx, since, most)) => self.ended(idx, (since, self.end), most, show),
            None => Ok(()),
        }
    }
}

fn seconds(at: Duration) -> f64 {
    at.as_secs_f64()
}

/// Seconds without the noise of binary fractions.
fn rounded(at: Duration) -> f64 {
    (at.as_secs_f64() * 1e6).round() / 1e6
}
