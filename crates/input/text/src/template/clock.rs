//! The date that a template prints: given as a value, never read from a clock.
//!
//! Dates follow the proleptic Gregorian calendar; conversion from days since 1970 is Howard
//! Hinnant's `civil_from_days` ("chrono-Compatible Low-Level Date Algorithms").

/// A local date and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CivilTime {
    /// Year, from 1.
    pub year: i32,
    /// Month, 1 to 12.
    pub month: u8,
    /// Day of the month, 1 to 31.
    pub day: u8,
    /// Hour, 0 to 23.
    pub hour: u8,
    /// Minute, 0 to 59.
    pub minute: u8,
    /// Second, 0 to 59.
    pub second: u8,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

impl CivilTime {
    /// The time `seconds` after the beginning of 1970.
    ///
    /// # Panics
    /// Never: the conversions below cannot leave their ranges.
    #[must_use]
    pub fn from_unix(seconds: i64) -> Self {
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let days = days.clamp(-700_000, 700_000_000) + 719_468;
        let era = days.div_euclid(146_097);
        let of_era = days.rem_euclid(146_097);
        let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let month = (5 * of_year + 2) / 153;
        let small = |number: i64| u8::try_from(number).expect("a part of a date is small");
        let calendar_month = if month < 10 { month + 3 } else { month - 9 };
        let year = year + era * 400 + i64::from(calendar_month <= 2);
        Self {
            year: i32::try_from(year).expect("the days were clamped"),
            month: small(calendar_month),
            day: small(of_year - (153 * month + 2) / 5 + 1),
            hour: small(second / 3600),
            minute: small(second / 60 % 60),
            second: small(second % 60),
        }
    }

    /// Reads `2026-11-21`, `2026-11-21T12:34` or `2026-11-21 12:34:56`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00:00"));
        let mut date = date.splitn(3, '-');
        let mut time = time.trim_end_matches('Z').splitn(3, ':');
        let part = |text: Option<&str>, most: u8| -> Option<u8> {
            text.unwrap_or("0").parse().ok().filter(|number| *number <= most)
        };
        let parsed = Self {
            year: date.next()?.parse().ok().filter(|year| (1..=9999).contains(year))?,
            month: part(date.next(), 12)?,
            day: part(date.next(), 31)?,
            hour: part(time.next(), 23)?,
            minute: part(time.next(), 59)?,
            second: part(time.next(), 59)?,
        };
        (parsed.month >= 1 && parsed.day >= 1).then_some(parsed)
    }

    /// Day of the year, from 1.
    fn day_of_year(self) -> u16 {
        let leap = (self.year % 4 == 0 && self.year % 100 != 0) || self.year % 400 == 0;
        let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let before = usize::from(self.month).saturating_sub(1).min(12);
        lengths[..before].iter().sum::<u16>() + u16::from(self.day)
    }

    /// Day of the week, Monday is 0 (Sakamoto's method).
    fn weekday(self) -> usize {
        const SHIFT: [i32; 12] = [0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4];
        let month = usize::from(self.month).clamp(1, 12);
        let year = if month < 3 { self.year - 1 } else { self.year };
        let sum =
            year + year / 4 - year / 100 + year / 400 + SHIFT[month - 1] + i32::from(self.day);
        usize::try_from((sum + 6).rem_euclid(7)).unwrap_or(0)
    }

    /// Formats as C's `strftime` does in the C locale; `%-d` drops the padding.
    #[must_use]
    pub fn format(self, format: &str) -> String {
        let mut out = String::new();
        let mut characters = format.chars();
        while let Some(character) = characters.next() {
            if character != '%' {
                out.push(character);
                continue;
            }
            let mut code = characters.next();
            let bare = code == Some('-');
            if bare {
                code = characters.next();
            }
            let Some(code) = code else {
                out.push('%');
                break;
            };
            let field = self.field(code);
            out.push_str(if bare { without_padding(&field) } else { &field });
        }
        out
    }

    fn field(self, code: char) -> String {
        let month = MONTHS[usize::from(self.month).clamp(1, 12) - 1];
        let weekday = WEEKDAYS[self.weekday()];
        let short = |name: &str| name.chars().take(3).collect::<String>();
        let hour12 = match self.hour % 12 {
            0 => 12,
            hour => hour,
        };
        match code {
            'Y' => format!("{:04}", self.year),
            'y' => format!("{:02}", self.year.rem_euclid(100)),
            'C' => format!("{:02}", self.year / 100),
            'm' => format!("{:02}", self.month),
            'd' => format!("{:02}", self.day),
            'e' => format!("{:2}", self.day),
            'H' => format!("{:02}", self.hour),
            'I' => format!("{hour12:02}"),
            'M' => format!("{:02}", self.minute),
            'S' => format!("{:02}", self.second),
            'f' => "000000".to_owned(),
            'p' => (if self.hour < 12 { "AM" } else { "PM" }).to_owned(),
            'B' => month.to_owned(),
            'b' | 'h' => short(month),
            'A' => weekday.to_owned(),
            'a' => short(weekday),
            'j' => format!("{:03}", self.day_of_year()),
            'w' => ((self.weekday() + 1) % 7).to_string(),
            'u' => (self.weekday() + 1).to_string(),
            'F' => self.format("%Y-%m-%d"),
            'T' | 'X' => self.format("%H:%M:%S"),
            'R' => self.format("%H:%M"),
            'D' | 'x' => self.format("%m/%d/%y"),
            'c' => self.format("%a %b %e %H:%M:%S %Y"),
            'Z' | 'z' => String::new(),
            'n' => "\n".to_owned(),
            't' => "\t".to_owned(),
            '%' => "%".to_owned(),
            other => format!("%{other}"),
        }
    }
}

fn without_padding(field: &str) -> &str {
    let bare = field.trim_start_matches(['0', ' ']);
    if bare.is_empty() { "0" } else { bare }
}
