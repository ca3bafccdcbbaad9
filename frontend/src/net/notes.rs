//! Notes as JSON: one note as the browser keeps it, and all notes of a study as a file.

use super::{
    answer::{Answer, Wrong, field},
    json::Json,
};
use crate::state::notes::{BEST, Dated, Note, merged, read_tags};

/// What the file says of itself.
const FORMAT: &str = "stereoscope-notes";

/// The only version there is.
const VERSION: f64 = 1.0;

/// The largest whole number up to which every one is a number of JSON.
const LARGEST: f64 = 9_007_199_254_740_991.0;

impl Answer for Note {
    fn from_json(json: &Json<'_>) -> Result<Self, Wrong> {
        let rating = json.get("rating");
        let rating = if *rating == Json::Null {
            None
        } else {
            Some(Dated {
                changed: whole(rating, "changed", 0.0, LARGEST)? as u64,
                value: whole(rating, "value", 1.0, BEST.into()).map_err(|_| "rating")? as u32,
            })
        };
        let remark = json.get("remark");
        let remark = if *remark == Json::Null {
            None
        } else {
            Some(Dated {
                changed: whole(remark, "changed", 0.0, LARGEST)? as u64,
                value: field(remark, "value").map_err(|_| "remark")?,
            })
        };
        let tags: Option<Vec<String>> = field(json, "tags")?;
        Ok(Self {
            dictionary: field(json, "dictionary")?,
            latent: whole(json, "latent", 0.0, u32::MAX.into())? as u32,
            rating,
            tags: read_tags(&tags.unwrap_or_default().join(",")),
            remark: remark.filter(|remark: &Dated<String>| !remark.value.is_empty()),
        })
    }
}

/// A whole number in bounds.
fn whole(json: &Json<'_>, name: Wrong, least: f64, most: f64) -> Result<f64, Wrong> {
    let fits = |x: &f64| (least..=most).contains(x) && x.fract() == 0.0;
    json.get(name).number().filter(fits).ok_or(name)
}

/// Reads what [`write_note`] wrote.
pub(crate) fn read_note(text: &str) -> Option<Note> {
    Note::from_json(&Json::parse(text.as_bytes())?).ok()
}

/// One note.
pub(crate) fn write_note(note: &Note) -> String {
    let mut out = format!(
        "{{\"dictionary\":{},\"latent\":{}",
        quoted(&note.dictionary),
        note.latent
    );
    let mut dated = |name: &str, changed: u64, value: &str| {
        let changed = changed.to_string();
        for part in [
            ",\"",
            name,
            "\":{\"value\":",
            value,
            ",\"changed\":",
            &changed,
            "}",
        ] {
            out.push_str(part);
        }
    };
    if let Some(rating) = &note.rating {
        dated("rating", rating.changed, &rating.value.to_string());
    }
    if let Some(remark) = &note.remark {
        dated("remark", remark.changed, &quoted(&remark.value));
    }
    if !note.tags.is_empty() {
        let tags: Vec<String> = note.tags.iter().map(|tag| quoted(tag)).collect();
        out.push_str(",\"tags\":[");
        out.push_str(&tags.join(","));
        out.push(']');
    }
    out.push('}');
    out
}

fn quoted(text: &str) -> String {
    // A string can always be written.
    serde_json::to_string(text).unwrap_or_default()
}

/// All notes of a study as a file.
pub(crate) fn write_notes(study: &str, notes: &[Note]) -> String {
    let lines: Vec<String> = notes.iter().map(write_note).collect();
    format!(
        "{{\"format\":\"{FORMAT}\",\"version\":1,\"study\":{},\"notes\":[\n{}\n]}}\n",
        quoted(study),
        lines.join(",\n")
    )
}

/// Reads a file of notes on the study of that name.
///
/// # Errors
/// What is wrong with the file, in a sentence.
pub(crate) fn read_notes(study: &str, text: &str) -> Result<Vec<Note>, String> {
    let file = Json::parse(text.as_bytes())
        .ok_or("This file is no JSON: choose one that Notes exported.")?;
    if file.get("format").text() != Some(FORMAT) {
        return Err("This file holds no notes: choose one that Notes exported.".into());
    }
    if file.get("version").number() != Some(VERSION) {
        return Err("These notes are of a newer version: update this program.".into());
    }
    let of = file.get("study").text().unwrap_or_default();
    if of != study {
        return Err(format!(
            "These notes are on the study “{of}”, and this is “{study}”."
        ));
    }
    let list = file
        .get("notes")
        .list()
        .ok_or("This file has no list of notes: export it again.")?;
    let mut notes = Vec::with_capacity(list.len());
    for (at, json) in list.iter().enumerate() {
        let note = Note::from_json(json).map_err(|wrong| {
            format!(
                "Note {} of this file is broken: its “{wrong}” is missing or wrong.",
                at + 1
            )
        })?;
        notes.push(note);
    }
    Ok(merged(notes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes() -> Vec<Note> {
        let mut full = Note::new("a \"b\"", 12);
        full.rate(4, 1_700_000_000_123);
        full.tags = vec!["ν 多".into(), "🙂\\".into()];
        full.say("two\nlines, \u{1}".into(), 1_700_000_000_124);
        let mut few = Note::new("c", u32::MAX);
        few.tags = vec!["only".into()];
        vec![full, few]
    }

    #[test]
    fn what_is_written_reads_back() {
        for note in notes() {
            assert_eq!(read_note(&write_note(&note)), Some(note));
        }
        for notes in [notes(), Vec::new()] {
            let file = write_notes("My “study”", &notes);
            assert!(serde_json::from_str::<serde_json::Value>(&file).is_ok());
            assert_eq!(read_notes("My “study”", &file), Ok(notes));
        }
    }

    #[test]
    fn broken_files_are_refused_with_a_sentence() {
        let file = write_notes("s", &notes());
        let half = file.get(..60).unwrap();
        for (text, says) in [
            (half.to_owned(), "no JSON"),
            ("[]".into(), "no notes"),
            (file.replace("\"version\":1", "\"version\":2"), "version"),
            (file.replace("\"value\":4", "\"value\":6"), "rating"),
            (file.replace("\"value\":4", "\"value\":2.5"), "rating"),
            (file.replace("4294967295", "-1"), "Note 2"),
            (file.replace("1700000000124", "null"), "changed"),
            (file.replace("[\"only\"]", "[7]"), "tags"),
        ] {
            let said = read_notes("s", &text).unwrap_err();
            assert!(said.contains(says) && said.ends_with('.'), "{said}");
        }
        assert!(read_notes("other", &file).unwrap_err().contains("“s”"));
        assert_eq!(read_note("{"), None);
    }
}
