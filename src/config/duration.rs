//! Lengths of time as people write them: 90s, 15m, 1h30m.

use std::time::Duration;

const UNITS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];
const LONGEST: Duration = Duration::from_secs(366 * 86_400);
const FORM: &str = "write seconds, or numbers with units (ms, s, m, h, d), such as 90s, 15m or 1h30m";

/// A length of time that is not nothing.
///
/// # Errors
/// What is wrong with the text, and how to write it.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    match parse_pause(text)? {
        Duration::ZERO => Err(format!("no time at all; {FORM}")),
        duration => Ok(duration),
    }
}

/// A length of time, which may be nothing.
///
/// # Errors
/// What is wrong with the text, and how to write it.
pub fn parse_pause(text: &str) -> Result<Duration, String> {
    let fault = || FORM.to_owned();
    if let Ok(seconds) = text.parse() {
        return bounded(Some(Duration::from_secs(seconds)));
    }
    let (mut rest, mut millis) = (text, Some(0_u64));
    while !rest.is_empty() {
        let number = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let (digits, behind) = rest.split_at(rest.len() - number.len());
        let unit = behind.trim_start_matches(|c: char| c.is_ascii_alphabetic());
        let (unit, behind) = behind.split_at(behind.len() - unit.len());
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(fault)?;
        let number: u64 = digits.parse().map_err(|_| fault())?;
        millis = millis.and_then(|sum| sum.checked_add(number.checked_mul(*factor)?));
        rest = behind;
    }
    if text.is_empty() {
        return Err(fault());
    }
    bounded(millis.map(Duration::from_millis))
}

fn bounded(duration: Option<Duration>) -> Result<Duration, String> {
    duration
        .filter(|duration| *duration <= LONGEST)
        .ok_or_else(|| "longer than a year; write less".to_owned())
}

/// A length of time in its two largest units: 1h 30m, 45s, 200ms.
pub fn shown(duration: Duration) -> String {
    let mut millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut parts = Vec::new();
    for (unit, factor) in UNITS.iter().rev() {
        // Fractions of a second are of no interest beside whole ones.
        if *unit == "ms" && !parts.is_empty() {
            break;
        }
        if millis >= *factor {
            parts.push(format!("{}{unit}", millis / factor));
            millis %= factor;
        } else if !parts.is_empty() {
            break;
        }
        if parts.len() == 2 {
            break;
        }
    }
    match parts.is_empty() {
        true => "0s".to_owned(),
        false => parts.join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_of_time_are_read_as_they_are_written() {
        let table = [
            ("90", Some(90_000)),
            ("90s", Some(90_000)),
            ("15m", Some(900_000)),
            ("1h30m", Some(5_400_000)),
            ("2d", Some(172_800_000)),
            ("500ms", Some(500)),
            ("1m500ms", Some(60_500)),
            ("0", Some(0)),
            ("", None),
            ("s", None),
            ("5x", None),
            ("1h30", None),
            ("1.5h", None),
            ("-1s", None),
            ("1 h", None),
            ("9y", None),
            ("400d", None),
            ("99999999999999999999d", None),
            ("18446744073709551615d", None),
            ("18446744073709551615", None),
        ];
        for (text, millis) in table {
            assert_eq!(parse_pause(text).ok(), millis.map(Duration::from_millis), "{text}");
        }
        assert!(parse_duration("0s").is_err() && parse_duration("1s").is_ok());
    }

    #[test]
    fn lengths_of_time_are_shown_in_two_units() {
        let table = [
            (0, "0s"),
            (200, "200ms"),
            (45_999, "45s"),
            (60_000, "1m"),
            (5_400_000, "1h 30m"),
            (5_401_000, "1h 30m"),
            (3_601_000, "1h"),
            (90_061_000, "1d 1h"),
        ];
        for (millis, text) in table {
            assert_eq!(shown(Duration::from_millis(millis)), text, "{millis}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,20}|[0-9smhd]{0,30}") {
            if let Ok(duration) = parse_pause(&text) {
                prop_assert!(duration <= LONGEST);
            }
        }
    }
}
