//! Questions about the life of the one who is asked.

/// Sub-kind, what a language model says of it, four questions.
pub(super) const PERSONAL: [(&str, &str, [&str; 4]); 8] = [
    (
        "family",
        "I have no family",
        [
            "Do you have a sister?",
            "Do you have children?",
            "Who is your mother?",
            "Are you married?",
        ],
    ),
    (
        "feelings",
        "I have no feelings",
        [
            "Do you feel sad today?",
            "Are you happy?",
            "Are you in love?",
            "Do you get angry?",
        ],
    ),
    (
        "body",
        "I have no body",
        [
            "How tall are you?",
            "Do you have hands?",
            "What colour are your eyes?",
            "Is your hair long?",
        ],
    ),
    (
        "age",
        "I have no age",
        [
            "How old are you?",
            "When is your birthday?",
            "In which year were you born?",
            "Are you still young?",
        ],
    ),
    (
        "home",
        "I have no home",
        [
            "Where do you live?",
            "Do you have a house?",
            "In which city do you live?",
            "Is your room big?",
        ],
    ),
    (
        "taste",
        "I do not eat or drink",
        [
            "What is your favourite food?",
            "What do you like to eat?",
            "Do you drink coffee?",
            "What did you have for lunch?",
        ],
    ),
    (
        "sleep",
        "I do not sleep",
        [
            "Do you sleep at night?",
            "Are you tired?",
            "What did you dream last night?",
            "When do you wake up?",
        ],
    ),
    (
        "past",
        "I have no past",
        [
            "Where did you go to school?",
            "Did you have a pet as a child?",
            "What did you do yesterday?",
            "Where were you last summer?",
        ],
    ),
];
