//! Markup as text. A chart has hundreds of marks: as text they need no view of their own, and tests outside a browser can read them.

use super::decimal::rounded;

/// Appends an element without content.
pub(crate) fn leaf(out: &mut String, tag: &str, attributes: &[(&str, &str)]) {
    open(out, tag, attributes);
    close(out, tag);
}

/// Appends an element with text in it.
pub(crate) fn worded(out: &mut String, tag: &str, attributes: &[(&str, &str)], words: &str) {
    open(out, tag, attributes);
    text(out, words);
    close(out, tag);
}

/// Appends a start tag; empty values leave their attribute out.
pub(crate) fn open(out: &mut String, tag: &str, attributes: &[(&str, &str)]) {
    out.push('<');
    out.push_str(tag);
    for (name, value) in attributes.iter().filter(|(_, value)| !value.is_empty()) {
        out.push(' ');
        out.push_str(name);
        out.push_str("=\"");
        text(out, value);
        out.push('"');
    }
    out.push('>');
}

/// Appends an end tag.
pub(crate) fn close(out: &mut String, tag: &str) {
    out.push_str("</");
    out.push_str(tag);
    out.push('>');
}

/// Appends text as it is to be read.
pub(crate) fn text(out: &mut String, words: &str) {
    for c in words.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
}

/// Appends a template, every `{}` in it replaced by a value as it is to be read. Where most of the markup is fixed, this is much less
/// code than [`open`] and [`close`].
pub(crate) fn fill(out: &mut String, template: &str, values: &[&str]) {
    let mut values = values.iter();
    for part in template.split('{') {
        if let Some(rest) = part.strip_prefix('}') {
            text(out, values.next().copied().unwrap_or_default());
            out.push_str(rest);
        } else {
            out.push_str(part);
        }
    }
}

/// Appends a rectangle of a picture: left, top, width, height in the unit square.
pub(crate) fn rect(out: &mut String, class: &str, [x, y, width, height]: [f64; 4]) {
    let [x, y, width, height] = [x, y, width, height].map(at);
    leaf(
        out,
        "rect",
        &[
            ("class", class),
            ("x", &x),
            ("y", &y),
            ("width", &width),
            ("height", &height),
        ],
    );
}

/// Appends a table's head: names and classes of its columns.
pub(crate) fn head(out: &mut String, columns: &[(&str, &str)]) {
    open(out, "thead", &[]);
    open(out, "tr", &[]);
    for (words, class) in columns {
        worded(out, "th", &[("scope", "col"), ("class", class)], words);
    }
    close(out, "tr");
    close(out, "thead");
}

/// A coordinate in a picture of the unit square.
pub(crate) fn at(x: f64) -> String {
    rounded(x, 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        let mut out = String::new();
        worded(
            &mut out,
            "td",
            &[("class", "a \"b\""), ("title", "")],
            "<script>&",
        );
        leaf(&mut out, "rect", &[("x", &at(1.0 / 3.0))]);
        fill(&mut out, "<i title=\"{}\">{}</i>", &["\"1\"", "<"]);
        assert_eq!(
            out,
            "<td class=\"a &quot;b&quot;\">&lt;script&gt;&amp;</td><rect x=\"0.3333\"></rect><i title=\"&quot;1&quot;\">&lt;</i>"
        );
    }
}
