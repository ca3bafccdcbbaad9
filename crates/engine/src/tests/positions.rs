//! Which tokens each kind of position means.

use serde_json::json;

use super::*;
use crate::places::{Place, Tracker, reach};

fn places(ids: &[u32], prompt: usize) -> Vec<Place> {
    let mut tracker = Tracker::new(&pair().tokenizer);
    let mut places = tracker.push(&ids[..prompt], false);
    for id in &ids[prompt..] {
        places.extend(tracker.push(&[*id], true));
    }
    places
}

fn chosen(places: &[Place], value: serde_json::Value) -> Vec<usize> {
    let positions = positions(value);
    places
        .iter()
        .filter(|place| place.is_in(&positions))
        .map(|place| place.index)
        .collect()
}

#[test]
fn template_tokens_are_the_reference_s_control_tokens() {
    let (_, ids) = conversation(1);
    let mask: Vec<u8> = serde_json::from_value(expected()["ctrl_mask_c1"].clone()).unwrap();
    let control: Vec<usize> = (0..mask.len()).filter(|t| mask[*t] == 1).collect();
    let places = places(&ids, ids.len());
    assert_eq!(chosen(&places, json!("template")), control);
    let content = chosen(&places, json!("content"));
    assert_eq!(
        content.len() + control.len() + 1,
        ids.len(),
        "BOS is neither"
    );
    assert!(!content.contains(&0));
    assert_eq!(chosen(&places, json!("all")).len(), ids.len());
}

#[test]
fn first_answer_starts_at_the_newline_after_model() {
    let (_, ids) = conversation(1);
    let places = places(&ids, ids.len());
    // The newlines of the model's turns stand at 13 and 50; the answers' last tokens at 22 and 60.
    assert_eq!(chosen(&places, json!("first_answer:1")), [13, 50]);
    assert_eq!(
        chosen(&places, json!("first_answer:3")),
        [13, 14, 15, 50, 51, 52]
    );
    let every: Vec<usize> = (13..=22).chain(50..=60).collect();
    assert_eq!(
        chosen(&places, json!("first_answer:100")),
        every,
        "up to the token that predicts the turn's end"
    );
}

#[test]
fn places_do_not_depend_on_how_tokens_arrive() {
    let (_, ids) = conversation(1);
    let (whole, parts) = (places(&ids, ids.len()), places(&ids, 40));
    assert_eq!(chosen(&parts, json!("prompt")), (0..40).collect::<Vec<_>>());
    assert_eq!(
        chosen(&parts, json!("generated")),
        (40..ids.len()).collect::<Vec<_>>()
    );
    for value in ["template", "content", "first_answer:4"] {
        assert_eq!(
            chosen(&parts, json!(value)),
            chosen(&whole, json!(value)),
            "{value}"
        );
    }
}

#[test]
fn lists_reach_what_may_be_generated_and_no_further() {
    assert_eq!(reach(&positions(json!([3, 19])), 16, 4).unwrap(), 20);
    assert!(reach(&positions(json!([20])), 16, 4).is_err());
    let error = reach(&positions(json!([16])), 16, 0)
        .unwrap_err()
        .to_string();
    assert!(error.contains("16 tokens"), "{error}");
    assert_eq!(reach(&positions(json!("prompt")), 16, 4).unwrap(), 16);
    assert_eq!(reach(&positions(json!("template")), 16, 4).unwrap(), 20);
}
