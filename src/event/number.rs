//! Numbers and times as text, read exactly: no integer passes through a float.

use chrono::DateTime;

/// The integer that `text` writes as `-?[0-9]+`, if 64 bits hold it.
pub(super) fn integer(text: &str) -> Option<i64> {
    if let Some(value) = many_digits(text.as_bytes()) {
        return Some(value);
    }
    // The standard library takes a plus sign too.
    if text.starts_with('+') { None } else { text.parse().ok() }
}

/// The number that 8 to 16 digits write, as identifiers and times do: read eight at a time.
#[inline(always)]
fn many_digits(text: &[u8]) -> Option<i64> {
    if !(8..=16).contains(&text.len()) {
        return None;
    }
    let (first, last) = (word(text.first_chunk()?), word(text.last_chunk()?));
    if no_digits(first) | no_digits(last) != 0 {
        return None;
    }
    // Of the first eight only those count that are not among the last eight too.
    let counted = 8 * (text.len() as u32 - 8);
    let first = (first ^ ZEROS).checked_shl(64 - counted).unwrap_or(0);
    i64::try_from(eight_digits(first) * 100_000_000 + eight_digits(last ^ ZEROS)).ok()
}

/// Eight bytes as one number, the first one lowest.
#[inline(always)]
pub(super) fn word(bytes: &[u8; 8]) -> u64 {
    u64::from_le_bytes(*bytes)
}

/// The high bit of each byte of a word that is no digit; of those behind the first one it may be set wrongly.
#[inline(always)]
pub(super) fn no_digits(word: u64) -> u64 {
    let values = word ^ ZEROS;
    // Only what is less than ten stays below the high bit; a carry comes from a byte that is no digit.
    (values.wrapping_add(ONES * (128 - 10)) | values) & (ONES * 128)
}

const ONES: u64 = u64::from_le_bytes([1; 8]);
const ZEROS: u64 = u64::from_le_bytes([b'0'; 8]);

/// The number of eight digits, each a byte's value, the first one lowest: pairs, then fours, then all are put together.
#[inline(always)]
fn eight_digits(values: u64) -> u64 {
    let pairs = (values * 10 + (values >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    (fours * 10_000 + (fours >> 32)) & 0xffff_ffff
}

/// The integer that a JSON number stands for, if its value has no fraction and 64 bits hold it: `5.0`, `1.50e1`, `-0.0`.
pub(super) fn whole(number: &str) -> Option<i64> {
    let negative = number.starts_with('-');
    let unsigned = number.strip_prefix('-').unwrap_or(number);
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(e) => (&unsigned[..e], &unsigned[e + 1..]),
        None => (unsigned, "0"),
    };
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));

    // The value is `digits` times ten to the power of `scale`, the zeros at both ends left out.
    let digits = || before.bytes().chain(after.bytes());
    let Some(first) = digits().position(|digit| digit != b'0') else {
        return Some(0);
    };
    let zeros = digits().rev().position(|digit| digit != b'0').unwrap_or(0);
    let count = before.len() + after.len() - first - zeros;
    let scale = power(exponent)
        .saturating_add(zeros as i64)
        .saturating_sub(after.len() as i64);
    let places = usize::try_from(scale).ok()?;
    if count.saturating_add(places) > 19 {
        return None;
    }
    let magnitude = digits()
        .skip(first)
        .take(count)
        .fold(0, |sum, digit| sum * 10 + i128::from(digit - b'0'));
    let magnitude = magnitude * 10_i128.pow(places as u32);
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

/// The integer below or at a JSON number divided by ten to the power of `digits`, if 64 bits hold it.
pub(super) fn scaled(number: &str, digits: u32) -> Option<i64> {
    let (mantissa, exponent) = match number.find(['e', 'E']) {
        Some(e) => (&number[..e], power(&number[e + 1..])),
        None => (number, 0),
    };
    let unsigned = mantissa.strip_prefix('-').unwrap_or(mantissa);
    let (before, after) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits_of = || before.bytes().chain(after.bytes());
    if digits_of().all(|digit| digit == b'0') {
        return Some(0);
    }
    // As many digits lie before the point once it is moved.
    let places = exponent
        .saturating_sub(i64::from(digits))
        .saturating_add(before.len() as i64);
    if places > 400 {
        return None;
    }
    let places = usize::try_from(places).unwrap_or(0);
    let padded = digits_of().chain(std::iter::repeat(b'0')).take(places);
    let whole = padded
        .skip_while(|digit| *digit == b'0')
        .try_fold(0_i128, |sum, digit| {
            sum.checked_mul(10)?.checked_add(i128::from(digit - b'0'))
        })?;
    let cut = digits_of().skip(places).any(|digit| digit != b'0');
    match number.starts_with('-') {
        true => i64::try_from(-whole - i128::from(cut)).ok(),
        false => i64::try_from(whole).ok(),
    }
}

/// The exponent that `text` writes as `[+-]?[0-9]+`; one that 64 bits cannot hold comes out as the nearest that they can.
fn power(text: &str) -> i64 {
    let limit = if text.starts_with('-') { i64::MIN } else { i64::MAX };
    text.parse().unwrap_or(limit)
}

/// The float nearest to a JSON number, if that is finite.
pub(super) fn double(number: &str) -> Option<f64> {
    number.parse().ok().filter(|float: &f64| float.is_finite())
}

/// The float that is exactly this integer.
pub(super) fn exact_double(integer: i64) -> Option<f64> {
    let float = integer as f64;
    (float as i128 == i128::from(integer)).then_some(float)
}

/// The integer that is exactly this float.
pub(super) fn exact_integer(float: f64) -> Option<i64> {
    // The cast saturates, and 2^63 as a float lies just beyond the integers.
    let integer = float as i64;
    (float as i128 == i128::from(integer) && float.fract() == 0.0).then_some(integer)
}

/// The epoch seconds of an RFC 3339 time; a fraction of a second is floored.
pub(super) fn rfc3339(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn many_digits_are_read_as_each_alone(text in "[0-9]{7,17}|[0-9/:]{8}|-?[0-9]{0,8}[/:][0-9]{0,8}|[0-9]{0,8}.[0-9]{0,8}") {
            prop_assert_eq!(integer(&text), text.parse().ok().filter(|_| !text.starts_with('+')));
        }
    }

    #[test]
    fn integers() {
        for (text, expected) in [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("007", Some(7)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-9223372036854775809", None),
            ("+5", None),
            ("-", None),
            ("", None),
            (" 5", None),
            ("5 ", None),
            ("5.0", None),
            ("--5", None),
            ("٥", None),
        ] {
            assert_eq!(integer(text), expected, "{text:?}");
        }
        assert_eq!(integer(&("0".repeat(1000) + "5")), Some(5));
    }

    #[test]
    fn whole_numbers() {
        for (text, expected) in [
            ("5.0", Some(5)),
            ("1e3", Some(1000)),
            ("1E+3", Some(1000)),
            ("1.50e1", Some(15)),
            ("-0.0", Some(0)),
            ("-0e-99999999999999999999", Some(0)),
            ("1500e-2", Some(15)),
            ("1501e-2", None),
            ("0.5", None),
            ("0.1e1", Some(1)),
            ("0.01e1", None),
            ("9007199254740993.0", Some(9_007_199_254_740_993)),
            ("9223372036854775807.000", Some(i64::MAX)),
            ("922337203685477580.7e1", Some(i64::MAX)),
            ("-9223372036854775808.0", Some(i64::MIN)),
            ("9223372036854775808.0", None),
            ("-9223372036854775809.0", None),
            ("1e18", Some(1_000_000_000_000_000_000)),
            ("1e19", None),
            ("1e308", None),
            ("1e99999999999999999999", None),
            ("1e-99999999999999999999", None),
            ("12", Some(12)),
        ] {
            assert_eq!(whole(text), expected, "{text:?}");
        }
        let zeros = "0".repeat(100_000);
        assert_eq!(whole(&format!("1{zeros}e-100000")), Some(1));
        assert_eq!(whole(&format!("0.{zeros}7e100001")), Some(7));
        assert_eq!(whole(&format!("1.{zeros}1")), None);
    }

    #[test]
    fn numbers_divided_by_powers_of_ten() {
        for (text, digits, expected) in [
            ("1705334400123", 3, Some(1_705_334_400)),
            ("1705334400999.9", 3, Some(1_705_334_400)),
            ("1.5e0", 0, Some(1)),
            ("-1.5", 0, Some(-2)),
            ("-1500", 3, Some(-2)),
            ("-2000", 3, Some(-2)),
            ("999", 3, Some(0)),
            ("-1", 3, Some(-1)),
            ("0.00", 3, Some(0)),
            ("0e999999999999999999999", 3, Some(0)),
            ("1.705334400123e12", 3, Some(1_705_334_400)),
            ("1e-99999999999999999999", 0, Some(0)),
            ("1e99999999999999999999", 9, None),
            ("9223372036854775807", 0, Some(i64::MAX)),
            ("9223372036854775808", 0, None),
            ("9223372036854775808000", 3, None),
            ("9223372036854775807000", 3, Some(i64::MAX)),
        ] {
            assert_eq!(scaled(text, digits), expected, "{text} by 10^{digits}");
        }
    }

    #[test]
    fn doubles() {
        assert_eq!(double("1e308"), Some(1e308));
        assert_eq!(double("1e400"), None);
        assert_eq!(double("-1e400"), None);
        assert_eq!(double("1e-400"), Some(0.0));
        assert_eq!(exact_double(1 << 53), Some(9_007_199_254_740_992.0));
        assert_eq!(exact_double((1 << 53) + 1), None);
        assert_eq!(exact_double(i64::MAX), None);
        assert_eq!(exact_double(i64::MIN), Some(-9_223_372_036_854_775_808.0));
        assert_eq!(exact_integer(5.0), Some(5));
        assert_eq!(exact_integer(-0.0), Some(0));
        assert_eq!(exact_integer(5.5), None);
        assert_eq!(exact_integer(9_223_372_036_854_775_808.0), None);
        assert_eq!(exact_integer(-9_223_372_036_854_775_808.0), Some(i64::MIN));
        assert_eq!(exact_integer(f64::NAN), None);
        assert_eq!(exact_integer(f64::INFINITY), None);
    }

    #[test]
    fn times() {
        for (text, expected) in [
            ("2024-01-15T16:00:00Z", Some(1_705_334_400)),
            ("2024-01-15T17:00:00+01:00", Some(1_705_334_400)),
            ("2024-01-15T16:00:00.999999999Z", Some(1_705_334_400)),
            ("1969-12-31T23:59:59.5Z", Some(-1)),
            ("2016-12-31T23:59:60Z", Some(1_483_228_799)),
            ("2024-01-15T16:00:00", None),
            ("2024-01-15", None),
            ("2024-02-30T00:00:00Z", None),
            ("", None),
        ] {
            assert_eq!(rfc3339(text), expected, "{text:?}");
        }
    }
}
