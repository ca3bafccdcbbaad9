//! Numbers as people read them: grouped digits, real minus signs, a dash for what is unknown.

use super::decimal::{rounded, scientific};

/// What stands for an unknown value.
pub(crate) const UNKNOWN: &str = "–";

/// A fixed number of decimals.
pub(crate) fn fixed(x: f64, decimals: u8) -> String {
    if !x.is_finite() {
        return UNKNOWN.into();
    }
    let text = rounded(x, decimals);
    let zero = text.bytes().all(|b| matches!(b, b'-' | b'0' | b'.'));
    match text.strip_prefix('-') {
        Some(rest) if zero => rest.to_owned(),
        Some(rest) => format!("−{rest}"),
        None => text,
    }
}

/// Three significant digits, scientific where that is shorter to read.
pub(crate) fn short(x: f64) -> String {
    let size = x.abs();
    if !x.is_finite() {
        UNKNOWN.into()
    } else if size == 0.0 {
        "0".into()
    } else if !(0.001..100_000.0).contains(&size) {
        scientific(x).replace('-', "−")
    } else {
        let whole = size.log10().floor() as i32;
        fixed(x, u8::try_from(2 - whole).unwrap_or(0))
    }
}

/// As a label of an axis: three significant digits at most, no trailing zeros.
pub(crate) fn tick(x: f64) -> String {
    let text = short(x);
    if text.contains('.') && !text.contains('e') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// The same, or a dash.
pub(crate) fn short_or_dash(x: Option<f64>) -> String {
    x.map_or(UNKNOWN.into(), short)
}

/// A fixed number of decimals, or a dash.
pub(crate) fn fixed_or_dash(x: Option<f64>, decimals: u8) -> String {
    x.map_or(UNKNOWN.into(), |x| fixed(x, decimals))
}

/// A share as a percentage with enough digits to tell small ones apart.
pub(crate) fn percent(share: f64) -> String {
    let x = share * 100.0;
    if !x.is_finite() {
        return UNKNOWN.into();
    }
    let decimals = match x.abs() {
        0.0 => 0,
        x if x < 0.01 => return "< 0.01 %".into(),
        x if x < 1.0 => 2,
        x if x < 10.0 => 1,
        _ => 0,
    };
    format!("{} %", fixed(x, decimals))
}

/// The same, or a dash.
pub(crate) fn percent_or_dash(share: Option<f64>) -> String {
    share.map_or(UNKNOWN.into(), percent)
}

/// A count with grouped digits.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A large count in a few characters: `1.2 M`.
pub(crate) fn rough(n: u64) -> String {
    let x = n as f64;
    match n {
        0..10_000 => count(n),
        10_000..1_000_000 => format!("{} k", short(x / 1e3)),
        1_000_000..1_000_000_000 => format!("{} M", short(x / 1e6)),
        _ => format!("{} B", short(x / 1e9)),
    }
}

/// Milliseconds or seconds.
pub(crate) fn duration(ms: f64) -> String {
    if ms < 1000.0 {
        format!("{} ms", fixed(ms, 0))
    } else {
        format!("{} s", fixed(ms / 1000.0, 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_honest() {
        for (x, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (0.0314, "0.0314"),
            (14.249, "14.2"),
            (1234.5, "1234"),
            (-2.5, "−2.50"),
            (1e-7, "1.0e−7"),
            (3.2e9, "3.2e9"),
            (f64::NAN, UNKNOWN),
            (f64::INFINITY, UNKNOWN),
        ] {
            assert_eq!(short(x), text);
        }
        assert_eq!(fixed(-0.001, 2), "0.00");
        assert_eq!(fixed(-0.125, 2), "−0.12");
        assert_eq!(fixed_or_dash(None, 2), UNKNOWN);
        assert_eq!(short_or_dash(Some(2.0)), "2.00");
        assert_eq!(
            [tick(0.25), tick(1.0), tick(100.0), tick(19.23)],
            ["0.25", "1", "100", "19.2"]
        );
    }

    #[test]
    fn shares_keep_what_matters() {
        for (x, text) in [
            (0.0, "0 %"),
            (0.00001, "< 0.01 %"),
            (0.0041, "0.41 %"),
            (0.072, "7.2 %"),
            (0.72, "72 %"),
            (1.0, "100 %"),
        ] {
            assert_eq!(percent(x), text);
        }
        assert_eq!(percent_or_dash(None), UNKNOWN);
    }

    #[test]
    fn counts_are_grouped() {
        assert_eq!(count(7), "7");
        assert_eq!(count(2048), "2,048");
        assert_eq!(count(73_728_000), "73,728,000");
        assert_eq!(rough(9_999), "9,999");
        assert_eq!(rough(1_234_567), "1.23 M");
        assert_eq!(rough(2_614_341_888), "2.61 B");
        assert_eq!(duration(31.4), "31 ms");
        assert_eq!(duration(1520.0), "1.5 s");
    }
}
