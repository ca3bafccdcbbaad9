//! One file of styles and one of scripts for each page: a browser waits for every one of them before it paints anything.

use std::path::Path;

use sha2::{Digest, Sha256};

use crate::step::Failure;

/// What a page loads before its first paint, by kind.
struct Kind {
    /// Name and ending of the joined file.
    name: &'static str,
    ending: &'static str,
    /// How such an element begins, and how it ends.
    element: [&'static str; 2],
    /// What else such an element has, and what only others have.
    marks: [&'static str; 2],
    /// The attribute that names its file.
    attribute: &'static str,
}

const KINDS: [Kind; 2] = [
    Kind {
        name: "styles",
        ending: "css",
        element: ["<link ", ">"],
        marks: ["stylesheet", "alternate"],
        attribute: "href",
    },
    Kind {
        name: "page",
        ending: "js",
        element: ["<script ", "</script>"],
        marks: ["src=", "module"],
        attribute: "src",
    },
];

/// Joins the files of the page `index.html` of a folder, in the page's order.
pub(crate) fn bundle(folder: &Path) -> Result<(), Failure> {
    let page = folder.join("index.html");
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |e: std::io::Error| Failure(format!("{path} cannot be joined with others: {e}"))
    };
    let mut html = std::fs::read_to_string(&page).map_err(failed(&page))?;
    for kind in &KINDS {
        let mut joined = String::new();
        for name in names(&html, kind) {
            let path = folder.join(name.trim_start_matches("./"));
            joined += &std::fs::read_to_string(&path).map_err(failed(&path))?;
            joined.push('\n');
            std::fs::remove_file(&path).map_err(failed(&path))?;
        }
        if joined.is_empty() {
            continue;
        }
        let hash = crate::duckdb::hexadecimal(&Sha256::digest(&joined));
        let hash: String = hash.chars().take(16).collect();
        let name = format!("{}-{hash}.{}", kind.name, kind.ending);
        let path = folder.join(&name);
        std::fs::write(&path, joined).map_err(failed(&path))?;
        html = with_one(&html, kind, &name);
    }
    std::fs::write(&page, html).map_err(failed(&page))
}

/// The elements of a kind.
fn elements<'a>(html: &'a str, kind: &Kind) -> Vec<&'a str> {
    let [open, close] = kind.element;
    let [mark, foreign] = kind.marks;
    html.match_indices(open)
        .filter_map(|(at, _)| {
            let rest = html.get(at..)?;
            rest.get(..rest.find(close)? + close.len())
        })
        .filter(|element| {
            let head = element.split('>').next().unwrap_or_default();
            head.contains(mark) && !head.contains(foreign)
        })
        .collect()
}

/// The files that they name.
fn names(html: &str, kind: &Kind) -> Vec<String> {
    elements(html, kind)
        .into_iter()
        .filter_map(|element| {
            let (_, rest) = element.split_once(&format!("{}=", kind.attribute))?;
            let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''));
            let rest = rest.trim_start_matches(['"', '\'']);
            let ends = |c: char| quote.map_or(c.is_whitespace() || c == '>', |quote| c == quote);
            rest.split(ends).next().map(str::to_owned)
        })
        .collect()
}

/// The page with one element, where the first was, in place of all.
fn with_one(html: &str, kind: &Kind, name: &str) -> String {
    let one = match kind.ending {
        "css" => format!("<link rel=\"stylesheet\" href=\"./{name}\">"),
        _ => format!("<script src=\"./{name}\"></script>"),
    };
    let mut html = html.to_owned();
    let found: Vec<String> = elements(&html, kind)
        .into_iter()
        .map(str::to_owned)
        .collect();
    for (i, element) in found.iter().enumerate() {
        html = html.replacen(element, if i == 0 { &one } else { "" }, 1);
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_joined_in_the_pages_order_and_others_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for (name, text) in [
            (
                "index.html",
                "<head><script src=\"./b-1.js\" integrity=\"x\"></script><link rel=icon href=./i.svg><script src=./a-2.js></script>\
                 <link rel=\"stylesheet\" href=\"./z-3.css\"/><link rel=stylesheet href=./y-4.css><link rel=\"modulepreload\" href=\"./m.js\">\
                 <script type=\"module\">import './m.js';</script></head>",
            ),
            ("b-1.js", "b();"),
            ("a-2.js", "a();"),
            ("z-3.css", "z {}"),
            ("y-4.css", "y {}"),
            ("m.js", ""),
        ] {
            std::fs::write(path(name), text).unwrap();
        }
        bundle(folder.path()).unwrap();
        let html = std::fs::read_to_string(path("index.html")).unwrap();
        let mut names: Vec<String> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let [_, _, script, styles] = names.try_into().unwrap();
        let text = |name: &str| std::fs::read_to_string(path(name)).unwrap();
        assert_eq!(text(&script), "b();\na();\n");
        assert_eq!(text(&styles), "z {}\ny {}\n");
        assert_eq!(
            html,
            format!(
                "<head><script src=\"./{script}\"></script><link rel=icon href=./i.svg>\
                 <link rel=\"stylesheet\" href=\"./{styles}\"><link rel=\"modulepreload\" href=\"./m.js\">\
                 <script type=\"module\">import './m.js';</script></head>"
            )
        );
    }
}
