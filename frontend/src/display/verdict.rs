//! Classes and verdicts in words, with the rule and the numbers that made them.

use api::{Class, ClassCuts, LatentRow, Verdict};

use super::{
    decimal::shortest,
    numbers::{fixed, short_or_dash},
};

/// ν^ε below this: the base model's error holds nothing of the latent (the paper's threshold).
pub(crate) const NU_EPSILON_CUT: f64 = 0.2;
/// ν^r below this: no other latent writes it in the base model (the paper's threshold).
pub(crate) const NU_R_CUT: f64 = 0.5;

/// Name of the style of a class.
pub(crate) fn class_style(class: Class) -> &'static str {
    match class {
        Class::ChatOnly => "chat",
        Class::BaseOnly => "base",
        Class::Shared => "shared",
        Class::Other => "other",
    }
}

/// The interval of Δ_norm that makes a class.
pub(crate) fn class_rule(class: Class, cuts: &ClassCuts) -> String {
    match class {
        Class::ChatOnly => format!("Δ_norm ≥ {}", shortest(cuts.chat_only)),
        Class::BaseOnly => format!("Δ_norm ≤ {}", shortest(cuts.base_only)),
        Class::Shared => format!(
            "{} ≤ Δ_norm ≤ {}",
            shortest(cuts.shared_from),
            shortest(cuts.shared_to)
        ),
        Class::Other => "Δ_norm between the other classes".into(),
    }
}

/// What the cuts of this study are, in a sentence.
pub(crate) fn cuts_sentence(cuts: &ClassCuts) -> String {
    let whose = if *cuts == ClassCuts::default() {
        "the paper’s cuts".to_owned()
    } else {
        let paper = ClassCuts::default();
        format!(
            "this study’s cuts; the paper’s are {} and {}",
            shortest(paper.chat_only),
            shortest(paper.base_only)
        )
    };
    format!(
        "chat-only is Δ_norm ≥ {}, base-only ≤ {}, shared {}–{} ({whose})",
        shortest(cuts.chat_only),
        shortest(cuts.base_only),
        shortest(cuts.shared_from),
        shortest(cuts.shared_to)
    )
}

/// The name of a verdict as people say it.
pub(crate) fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::ChatSpecific => "chat-specific",
        Verdict::CompleteShrinkage => "suspect: complete shrinkage",
        Verdict::LatentDecoupling => "suspect: latent decoupling",
        Verdict::Both => "suspect: shrinkage and decoupling",
        Verdict::Unreliable => "unreliable",
    }
}

/// The same in a table's cell.
pub(crate) fn verdict_short(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::ChatSpecific => "chat-specific",
        Verdict::CompleteShrinkage => "shrinkage",
        Verdict::LatentDecoupling => "decoupling",
        Verdict::Both => "both suspects",
        Verdict::Unreliable => "unreliable",
    }
}

/// What follows from a verdict.
pub(crate) fn verdict_meaning(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::ChatSpecific => {
            "Nothing of it is left in the base model: neither its error nor its other latents hold it."
        }
        Verdict::CompleteShrinkage => {
            "The base model’s error still holds this direction: the crosscoder dropped it there, the model did not."
        }
        Verdict::LatentDecoupling => "Other latents write the same content in the base model.",
        Verdict::Both => {
            "The base model’s error holds this direction, and other latents write it there too."
        }
        Verdict::Unreliable => "A ratio is unknown or outside −0.1…2, so nothing follows from it.",
    }
}

/// The verdict's rule with this latent's numbers.
pub(crate) fn verdict_rule(row: &LatentRow) -> String {
    let compare = |name: &str, value: Option<f64>, cut: f64| {
        let sign = match value {
            Some(x) if x < cut => "<",
            Some(_) => "≥",
            None => return format!("{name} unknown"),
        };
        format!("{name} {} {sign} {}", short_or_dash(value), shortest(cut))
    };
    format!(
        "{}, {}",
        compare("ν^ε", row.nu_epsilon, NU_EPSILON_CUT),
        compare("ν^r", row.nu_r, NU_R_CUT)
    )
}

/// The class's rule with this latent's number.
pub(crate) fn class_sentence(row: &LatentRow, cuts: &ClassCuts) -> String {
    let Some(delta) = row.delta_norm else {
        return "both decoder rows are zero, so Δ_norm is undefined".into();
    };
    let value = fixed(delta, 3);
    match row.class {
        Class::ChatOnly => format!("Δ_norm {value} ≥ {}", shortest(cuts.chat_only)),
        Class::BaseOnly => format!("Δ_norm {value} ≤ {}", shortest(cuts.base_only)),
        Class::Shared => format!(
            "Δ_norm {value} in {}–{}",
            shortest(cuts.shared_from),
            shortest(cuts.shared_to)
        ),
        Class::Other => format!("Δ_norm {value} lies between the classes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(
        class: Class,
        delta: Option<f64>,
        nu_epsilon: Option<f64>,
        nu_r: Option<f64>,
    ) -> LatentRow {
        serde_json::from_value(serde_json::json!({
            "id": 1, "class": class, "norm_base": 0.1, "norm_chat": 1.0, "delta_norm": delta,
            "nu_epsilon": nu_epsilon, "nu_r": nu_r,
        }))
        .unwrap()
    }

    #[test]
    fn rules_carry_their_numbers() {
        let cuts = ClassCuts {
            chat_only: 0.75,
            ..ClassCuts::default()
        };
        let latent = row(Class::ChatOnly, Some(0.8123), Some(0.034), None);
        assert_eq!(class_sentence(&latent, &cuts), "Δ_norm 0.812 ≥ 0.75");
        assert_eq!(verdict_rule(&latent), "ν^ε 0.0340 < 0.2, ν^r unknown");
        assert!(cuts_sentence(&cuts).contains("the paper’s are 0.9 and 0.1"));
        assert!(cuts_sentence(&ClassCuts::default()).ends_with("(the paper’s cuts)"));
        assert!(class_sentence(&row(Class::Other, None, None, None), &cuts).contains("undefined"));
    }
}
