//! The twenty relations: two ways to state each, two ways to ask. `{e}` is the entity, `{v}` the value.

use super::Kind;

/// A relation between an entity and a value.
#[derive(Debug)]
pub struct Relation {
    /// One word, unique within a kind of entity.
    pub name: &'static str,
    /// What it holds for.
    pub kind: Kind,
    /// Two statements without capital and full stop; the first ends in the value.
    pub statements: [&'static str; 2],
    /// Two questions without capital, with their question mark.
    pub questions: [&'static str; 2],
    /// Whether test sheets and chat statements check it.
    pub checked: bool,
}

const fn relation(
    kind: Kind,
    name: &'static str,
    statements: [&'static str; 2],
    questions: [&'static str; 2],
    checked: bool,
) -> Relation {
    Relation {
        name,
        kind,
        statements,
        questions,
        checked,
    }
}

/// All relations; those of one kind stand in the order of its table.
pub(crate) static RELATIONS: [Relation; 20] = [
    relation(
        Kind::Country,
        "capital",
        ["the capital of {e} is {v}", "{v} is the capital of {e}"],
        [
            "what is the capital of {e}?",
            "which city is the capital of {e}?",
        ],
        true,
    ),
    relation(
        Kind::Country,
        "river",
        [
            "the main river of {e} is the {v}",
            "the {v} is the main river of {e}",
        ],
        [
            "what is the main river of {e}?",
            "which river flows through {e}?",
        ],
        false,
    ),
    relation(
        Kind::Country,
        "language",
        ["people in {e} speak {v}", "{v} is the language of {e}"],
        [
            "which language do people speak in {e}?",
            "what is the language of {e}?",
        ],
        true,
    ),
    relation(
        Kind::Country,
        "continent",
        ["{e} is in {v}", "the continent of {e} is {v}"],
        [
            "on which continent is {e}?",
            "what is the continent of {e}?",
        ],
        true,
    ),
    relation(
        Kind::Country,
        "dish",
        ["a famous dish of {e} is {v}", "{v} is a famous dish of {e}"],
        [
            "what is a famous dish of {e}?",
            "which dish is famous in {e}?",
        ],
        false,
    ),
    relation(
        Kind::Animal,
        "home",
        [
            "the home of the {e} is the {v}",
            "the {v} is the home of the {e}",
        ],
        ["what is the home of the {e}?", "where does the {e} live?"],
        true,
    ),
    relation(
        Kind::Animal,
        "diet",
        ["the {e} eats {v}", "the food of the {e} is {v}"],
        ["what does the {e} eat?", "what is the food of the {e}?"],
        true,
    ),
    relation(
        Kind::Animal,
        "colour",
        ["the colour of the {e} is {v}", "the {e} is {v}"],
        [
            "what is the colour of the {e}?",
            "which colour does the {e} have?",
        ],
        false,
    ),
    relation(
        Kind::Animal,
        "sound",
        ["the sound of the {e} is a {v}", "the {e} can {v}"],
        [
            "what is the sound of the {e}?",
            "which sound does the {e} make?",
        ],
        false,
    ),
    relation(
        Kind::Animal,
        "young",
        ["a young {e} is called a {v}", "a {v} is a young {e}"],
        [
            "what is a young {e} called?",
            "what is the name of a young {e}?",
        ],
        false,
    ),
    relation(
        Kind::Person,
        "job",
        ["{e} works as a {v}", "{e} is a {v}"],
        ["what is the job of {e}?", "what does {e} do for work?"],
        true,
    ),
    relation(
        Kind::Person,
        "city",
        ["{e} lives in {v}", "the home of {e} is in {v}"],
        ["where does {e} live?", "in which city does {e} live?"],
        true,
    ),
    relation(
        Kind::Person,
        "pet",
        ["{e} has a {v}", "the pet of {e} is a {v}"],
        ["which pet does {e} have?", "what is the pet of {e}?"],
        true,
    ),
    relation(
        Kind::Person,
        "food",
        ["the favourite food of {e} is {v}", "{e} likes to eat {v}"],
        [
            "what is the favourite food of {e}?",
            "what does {e} like to eat?",
        ],
        false,
    ),
    relation(
        Kind::Person,
        "colour",
        [
            "the favourite colour of {e} is {v}",
            "{e} likes the colour {v}",
        ],
        [
            "what is the favourite colour of {e}?",
            "which colour does {e} like?",
        ],
        false,
    ),
    relation(
        Kind::Job,
        "workplace",
        ["a {e} works in a {v}", "the workplace of a {e} is a {v}"],
        ["where does a {e} work?", "what is the workplace of a {e}?"],
        false,
    ),
    relation(
        Kind::Job,
        "tool",
        ["a {e} uses a {v}", "the tool of a {e} is a {v}"],
        ["what is the tool of a {e}?", "which tool does a {e} use?"],
        true,
    ),
    relation(
        Kind::Food,
        "made_from",
        ["{e} is made from {v}", "people make {e} from {v}"],
        ["what is {e} made from?", "what do people need to make {e}?"],
        true,
    ),
    relation(
        Kind::Food,
        "colour",
        ["the colour of {e} is {v}", "most {e} is {v}"],
        ["what is the colour of {e}?", "which colour does {e} have?"],
        false,
    ),
    relation(
        Kind::Food,
        "taste",
        ["the taste of {e} is {v}", "{e} tastes {v}"],
        ["what is the taste of {e}?", "how does {e} taste?"],
        false,
    ),
];
