//! JSON as a tree. One reader for every answer: a reader derived for each type is several times larger in all.

use crate::display::decimal;

/// How deep lists and objects may lie in each other.
const DEEPEST: u32 = 64;

/// A value; keys are as written between their quotes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(f64),
    /// A string.
    Text(String),
    /// A list.
    List(Vec<Self>),
    /// An object, in the order of writing.
    Object(Vec<(&'a str, Self)>),
}

impl<'a> Json<'a> {
    /// Reads a whole text.
    pub(crate) fn parse(text: &'a [u8]) -> Option<Self> {
        let mut reader = Reader {
            text: std::str::from_utf8(text).ok()?,
            at: 0,
        };
        let value = reader.value(DEEPEST)?;
        reader.blank();
        (reader.at == reader.text.len()).then_some(value)
    }

    /// The value of a key; `null` where there is none.
    pub(crate) fn get(&self, key: &str) -> &Self {
        match self {
            Self::Object(pairs) => pairs
                .iter()
                .find(|(name, _)| *name == key)
                .map_or(&Self::Null, |(_, value)| value),
            _ => &Self::Null,
        }
    }

    /// The elements of a list.
    pub(crate) fn list(&self) -> Option<&[Self]> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }

    /// A string.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A number.
    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Self::Number(x) => Some(*x),
            _ => None,
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    /// Takes the byte if it comes next.
    fn takes(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn value(&mut self, depth: u32) -> Option<Json<'a>> {
        let depth = depth.checked_sub(1)?;
        self.blank();
        match self.peek()? {
            b'{' => {
                let mut pairs = Vec::new();
                self.each(b'}', |reader| {
                    reader.blank();
                    let key = reader.quoted()?;
                    reader.blank();
                    if !reader.takes(b':') {
                        return None;
                    }
                    pairs.push((key, reader.value(depth)?));
                    Some(())
                })?;
                Some(Json::Object(pairs))
            }
            b'[' => {
                let mut list = Vec::new();
                self.each(b']', |reader| {
                    list.push(reader.value(depth)?);
                    Some(())
                })?;
                Some(Json::List(list))
            }
            b'"' => unescape(self.quoted()?).map(Json::Text),
            _ => self.word(),
        }
    }

    /// Reads elements with commas between them up to the closing byte.
    fn each(&mut self, close: u8, mut element: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.at += 1;
        self.blank();
        if self.takes(close) {
            return Some(());
        }
        loop {
            element(self)?;
            self.blank();
            if self.takes(close) {
                return Some(());
            }
            if !self.takes(b',') {
                return None;
            }
        }
    }

    /// What stands between quotes, escapes as they are.
    fn quoted(&mut self) -> Option<&'a str> {
        if !self.takes(b'"') {
            return None;
        }
        let from = self.at;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        let text = self.text.get(from..self.at);
        self.at += 1;
        text
    }

    /// A number, `true`, `false` or `null`.
    fn word(&mut self) -> Option<Json<'a>> {
        let from = self.at;
        while self
            .peek()
            .is_some_and(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
        {
            self.at += 1;
        }
        match self.text.get(from..self.at)? {
            "null" => Some(Json::Null),
            "true" => Some(Json::Bool(true)),
            "false" => Some(Json::Bool(false)),
            number => decimal::read(number).map(Json::Number),
        }
    }
}

fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(rest.get(..at)?);
        let code = rest.as_bytes().get(at + 1)?;
        rest = rest.get(at + 2..)?;
        out.push(match code {
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'u' => {
                let first = unit(&mut rest)?;
                let second = if (0xd800..0xdc00).contains(&first) && rest.starts_with("\\u") {
                    let mut after = rest.get(2..)?;
                    unit(&mut after)
                        .filter(|low| (0xdc00..0xe000).contains(low))
                        .inspect(|_| rest = after)
                } else {
                    None
                };
                let code = second.map_or(first, |low| {
                    0x1_0000 + ((first - 0xd800) << 10) + (low - 0xdc00)
                });
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            b'"' | b'\\' | b'/' => char::from(*code),
            _ => return None,
        });
    }
    out.push_str(rest);
    Some(out)
}

/// Four hexadecimal digits.
fn unit(rest: &mut &str) -> Option<u32> {
    let digits = rest.get(..4)?;
    *rest = rest.get(4..)?;
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<Json<'_>> {
        Json::parse(text.as_bytes())
    }

    #[test]
    fn trees_are_read() {
        let tree =
            parse(" {\"a\": [1, -2.5e-3, null, true],\n\"b\":{}, \"c\" : \"x\" , \"d\":[]} ")
                .unwrap();
        assert_eq!(
            tree.get("a").list().unwrap(),
            [
                Json::Number(1.0),
                Json::Number(-0.0025),
                Json::Null,
                Json::Bool(true)
            ]
        );
        assert_eq!(tree.get("c").text(), Some("x"));
        assert_eq!(*tree.get("b"), Json::Object(Vec::new()));
        assert_eq!(*tree.get("none"), Json::Null);
        assert_eq!(tree.get("a").get("none").number(), None);
    }

    #[test]
    fn every_string_survives() {
        for text in [
            "",
            "plain",
            "\"quoted\" \\ / \u{1}\u{8}\u{c}\n\r\t",
            "ν 多 🙂",
            "\u{7f}\u{ffff}",
        ] {
            let written = serde_json::to_string(text).unwrap();
            assert_eq!(parse(&written), Some(Json::Text(text.into())), "{written}");
        }
        assert_eq!(
            parse(r#""\ud83d\ude42\u00e4""#),
            Some(Json::Text("🙂ä".into()))
        );
        // Half of a pair stands for no character.
        assert_eq!(parse(r#""\ud83dx""#), Some(Json::Text("\u{fffd}x".into())));
    }

    #[test]
    fn broken_texts_are_refused() {
        for bad in [
            "",
            "{",
            "[1,",
            "[1,]",
            "[1 2]",
            "{\"a\"}",
            "{\"a\":1,}",
            "{a:1}",
            "\"",
            "\"\\\"",
            "\"\\x\"",
            "\"\\u12\"",
            "tru",
            "1 2",
            "NaN",
            "{}x",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!(parse(&"[".repeat(10_000)), None);
        assert_eq!(Json::parse(b"\"\xff\""), None);
    }
}
