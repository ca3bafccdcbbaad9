//! Query strings as ordered pairs.

use std::fmt;

use crate::display::decimal;

/// The pairs of a query string in order; a key may come more than once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads `a=1&b=2`, with or without a leading `?`.
    pub(crate) fn parse(text: &str) -> Self {
        let text = text.strip_prefix('?').unwrap_or(text);
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| {
                    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decode(key), decode(value))
                })
                .collect(),
        )
    }

    /// The pairs in order.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// The first value of a key, if it is there and not empty.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        let found = self.pairs().find(|(k, _)| *k == key);
        found.map(|(_, v)| v).filter(|v| !v.is_empty())
    }

    /// The first value of a key as a finite number with a fraction.
    pub(crate) fn decimal(&self, key: &str) -> Option<f64> {
        self.get(key).and_then(decimal::read)
    }

    /// The first value of a key, parsed; `None` where it is missing or unreadable.
    pub(crate) fn number<T: std::str::FromStr>(&self, key: &str) -> Option<T> {
        self.get(key).and_then(|v| v.parse().ok())
    }

    /// Every element of a comma-separated list that can be read.
    pub(crate) fn list<T: std::str::FromStr>(&self, key: &str) -> Vec<T> {
        let value = self.get(key).unwrap_or("");
        value.split(',').filter_map(|v| v.parse().ok()).collect()
    }

    /// Adds a pair.
    pub(crate) fn push(&mut self, key: &str, value: impl fmt::Display) {
        self.0.push((key.to_owned(), value.to_string()));
    }

    /// Adds a pair unless the value is `None`.
    pub(crate) fn push_some<T: fmt::Display>(&mut self, key: &str, value: Option<T>) {
        if let Some(value) = value {
            self.push(key, value);
        }
    }

    /// Adds a number with a fraction unless it is `None`.
    pub(crate) fn push_decimal(&mut self, key: &str, value: Option<f64>) {
        self.push_some(key, value.map(decimal::shortest));
    }

    /// Adds a comma-separated list unless it is empty.
    pub(crate) fn push_list<T: fmt::Display>(
        &mut self,
        key: &str,
        values: impl IntoIterator<Item = T>,
    ) {
        let values: Vec<String> = values.into_iter().map(|v| v.to_string()).collect();
        if !values.is_empty() {
            self.push(key, values.join(","));
        }
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (key, value)) in self.pairs().enumerate() {
            let between = if i == 0 { "" } else { "&" };
            write!(f, "{between}{}={}", encode(key), encode(value))?;
        }
        Ok(())
    }
}

/// Percent-encodes a key, a value or one segment of a path; spaces become `%20`, and what reads well in an address stays.
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for &byte in text.as_bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~!*'(),;:@".contains(&byte) {
            out.push(byte as char);
        } else {
            out.push('%');
            for half in [byte >> 4, byte & 15] {
                let digit = char::from_digit(u32::from(half), 16).unwrap_or('0');
                out.push(digit.to_ascii_uppercase());
            }
        }
    }
    out
}

/// Undoes [`encode`]; `+` reads as a space, and a broken escape stays as it is.
pub(crate) fn decode(text: &str) -> String {
    let source = text.as_bytes();
    let mut bytes = Vec::with_capacity(source.len());
    let mut at = 0;
    while let Some(&byte) = source.get(at) {
        at += 1;
        match (byte, hex(source.get(at)), hex(source.get(at + 1))) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(high << 4 | low);
                at += 2;
            }
            (b'+', ..) => bytes.push(b' '),
            _ => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(byte: Option<&u8>) -> Option<u8> {
    byte.and_then(|b| (*b as char).to_digit(16))
        .and_then(|d| u8::try_from(d).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_survives_the_address() {
        for text in [
            "",
            "a b",
            "a+b=c&d?#%",
            "ν^ε < 0.2",
            "多行\n\ttext",
            "<start_of_turn>user\n",
            "100%",
        ] {
            assert_eq!(decode(&encode(text)), text);
            let mut query = Query::default();
            query.push("p", text);
            query.push("p", "second");
            assert_eq!(Query::parse(&query.to_string()), query);
        }
    }

    #[test]
    fn broken_escapes_and_plus_signs_are_read() {
        assert_eq!(decode("a+b%2"), "a b%2");
        assert_eq!(decode("%zz%41"), "%zzA");
        let query = Query::parse("?flag&x=1&x=2&&class=chat-only,nonsense,7");
        assert_eq!(query.get("flag"), None);
        assert_eq!(query.number::<u32>("x"), Some(1));
        assert_eq!(query.list::<u32>("class"), [7]);
    }
}
