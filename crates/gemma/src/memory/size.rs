//! Sizes in bytes, as people write and read them.

use std::str::FromStr;

/// A size for a person, in powers of 1,000.
pub fn readable(bytes: u64) -> String {
    let mut value = bytes as f64 / 1000.0;
    for unit in ["kB", "MB", "GB"] {
        if value < 1000.0 {
            return format!("{value:.1} {unit}");
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}

/// A number of bytes, written `16GB`, `16GiB`, `500MB` or plainly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fault = || format!("{text:?} is not a size; write for instance 16GB or 16GiB");
        let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.'));
        let (number, unit) = text.split_at(split.unwrap_or(text.len()));
        let scale: f64 = match unit.trim() {
            "" | "B" => 1.0,
            "kB" | "KB" => 1e3,
            "MB" => 1e6,
            "GB" => 1e9,
            "TB" => 1e12,
            "KiB" => 1024.0,
            "MiB" => 1024.0 * 1024.0,
            "GiB" => 1024.0 * 1024.0 * 1024.0,
            "TiB" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
            _ => return Err(fault()),
        };
        let number: f64 = number.parse().map_err(|_| fault())?;
        Ok(Self((number * scale) as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_for_people() {
        let shown = [10, 999_900, 1_500_000, 7_300_000_000, 40_000_000_000_000].map(readable);
        assert_eq!(shown, ["0.0 kB", "999.9 kB", "1.5 MB", "7.3 GB", "40.0 TB"]);
        for (text, bytes) in [
            ("512", 512),
            ("16GB", 16_000_000_000),
            ("1.5 kB", 1500),
            ("2GiB", 1 << 31),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)));
        }
        for bad in ["", "GB", "1.2.3GB", "-1GB", "16 gigs", "inf"] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
    }
}
