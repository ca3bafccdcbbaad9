//! Notes on latents: a rating, tags and a remark, and how two copies of them become one.

use std::cmp::Ordering;

/// The best rating; the worst is 1.
pub(crate) const BEST: u32 = 5;

/// A value and when it was written. The later one is the greater; at the same time the greater value, so that order never matters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Dated<T> {
    /// Milliseconds since 1970.
    pub(crate) changed: u64,
    /// What was written.
    pub(crate) value: T,
}

/// What somebody noted on one latent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Note {
    /// Slug of the dictionary.
    pub(crate) dictionary: String,
    /// Id of the latent.
    pub(crate) latent: u32,
    /// From 1 to [`BEST`].
    pub(crate) rating: Option<Dated<u32>>,
    /// Without blanks around them, each once, in the order of their letters.
    pub(crate) tags: Vec<String>,
    /// Any text that is not empty.
    pub(crate) remark: Option<Dated<String>>,
}

impl Note {
    /// A note that says nothing yet.
    pub(crate) fn new(dictionary: &str, latent: u32) -> Self {
        Self {
            dictionary: dictionary.to_owned(),
            latent,
            ..Self::default()
        }
    }

    /// Whether it says nothing.
    pub(crate) fn is_blank(&self) -> bool {
        self.rating.is_none() && self.tags.is_empty() && self.remark.is_none()
    }

    /// The rating; 0 for none.
    pub(crate) fn rated(&self) -> u32 {
        self.rating.as_ref().map_or(0, |rating| rating.value)
    }

    /// Sets the rating; 0 clears it, and what is the same stays as old as it is.
    pub(crate) fn rate(&mut self, value: u32, changed: u64) {
        if value != self.rated() {
            self.rating = (value > 0).then_some(Dated {
                changed,
                value: value.min(BEST),
            });
        }
    }

    /// Sets the remark; an empty text clears it.
    pub(crate) fn say(&mut self, value: String, changed: u64) {
        self.remark = (!value.is_empty()).then_some(Dated { changed, value });
    }

    /// The remark, or nothing.
    pub(crate) fn remark(&self) -> &str {
        self.remark
            .as_ref()
            .map_or("", |remark| remark.value.as_str())
    }

    fn place(&self, other: &Self) -> Ordering {
        (&self.dictionary, self.latent).cmp(&(&other.dictionary, other.latent))
    }

    /// Takes in another note on the same latent. What was cleared says nothing, so that it never takes away what the other says.
    fn take_in(&mut self, other: Self) {
        self.rating = self.rating.take().max(other.rating);
        self.remark = self.remark.take().max(other.remark);
        self.tags.extend(other.tags);
        in_order(&mut self.tags);
    }
}

/// One note for each latent, in order: of rating and remark the newer one, and the tags of all.
pub(crate) fn merged(notes: impl IntoIterator<Item = Note>) -> Vec<Note> {
    let mut all: Vec<Note> = notes.into_iter().collect();
    all.sort_by(Note::place);
    let mut out: Vec<Note> = Vec::new();
    for note in all {
        match out.last_mut() {
            Some(last) if last.place(&note).is_eq() => last.take_in(note),
            _ => out.push(note),
        }
    }
    out
}

/// Tags from a text with commas between them.
pub(crate) fn read_tags(text: &str) -> Vec<String> {
    let tags = text.split(',').map(str::trim).filter(|tag| !tag.is_empty());
    let mut tags = tags.map(str::to_owned).collect();
    in_order(&mut tags);
    tags
}

fn in_order(tags: &mut Vec<String>) {
    tags.sort();
    tags.dedup();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(latent: u32, rating: (u64, u32), tags: &str, remark: (u64, &str)) -> Note {
        let mut note = Note::new("one", latent);
        note.rate(rating.1, rating.0);
        note.tags = read_tags(tags);
        note.say(remark.1.into(), remark.0);
        note
    }

    #[test]
    fn the_newer_wins_field_by_field_and_tags_are_united() {
        let here = note(7, (10, 2), "b, a", (30, "later"));
        let there = note(7, (20, 5), "c,a", (5, "earlier"));
        assert_eq!(
            merged([here, there]),
            [note(7, (20, 5), "a, b, c", (30, "later"))]
        );
    }

    #[test]
    fn merging_is_idempotent_and_any_order_gives_the_same() {
        let copies = [
            vec![
                note(7, (10, 2), "b", (1, "x")),
                note(3, (1, 1), "", (0, "")),
            ],
            vec![
                note(7, (10, 4), "a", (9, "")),
                note(4, (1, 3), "z", (0, "")),
            ],
            vec![
                note(7, (9, 5), "", (1, "y")),
                Note::new("other", 7),
                note(3, (2, 0), "q", (8, "w")),
            ],
        ];
        let [a, b, c] = &copies;
        let join = |x: &[Note], y: &[Note]| merged(x.iter().chain(y).cloned());
        let all = join(&join(a, b), c);
        assert_eq!(join(a, &join(b, c)), all);
        assert_eq!(join(&join(c, b), a), all);
        assert_eq!(join(&all, &all), all);
        for before in copies.iter().flatten() {
            let after = all.iter().find(|n| n.place(before).is_eq()).unwrap();
            assert!(after.rating >= before.rating && after.remark >= before.remark);
            assert!(before.tags.iter().all(|tag| after.tags.contains(tag)));
        }
        assert_eq!(all.len(), 4);
    }

    #[test]
    fn a_rating_that_stays_keeps_its_time() {
        let mut note = note(1, (10, 3), "", (0, ""));
        note.rate(3, 50);
        assert_eq!(
            note.rating,
            Some(Dated {
                changed: 10,
                value: 3
            })
        );
        note.rate(0, 60);
        assert!(note.is_blank() && note.rated() == 0);
    }

    #[test]
    fn tags_are_trimmed_and_single() {
        assert_eq!(read_tags(" b,a ,, b,two words "), ["a", "b", "two words"]);
        assert!(read_tags(" , ").is_empty());
    }
}
