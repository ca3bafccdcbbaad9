//! How a token's text is made visible.

use api::{TokenInfo, TokenKind};

/// The token's text with line breaks as ↵, tabs as →, byte pieces in angle brackets, and nothing invisible.
pub(crate) fn glyph(text: &str) -> String {
    if text.is_empty() {
        return "∅".into();
    }
    if let Some(byte) = text.strip_prefix("<0x").and_then(|t| t.strip_suffix('>')) {
        return format!("⟨{byte}⟩");
    }
    let blank = text.chars().all(|c| c == ' ');
    text.chars()
        .map(|c| match c {
            '\n' => '↵',
            '\r' => '␍',
            '\t' => '→',
            ' ' if blank => '\u{a0}',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// A control token without its brackets, as its chip shows it.
pub(crate) fn chip(text: &str) -> String {
    let inner = text.strip_prefix('<').and_then(|t| t.strip_suffix('>'));
    match inner {
        Some(name) if !text.starts_with("<0x") => name.replace('_', " "),
        _ => glyph(text.trim_matches(' ')),
    }
}

/// Whether a line ends after this token.
pub(crate) fn breaks_line(token: &TokenInfo) -> bool {
    token.text.ends_with('\n')
}

/// What a token is, in a word.
pub(crate) fn kind_name(kind: TokenKind) -> &'static str {
    match kind {
        TokenKind::Bos => "start of sequence",
        TokenKind::Template => "template",
        TokenKind::Content => "content",
    }
}

/// A token's text in quotation marks, for sentences and screen readers.
pub(crate) fn quoted(text: &str) -> String {
    format!("“{}”", glyph(text))
}

/// Indices around the strongest token: up to `before` tokens in front of it and `after` behind it.
pub(crate) fn window(values: &[f32], before: usize, after: usize) -> std::ops::Range<usize> {
    let mut peak = 0;
    let mut largest = f32::MIN;
    for (i, &v) in values.iter().enumerate() {
        if v > largest {
            (peak, largest) = (i, v);
        }
    }
    peak.saturating_sub(before)..values.len().min(peak + after + 1)
}

/// Classes and text of a generated token; `first` marks the first that differs from another lane.
pub(crate) fn generated(text: &str, first: bool) -> (String, String) {
    let special = text.len() > 2 && text.starts_with('<') && text.ends_with('>');
    let mut class = String::from("tok out");
    if special {
        class += " ctl";
    }
    if first {
        class += " first-difference";
    }
    let shown = if special { chip(text) } else { text.to_owned() };
    (class, shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_invisible() {
        for (text, shown) in [
            ("\n", "↵"),
            ("\n\n", "↵↵"),
            (" ", "\u{a0}"),
            ("   ", "\u{a0}\u{a0}\u{a0}"),
            (" a b", " a b"),
            ("\t", "→"),
            ("", "∅"),
            ("<0xE4>", "⟨E4⟩"),
            ("a\u{7}", "a\u{fffd}"),
        ] {
            assert_eq!(glyph(text), shown);
        }
        assert_eq!(chip("<start_of_turn>"), "start of turn");
        assert_eq!(chip("model"), "model");
        assert_eq!(chip("\n"), "↵");
    }

    #[test]
    fn windows_hold_the_peak() {
        let mut values = vec![0.0f32; 50];
        values[20] = 3.0;
        assert_eq!(window(&values, 5, 3), 15..24);
        values[20] = 0.0;
        values[49] = 1.0;
        assert_eq!(window(&values, 60, 60), 0..50);
        assert_eq!(window(&[], 5, 5), 0..0);
    }
}
