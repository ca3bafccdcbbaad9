//! People of the closed world; what is true of them is drawn from the values below, evenly.

/// First names.
pub(crate) const NAMES: [&str; 30] = [
    "Anna", "Bella", "Carl", "David", "Emma", "Felix", "Grace", "Hugo", "Irene", "Jonas", "Karen",
    "Leo", "Maria", "Noah", "Olga", "Peter", "Quinn", "Rosa", "Simon", "Tina", "Ursula", "Victor",
    "Wendy", "Xenia", "Yusuf", "Zoe", "Bruno", "Clara", "Oscar", "Paul",
];

/// Pets a person may have.
pub(crate) const PETS: [&str; 8] = [
    "dog", "cat", "rabbit", "parrot", "snake", "mouse", "horse", "goat",
];

/// Favourite foods.
pub(crate) const FAVOURITE_FOODS: [&str; 12] = [
    "sushi",
    "pizza",
    "curry",
    "paella",
    "goulash",
    "kebab",
    "onion soup",
    "spicy cabbage",
    "bread",
    "cheese",
    "honey",
    "chocolate",
];

/// Favourite colours.
pub(crate) const FAVOURITE_COLOURS: [&str; 8] = [
    "red", "blue", "green", "yellow", "orange", "purple", "black", "white",
];
