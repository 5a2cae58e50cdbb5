//! Stop strings: ends a stream of text where one of a few strings begins.
//!
//! What [`StopStrings::push`] gives back is final: no character of it belongs to a stop string,
//! also when that string arrives in pieces. Held back is only the longest end of the text that
//! could still become one, so ordinary text passes at once. The string that is complete first
//! ends the stream, and of those that end together the longest; they are found by the failure
//! function of Knuth, Morris and Pratt (1977), one per string.

/// The most stop strings.
pub const STRINGS_MAX: usize = 16;
/// The longest stop string, in bytes.
pub const BYTES_MAX: usize = 256;

/// A list of stop strings that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidStop {
    /// There are too many.
    #[error("{0} stop strings are given, at most {STRINGS_MAX} are allowed")]
    TooMany(usize),
    /// One is empty and would stop everything.
    #[error("stop string {0} is empty")]
    Empty(usize),
    /// One is too long.
    #[error("stop string {index} has {bytes} bytes, at most {BYTES_MAX} are allowed")]
    TooLong {
        /// Which one, counted from 0.
        index: usize,
        /// Its length in bytes.
        bytes: usize,
    },
}

/// What to do with the text pushed so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopping<'a> {
    /// This text is final and may be shown; it is empty while all of it is held back.
    Pass(&'a str),
    /// A stop string began: this text comes before it and is the last.
    Stop {
        /// The text before the stop string.
        before: &'a str,
        /// Which stop string, counted from 0.
        index: usize,
    },
}

/// Watches a stream for stop strings.
#[derive(Clone, Debug)]
pub struct StopStrings {
    needles: Vec<Needle>,
    held: String,
    /// What the last call gave back; its room is used again, so that a stream allocates nothing.
    shown: String,
    stopped: bool,
}

#[derive(Clone, Debug)]
struct Needle {
    bytes: Vec<u8>,
    /// For each prefix, the length of its longest proper prefix that is also its end.
    borders: Vec<usize>,
    /// How many bytes of the needle stand at the end of what was pushed.
    matched: usize,
}

impl StopStrings {
    /// Watches for `strings`; an empty list lets everything pass.
    ///
    /// # Errors
    /// [`InvalidStop`] for more than [`STRINGS_MAX`] strings or one that is empty or longer than
    /// [`BYTES_MAX`].
    pub fn new<S: AsRef<str>>(strings: &[S]) -> Result<Self, InvalidStop> {
        if strings.len() > STRINGS_MAX {
            return Err(InvalidStop::TooMany(strings.len()));
        }
        let mut needles = Vec::with_capacity(strings.len());
        for (index, string) in strings.iter().enumerate() {
            let bytes = string.as_ref().as_bytes();
            match bytes.len() {
                0 => return Err(InvalidStop::Empty(index)),
                bytes if bytes > BYTES_MAX => return Err(InvalidStop::TooLong { index, bytes }),
                _ => needles.push(Needle::new(bytes)),
            }
        }
        let room = || String::with_capacity(BYTES_MAX * 4);
        Ok(Self { needles, held: room(), shown: room(), stopped: false })
    }

    /// Takes the next piece of the stream.
    ///
    /// After a stop nothing passes any more until [`StopStrings::reset`].
    pub fn push(&mut self, piece: &str) -> Stopping<'_> {
        self.shown.clear();
        if self.stopped {
            return Stopping::Pass("");
        }
        let mut scanned = self.held.len();
        self.held.push_str(piece);
        while scanned < self.held.len() {
            let byte = self.held.as_bytes()[scanned];
            scanned += 1;
            if let Some(index) = self.step(byte) {
                self.stopped = true;
                self.held.truncate(scanned - self.needles[index].bytes.len());
                std::mem::swap(&mut self.held, &mut self.shown);
                return Stopping::Stop { before: &self.shown, index };
            }
        }
        let hold = self.needles.iter().map(|needle| needle.matched).max().unwrap_or(0);
        // A needle begins at a character, so the cut lies between two characters.
        self.shown.extend(self.held.drain(..self.held.len() - hold));
        Stopping::Pass(&self.shown)
    }

    /// Ends the stream: what was held back was no stop string after all.
    pub fn finish(&mut self) -> &str {
        self.shown.clear();
        std::mem::swap(&mut self.held, &mut self.shown);
        self.reset();
        &self.shown
    }

    /// Forgets the stream.
    pub fn reset(&mut self) {
        self.held.clear();
        self.stopped = false;
        for needle in &mut self.needles {
            needle.matched = 0;
        }
    }

    /// Feeds one byte to every needle; the longest one that is complete, if any.
    fn step(&mut self, byte: u8) -> Option<usize> {
        let mut complete: Option<usize> = None;
        for index in 0..self.needles.len() {
            let needle = &mut self.needles[index];
            needle.step(byte);
            let longest = complete.map_or(0, |index| self.needles[index].bytes.len());
            let needle = &self.needles[index];
            if needle.matched == needle.bytes.len() && needle.bytes.len() > longest {
                complete = Some(index);
            }
        }
        complete
    }
}

impl Needle {
    fn new(bytes: &[u8]) -> Self {
        let mut borders = vec![0; bytes.len() + 1];
        let mut border = 0;
        for end in 1..bytes.len() {
            while border > 0 && bytes[border] != bytes[end] {
                border = borders[border];
            }
            if bytes[border] == bytes[end] {
                border += 1;
            }
            borders[end + 1] = border;
        }
        Self { bytes: bytes.to_vec(), borders, matched: 0 }
    }

    fn step(&mut self, byte: u8) {
        while self.matched > 0 && self.bytes[self.matched] != byte {
            self.matched = self.borders[self.matched];
        }
        if self.bytes[self.matched] == byte {
            self.matched += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Stop strings, pieces, what is shown, which string stopped.
    type Case = (&'static [&'static str], &'static [&'static str], &'static str, Option<usize>);

    fn run(stops: &[&str], pieces: &[&str]) -> (String, Option<usize>) {
        let mut watch = StopStrings::new(stops).expect("the cases are valid");
        let mut shown = String::new();
        for piece in pieces {
            match watch.push(piece) {
                Stopping::Pass(text) => shown.push_str(text),
                Stopping::Stop { before, index } => return (shown + before, Some(index)),
            }
        }
        (shown + watch.finish(), None)
    }

    /// The stop string that ends first; of those that end together, the one that begins first.
    fn oracle(stops: &[&str], text: &str) -> (String, Option<usize>) {
        for end in 1..=text.len() {
            let ends = |stop: &&str| text.as_bytes()[..end].ends_with(stop.as_bytes());
            let longest = stops.iter().copied().filter(ends).max_by_key(|stop| stop.len());
            if let Some(stop) = longest {
                let index = stops.iter().position(|other| *other == stop);
                let before =
                    text.get(..end - stop.len()).expect("a stop string is whole characters");
                return (before.to_owned(), index);
            }
        }
        (text.to_owned(), None)
    }

    #[test]
    fn streams_stop_where_a_string_begins() {
        let cases: &[Case] = &[
            (&[], &["a", "b"], "ab", None),
            (&["END"], &["abE", "NDx"], "ab", Some(0)),
            (&["END"], &["abE", "Nx", "E"], "abENxE", None),
            (&["aab"], &["aaab"], "a", Some(0)),
            (&["abcd", "bc"], &["abc"], "a", Some(1)),
            (&["bc", "abc"], &["x", "a", "b", "c"], "x", Some(1)),
            (&["ü!"], &["grü", "n ü", "!"], "grün ", Some(0)),
            (&["\n\n"], &["a\n", "b\n", "\n"], "a\nb", Some(0)),
        ];
        for (stops, pieces, shown, index) in cases {
            assert_eq!(run(stops, pieces), ((*shown).to_owned(), *index), "{stops:?} {pieces:?}");
        }
    }

    #[test]
    fn text_is_held_no_longer_than_needed() {
        let mut watch = StopStrings::new(&["###"]).expect("valid");
        assert_eq!(watch.push("a#"), Stopping::Pass("a"));
        assert_eq!(watch.push("b##"), Stopping::Pass("#b"));
        assert_eq!(watch.push("#"), Stopping::Stop { before: "", index: 0 });
        assert_eq!(watch.push("more"), Stopping::Pass(""));
        watch.reset();
        assert_eq!(watch.push("more"), Stopping::Pass("more"));
    }

    #[test]
    fn lists_that_cannot_be_used_are_refused() {
        let long = "x".repeat(BYTES_MAX + 1);
        let many = vec!["x"; STRINGS_MAX + 1];
        assert_eq!(StopStrings::new(&["a", ""]).unwrap_err(), InvalidStop::Empty(1));
        assert_eq!(StopStrings::new(&many).unwrap_err(), InvalidStop::TooMany(17));
        let too_long = StopStrings::new(&[long.as_str()]).unwrap_err();
        assert_eq!(too_long, InvalidStop::TooLong { index: 0, bytes: 257 });
        assert!(StopStrings::new(&["x".repeat(BYTES_MAX)]).is_ok());
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(
            stops in prop::collection::vec("[abé]{1,4}", 0..4),
            pieces in prop::collection::vec("[abé]{0,5}", 0..12),
        ) {
            let stops: Vec<&str> = stops.iter().map(String::as_str).collect();
            let parts: Vec<&str> = pieces.iter().map(String::as_str).collect();
            prop_assert_eq!(run(&stops, &parts), oracle(&stops, &pieces.concat()));
        }
    }
}
