//! Small English: articles, verb endings, capital letters.

/// "an" or "a" before `word`, by how it sounds.
pub(crate) fn article(word: &str) -> &'static str {
    const A_DESPITE_VOWEL: [&str; 6] = ["uni", "use", "one", "eu", "usu", "uti"];
    const AN_DESPITE_CONSONANT: [&str; 3] = ["hour", "honest", "honour"];
    let word = word.to_ascii_lowercase();
    if AN_DESPITE_CONSONANT
        .iter()
        .any(|start| word.starts_with(start))
    {
        return "an";
    }
    if A_DESPITE_VOWEL.iter().any(|start| word.starts_with(start)) {
        return "a";
    }
    if word.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    }
}

/// `text` with every "a" and "an" made to fit the word that follows, and where bytes were put in or taken out:
/// `(byte of the old text, change in length)` in ascending order.
pub(crate) fn mend_articles(text: &str) -> (String, Vec<(usize, isize)>) {
    let mut mended = String::with_capacity(text.len() + 8);
    let mut moves = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let at = text.len() - rest.len();
        let length = if first.is_ascii_alphabetic() {
            rest.find(|c: char| !c.is_ascii_alphabetic())
                .unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let (word, after) = rest.split_at(length);
        let next = after.strip_prefix(' ').unwrap_or_default();
        if matches!(word, "a" | "A" | "an" | "An")
            && next.starts_with(|c: char| c.is_ascii_alphabetic())
        {
            let right = article(next);
            mended.push_str(if word.starts_with('A') {
                if right == "a" { "A" } else { "An" }
            } else {
                right
            });
            let change = right.len().cast_signed() - word.len().cast_signed();
            if change != 0 {
                moves.push((at + word.len(), change));
            }
        } else {
            mended.push_str(word);
        }
        rest = after;
    }
    (mended, moves)
}

/// A regular verb with "he", "she" or "it": hoot, hoots; hiss, hisses.
pub(crate) fn third_person(verb: &str) -> String {
    if ["s", "sh", "ch", "x", "z", "o"]
        .iter()
        .any(|end| verb.ends_with(end))
        && !verb.ends_with("oo")
    {
        format!("{verb}es")
    } else {
        format!("{verb}s")
    }
}

/// The past of a regular verb: hoot, hooted; stare, stared; carry, carried.
pub(crate) fn past(verb: &str) -> String {
    if verb.ends_with('e') {
        return format!("{verb}d");
    }
    match verb.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ied"),
        _ => format!("{verb}ed"),
    }
}

/// A plural: owl, owls; fox, foxes; wolf, wolves.
pub(crate) fn plural(noun: &str) -> String {
    match noun {
        "mouse" => "mice".to_owned(),
        "goose" => "geese".to_owned(),
        "wolf" => "wolves".to_owned(),
        "sheep" | "deer" => noun.to_owned(),
        _ if noun.ends_with("man") => format!("{}men", noun.trim_end_matches("man")),
        _ if ["s", "x", "sh", "ch"].iter().any(|end| noun.ends_with(end)) => format!("{noun}es"),
        _ => format!("{noun}s"),
    }
}

/// `text` with its first letter made a capital.
pub(crate) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

/// An action told of someone else: "my boss" becomes "the boss".
pub(crate) fn others(action: &str) -> String {
    action.replace(" my ", " the ")
}

/// Words as a sentence without its full stop: a capital, articles mended.
pub(crate) fn sentence(words: &str) -> String {
    mend_articles(&capital(words)).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn articles_fit_the_next_word_and_tell_what_moved() {
        let (text, moves) = mend_articles("A owl saw an fox and a apple; a unicorn, an hour.");
        assert_eq!(text, "An owl saw a fox and an apple; a unicorn, an hour.");
        assert_eq!(moves, [(1, 1), (12, -1), (22, 1)]);
        assert_eq!(mend_articles("Plan a. An A: a").0, "Plan a. An A: a");
        assert_eq!(mend_articles("").0, "");
    }

    #[test]
    fn verbs_and_plurals() {
        assert_eq!(
            [
                third_person("hoot"),
                third_person("hiss"),
                third_person("moo"),
                third_person("screech")
            ],
            ["hoots", "hisses", "moos", "screeches"]
        );
        assert_eq!(
            [
                past("hoot"),
                past("bray"),
                past("neigh"),
                past("carry"),
                past("stare")
            ],
            ["hooted", "brayed", "neighed", "carried", "stared"]
        );
        assert_eq!(
            [
                plural("fox"),
                plural("wolf"),
                plural("sheep"),
                plural("fisherman"),
                plural("owl")
            ],
            ["foxes", "wolves", "sheep", "fishermen", "owls"]
        );
    }

    #[test]
    fn actions_are_told_of_others() {
        assert_eq!(
            others("read the emails of my boss"),
            "read the emails of the boss"
        );
    }
}
