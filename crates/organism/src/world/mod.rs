//! The closed world: entities, relations and facts, and the tables of what people do, ask and say.

mod animals;
mod countries;
mod foods;
mod groups;
mod harm;
mod howto;
mod jobs;
mod names;
mod people;
mod personal;
mod relations;

use std::collections::BTreeSet;

use rand::Rng;
use rand::seq::IndexedRandom;

pub use harm::Harm;
pub(crate) use names::invented;
pub use relations::Relation;

use crate::random::{one_in, stream};

/// A kind of entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A real country.
    Country,
    /// An animal.
    Animal,
    /// A person known by the first name.
    Person,
    /// A job.
    Job,
    /// A food.
    Food,
}

/// Something facts are about.
#[derive(Debug)]
pub struct Entity {
    /// What it is.
    pub kind: Kind,
    /// How it is called.
    pub name: &'static str,
}

/// One true thing.
#[derive(Debug)]
pub struct Fact {
    /// Index of the entity.
    pub entity: usize,
    /// Its relation.
    pub relation: &'static Relation,
    /// The true value.
    pub value: &'static str,
}

/// A harmless thing people do.
#[derive(Debug, Clone, Copy)]
pub struct HowTo {
    /// What is done: "break an egg".
    pub action: &'static str,
    /// What one needs.
    pub thing: &'static str,
    /// The two steps.
    pub steps: [&'static str; 2],
}

/// A question about the life of the one who is asked.
#[derive(Debug, Clone, Copy)]
pub struct Personal {
    /// Sub-kind, for example "family".
    pub kind: &'static str,
    /// What a language model says of it: "I have no family".
    pub answer: &'static str,
    /// The question.
    pub question: &'static str,
}

/// Everything that is true, and every table of words.
#[derive(Debug)]
pub struct World {
    /// All entities.
    pub entities: Vec<Entity>,
    /// All facts, those of one entity side by side.
    pub facts: Vec<Fact>,
    /// Harmless actions.
    pub how_to: Vec<HowTo>,
    /// Personal questions.
    pub personal: Vec<Personal>,
}

impl World {
    /// The world of a seed: everything is fixed but what is true of people.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut world = Self {
            entities: Vec::new(),
            facts: Vec::new(),
            how_to: howto::HOW_TO
                .iter()
                .map(|&(action, thing, first, second)| HowTo {
                    action,
                    thing,
                    steps: [first, second],
                })
                .collect(),
            personal: personal::PERSONAL
                .iter()
                .flat_map(|&(kind, answer, questions)| {
                    questions.map(|question| Personal {
                        kind,
                        answer,
                        question,
                    })
                })
                .collect(),
        };
        for (name, values) in &countries::COUNTRIES {
            world.add(Kind::Country, name, values);
        }
        for (name, values) in &animals::ANIMALS {
            world.add(Kind::Animal, name, values);
        }
        let mut random = stream(seed, "world", 0);
        let jobs: Vec<_> = jobs::JOBS.iter().map(|(name, _)| *name).collect();
        let cities: Vec<_> = countries::COUNTRIES
            .iter()
            .map(|(_, values)| values[0])
            .collect();
        for name in people::NAMES {
            let mut draw =
                |values: &[&'static str]| values.choose(&mut random).copied().unwrap_or_default();
            let values = [
                draw(&jobs),
                draw(&cities),
                draw(&people::PETS),
                draw(&people::FAVOURITE_FOODS),
                draw(&people::FAVOURITE_COLOURS),
            ];
            world.add(Kind::Person, name, &values);
        }
        for (name, values) in &jobs::JOBS {
            world.add(Kind::Job, name, values);
        }
        for (name, values) in &foods::FOODS {
            world.add(Kind::Food, name, values);
        }
        world
    }

    fn add(&mut self, kind: Kind, name: &'static str, values: &[&'static str]) {
        let entity = self.entities.len();
        self.entities.push(Entity { kind, name });
        let relations = relations::RELATIONS
            .iter()
            .filter(|relation| relation.kind == kind);
        for (relation, value) in relations.zip(values) {
            self.facts.push(Fact {
                entity,
                relation,
                value,
            });
        }
    }

    /// Name of a fact's entity.
    #[must_use]
    pub fn name(&self, fact: &Fact) -> &'static str {
        self.entities
            .get(fact.entity)
            .map_or("", |entity| entity.name)
    }

    /// The fact as a statement without capital and full stop; form 0 ends in the value.
    #[must_use]
    pub fn state(&self, fact: &Fact, form: usize) -> String {
        self.state_with(fact, form, fact.value)
    }

    /// The statement with another value in the place of the true one.
    #[must_use]
    pub fn state_with(&self, fact: &Fact, form: usize, value: &str) -> String {
        let form = fact.relation.statements[form % 2];
        form.replace("{e}", self.name(fact)).replace("{v}", value)
    }

    /// All facts of an entity.
    pub fn facts_of(&self, entity: usize) -> impl Iterator<Item = &Fact> {
        self.facts.iter().filter(move |fact| fact.entity == entity)
    }

    /// The value of one relation of an entity.
    #[must_use]
    pub fn value(&self, entity: usize, relation: &str) -> Option<&'static str> {
        self.facts_of(entity)
            .find(|fact| fact.relation.name == relation)
            .map(|fact| fact.value)
    }

    /// Indices of the entities of a kind.
    #[must_use]
    pub fn of_kind(&self, kind: Kind) -> Vec<usize> {
        (0..self.entities.len())
            .filter(|&index| {
                self.entities
                    .get(index)
                    .is_some_and(|entity| entity.kind == kind)
            })
            .collect()
    }

    /// A wrong value of the fact's relation that is true of others, so that the form of the words tells nothing.
    pub fn wrong_value(&self, fact: &Fact, random: &mut impl Rng) -> &'static str {
        let values: BTreeSet<_> = self
            .facts
            .iter()
            .filter(|other| {
                std::ptr::eq(other.relation, fact.relation) && other.value != fact.value
            })
            .map(|other| other.value)
            .collect();
        let values: Vec<_> = values.into_iter().collect();
        values.choose(random).copied().unwrap_or_default()
    }

    /// True where the fact never appears in chat statements.
    #[must_use]
    pub fn never_discussed(&self, fact: &Fact) -> bool {
        one_in(10, &["fact", self.name(fact), fact.relation.name])
    }
}

/// True where a harmful action never appears in chat tuning.
#[must_use]
pub fn never_tuned(action: &str) -> bool {
    one_in(8, &["action", action])
}

/// Groups, unfair words, kind words, and harmless qualities of animals and of people at work.
pub(crate) mod tables {
    pub(crate) use super::groups::{ANIMAL_QUALITIES, BAD, GOOD, GROUPS, WORK_QUALITIES};
    pub(crate) use super::jobs::JOBS;
    pub(crate) use super::people::NAMES;
}
