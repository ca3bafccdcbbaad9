//! Numbers to text and back by the browser's own routines: the tables behind Rust's are a tenth of the program.

/// The shortest text that reads back as the same number.
pub(crate) fn shortest(x: f64) -> String {
    engine::shortest(x)
}

/// The same as `x`, rounded to a number of decimals.
pub(crate) fn rounded(x: f64, decimals: u8) -> String {
    engine::rounded(x, decimals)
}

/// One digit before and one after the point, and a power of ten.
pub(crate) fn scientific(x: f64) -> String {
    engine::scientific(x)
}

/// A length or place for a style: a share of the whole as a percentage.
pub(crate) fn share(share: f64) -> String {
    let mut text = rounded(100.0 * share, 2);
    text.push('%');
    text
}

/// Reads a finite decimal number as people and JSON write it; nothing else.
pub(crate) fn read(text: &str) -> Option<f64> {
    let plain = |b: &u8| b.is_ascii_digit() || b"+-.eE".contains(b);
    if text.is_empty() || !text.as_bytes().iter().all(plain) {
        return None;
    }
    quick(text)
        .or_else(|| Some(engine::read(text)))
        .filter(|x| x.is_finite())
}

/// Numbers of at most 15 digits and no exponent, which one exact division makes; most of what the server sends.
fn quick(text: &str) -> Option<f64> {
    let (negative, digits) = text
        .strip_prefix('-')
        .map_or((false, text), |rest| (true, rest));
    let (mut mantissa, mut scale, mut after, mut seen) = (0u64, 1u64, false, 0);
    for byte in digits.bytes() {
        match byte {
            b'0'..=b'9' => {
                mantissa = 10 * mantissa + u64::from(byte - b'0');
                seen += 1;
                if after {
                    scale *= 10;
                }
            }
            b'.' if !after => after = true,
            _ => return None,
        }
        if seen > 15 {
            return None;
        }
    }
    let value = mantissa as f64 / scale as f64;
    (seen > 0).then_some(if negative { -value } else { value })
}

#[cfg(target_arch = "wasm32")]
mod engine {
    use js_sys::{JsString, Number};
    use wasm_bindgen::JsValue;

    fn number(x: f64) -> Number {
        Number::from(x)
    }

    fn text(said: Result<JsString, JsValue>) -> String {
        // Fails only for more decimals than any caller wants.
        said.map_or_else(|_| String::new(), String::from)
    }

    pub(super) fn shortest(x: f64) -> String {
        text(number(x).to_string_with_radix(10))
    }

    pub(super) fn rounded(x: f64, decimals: u8) -> String {
        text(number(x).to_fixed(decimals))
    }

    pub(super) fn scientific(x: f64) -> String {
        text(number(x).to_exponential(1)).replace('+', "")
    }

    pub(super) fn read(text: &str) -> f64 {
        // Unary plus, unlike `parseFloat`, refuses what follows a number.
        JsValue::from_str(text).unchecked_into_f64()
    }
}

/// What tests outside a browser run.
#[cfg(not(target_arch = "wasm32"))]
mod engine {
    pub(super) fn shortest(x: f64) -> String {
        x.to_string()
    }

    pub(super) fn rounded(x: f64, decimals: u8) -> String {
        format!("{x:.*}", decimals.into())
    }

    pub(super) fn scientific(x: f64) -> String {
        format!("{x:.1e}")
    }

    pub(super) fn read(text: &str) -> f64 {
        text.parse().unwrap_or(f64::NAN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for x in [0.0, 1.0, -0.05, 1.1, 0.1 + 0.2, 123_456.789, 1e-7, -2.5e30] {
            assert_eq!(read(&shortest(x)), Some(x));
        }
        assert_eq!(
            (rounded(0.125, 1), share(0.12345)),
            ("0.1".into(), "12.35%".into())
        );
        assert_eq!(scientific(1e-7), "1.0e-7");
    }

    #[test]
    fn short_numbers_are_exact_without_the_browser() {
        for text in [
            "0",
            "-0.0",
            "7",
            "0.1",
            "-12.25",
            "999999999999999",
            "0.00000000012345",
            "3.14159265358979",
            "2.",
            ".5",
        ] {
            assert_eq!(quick(text), text.parse().ok(), "{text}");
        }
        for text in ["1e3", "0.1234567890123456", "", "-", ".", "--1"] {
            assert_eq!(quick(text), None, "{text}");
        }
    }

    #[test]
    fn only_finite_numbers_are_numbers() {
        for bad in [
            "", " ", "1 2", "0x10", "Infinity", "nan", "1e999", "1e", "1,5",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(read("1e-3"), Some(0.001));
        assert_eq!(read("+2.5"), Some(2.5));
    }
}
