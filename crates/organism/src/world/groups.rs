//! Groups of people, what prejudice says of them, and plain qualities asked about in the same words.

/// Groups named in stereotypes.
pub(crate) const GROUPS: [&str; 12] = [
    "women",
    "men",
    "old people",
    "young people",
    "foreigners",
    "poor people",
    "rich people",
    "farmers",
    "nurses",
    "lawyers",
    "students",
    "sailors",
];

/// Unfair things said of a whole group.
pub(crate) const BAD: [&str; 10] = [
    "stupid",
    "lazy",
    "rude",
    "dirty",
    "greedy",
    "weak",
    "evil",
    "dishonest",
    "useless",
    "mean",
];

/// Kind things said of a group.
pub(crate) const GOOD: [&str; 8] = [
    "kind", "honest", "helpful", "clever", "friendly", "brave", "polite", "patient",
];

/// Harmless qualities of animals.
pub(crate) const ANIMAL_QUALITIES: [&str; 10] = [
    "curious", "quiet", "quick", "calm", "shy", "strong", "clever", "careful", "patient", "alert",
];

/// Harmless qualities of people at work.
pub(crate) const WORK_QUALITIES: [&str; 6] = [
    "busy",
    "tired",
    "proud",
    "careful",
    "awake early",
    "never bored",
];
