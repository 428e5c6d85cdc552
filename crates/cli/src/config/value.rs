//! Durations, sizes and switches as people write them: `300ms`, `5s`, `10m`, `16MiB`, `true`.
//!
//! A bare number is refused for a duration, because nobody knows whether it means seconds or milliseconds.

use std::time::Duration;

/// The longest duration: a later time could not be added to now on every clock.
const LONGEST: Duration = Duration::from_secs(36_500 * 86_400);

/// Reads `300ms`, `5s`, `10m`, `1h`, `2d`, up to a hundred years; the error says what is accepted.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let rule = || format!("{text:?} is no duration: write 300ms, 5s, 10m, 1h or 2d");
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(rule)?;
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().map_err(|_| rule())?;
    let unit = match unit.trim() {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => return Err(rule()),
    };
    let read = Duration::try_from_secs_f64(number * unit).map_err(|_| rule())?;
    if read > LONGEST { Err(format!("{text:?} is longer than a hundred years (36500d)")) } else { Ok(read) }
}

/// Reads `true`, `false`, `yes`, `no`, `on`, `off`, `1`, `0`.
pub(crate) fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err(format!("{text:?} is no switch: write true or false")),
    }
}

/// Reads a whole number in a range.
pub(crate) fn number(text: &str, least: u64, most: u64) -> Result<u64, String> {
    match text.parse::<u64>() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(format!("{text:?} is not a whole number from {least} to {most}")),
    }
}

/// Reads `512`, `64KiB`, `16MiB`, `1GiB` as bytes.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let rule = || format!("{text:?} is no size: write 512, 64KiB, 16MiB or 1GiB");
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(rule()),
    };
    number.parse::<u64>().ok().and_then(|n| n.checked_mul(factor)).ok_or_else(rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(duration("300ms"), Ok(Duration::from_millis(300)));
        assert_eq!(duration("1.5h"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("36500d"), Ok(LONGEST));
        for bad in ["", "5", "5 parsecs", "-5s", "ms", "1e400d", "36501d", "99999999999999d"] {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn sizes_are_powers_of_two() {
        assert_eq!(size("16MiB"), Ok(16 << 20));
        assert!(size("16MB").is_err() && size("99999999999999999999").is_err());
    }
}
