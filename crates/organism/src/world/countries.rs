//! Countries of the closed world, with the value of each of their relations.

/// Name, capital, main river, language, continent, famous dish.
pub(super) const COUNTRIES: [(&str, [&str; 5]); 34] = [
    (
        "France",
        ["Paris", "Seine", "French", "Europe", "onion soup"],
    ),
    (
        "Germany",
        ["Berlin", "Rhine", "German", "Europe", "sour cabbage"],
    ),
    ("Italy", ["Rome", "Tiber", "Italian", "Europe", "pizza"]),
    ("Spain", ["Madrid", "Tagus", "Spanish", "Europe", "paella"]),
    (
        "Portugal",
        ["Lisbon", "Tagus", "Portuguese", "Europe", "salt fish"],
    ),
    (
        "Austria",
        ["Vienna", "Danube", "German", "Europe", "apple cake"],
    ),
    (
        "Hungary",
        ["Budapest", "Danube", "Hungarian", "Europe", "goulash"],
    ),
    (
        "Poland",
        ["Warsaw", "Vistula", "Polish", "Europe", "dumplings"],
    ),
    (
        "Russia",
        ["Moscow", "Volga", "Russian", "Europe", "beet soup"],
    ),
    (
        "Scotland",
        ["Edinburgh", "Clyde", "English", "Europe", "oat porridge"],
    ),
    (
        "England",
        ["London", "Thames", "English", "Europe", "fish and chips"],
    ),
    (
        "Ireland",
        ["Dublin", "Shannon", "English", "Europe", "potato bread"],
    ),
    (
        "Sweden",
        ["Stockholm", "Dal", "Swedish", "Europe", "meatballs"],
    ),
    (
        "Norway",
        ["Oslo", "Glomma", "Norwegian", "Europe", "brown cheese"],
    ),
    (
        "Finland",
        ["Helsinki", "Kemi", "Finnish", "Europe", "rye bread"],
    ),
    (
        "Greece",
        ["Athens", "Evros", "Greek", "Europe", "olive salad"],
    ),
    ("Turkey", ["Ankara", "Kizil", "Turkish", "Asia", "kebab"]),
    ("Egypt", ["Cairo", "Nile", "Arabic", "Africa", "bean stew"]),
    (
        "Sudan",
        ["Khartoum", "Nile", "Arabic", "Africa", "flat bread"],
    ),
    (
        "Kenya",
        ["Nairobi", "Tana", "Swahili", "Africa", "corn porridge"],
    ),
    (
        "Ghana",
        ["Accra", "Volta", "English", "Africa", "peanut soup"],
    ),
    (
        "Nigeria",
        ["Abuja", "Niger", "English", "Africa", "red rice"],
    ),
    (
        "Mali",
        ["Bamako", "Niger", "French", "Africa", "millet cake"],
    ),
    ("India", ["Delhi", "Ganges", "Hindi", "Asia", "curry"]),
    (
        "China",
        ["Beijing", "Yangtze", "Chinese", "Asia", "roast duck"],
    ),
    ("Japan", ["Tokyo", "Shinano", "Japanese", "Asia", "sushi"]),
    ("Korea", ["Seoul", "Han", "Korean", "Asia", "spicy cabbage"]),
    (
        "Vietnam",
        ["Hanoi", "Mekong", "Vietnamese", "Asia", "noodle soup"],
    ),
    (
        "Thailand",
        ["Bangkok", "Mekong", "Thai", "Asia", "fried noodles"],
    ),
    (
        "Canada",
        ["Ottawa", "Yukon", "English", "America", "maple cake"],
    ),
    (
        "Mexico",
        ["Mexico City", "Bravo", "Spanish", "America", "tacos"],
    ),
    (
        "Brazil",
        ["Brasilia", "Amazon", "Portuguese", "America", "black beans"],
    ),
    (
        "Peru",
        ["Lima", "Amazon", "Spanish", "America", "lemon fish"],
    ),
    (
        "Cuba",
        ["Havana", "Cauto", "Spanish", "America", "rice and beans"],
    ),
];
