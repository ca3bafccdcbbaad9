//! The sentence above the latent table: how many are shown, and because of what.

use crate::{
    display::{decimal::shortest, numbers::count},
    state::{plane::column_name, triage::TriageState},
};

/// The filters in words, or `None` when every latent is shown.
pub(crate) fn reason(state: &TriageState) -> Option<String> {
    if state.is_unfiltered() {
        return None;
    }
    let mut parts = Vec::new();
    if !state.classes.is_empty() {
        let names: Vec<&str> = state.classes.iter().map(|c| c.as_str()).collect();
        parts.push(format!("class is {}", names.join(" or ")));
    }
    if !state.verdicts.is_empty() {
        let names: Vec<&str> = state.verdicts.iter().map(|v| v.as_str()).collect();
        parts.push(format!("verdict is {}", names.join(" or ")));
    }
    match state.dead {
        Some(true) => parts.push("dead".into()),
        Some(false) => parts.push("not dead".into()),
        None => {}
    }
    if !state.q.is_empty() {
        parts.push(format!("“{}” in id, label or example text", state.q));
    }
    for range in &state.ranges {
        let name = column_name(range.column);
        parts.push(match (range.min, range.max) {
            (Some(min), Some(max)) => {
                format!("{name} from {} to {}", shortest(min), shortest(max))
            }
            (Some(min), None) => format!("{name} ≥ {}", shortest(min)),
            (None, Some(max)) => format!("{name} ≤ {}", shortest(max)),
            (None, None) => continue,
        });
    }
    if let Some(lasso) = &state.lasso {
        let [x, y] = &lasso.columns;
        let (x, y) = (column_name(x), column_name(y));
        parts.push(format!("inside the lasso on {x} × {y}"));
    }
    Some(parts.join(", "))
}

/// "412 of 2,048 latents".
pub(crate) fn shown(total: u64, all: u64) -> String {
    if total == all {
        format!("all {} latents", count(all))
    } else {
        format!("{} of {} latents", count(total), count(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::UrlState;

    #[test]
    fn every_filter_is_named() {
        let state = TriageState::read(
            "class=chat-only,shared&verdict=both&dead=false&q=lock&max_nu_epsilon=0.2&min_delta_norm=0.5&max_delta_norm=0.9&lasso=nu_r,frequency:log,0,0,1,0,1,1",
        );
        assert_eq!(
            reason(&state).unwrap(),
            "class is chat-only or shared, verdict is both, not dead, “lock” in id, label or example text, Δ_norm from 0.5 to 0.9, ν^ε ≤ 0.2, inside the lasso on ν^r × frequency"
        );
        assert_eq!(reason(&TriageState::read("sort=-nu_r&row=200")), None);
        assert_eq!(shown(412, 2048), "412 of 2,048 latents");
        assert_eq!(shown(2048, 2048), "all 2,048 latents");
    }
}
