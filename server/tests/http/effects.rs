//! `GET /dictionaries/{dict}/effects`.

use api::{CausalEffects, CausalMeasure, CausalMetric, CausalScope, CausalSetup};
use store::Writer;

use crate::common::{Site, analyse, manifest, study};

#[tokio::test]
async fn effects_are_those_of_the_study_and_empty_without_any() {
    let dir = study(&manifest());
    analyse(dir.path());
    let effects = CausalEffects {
        dialogues: 3,
        source: "3 dialogues of the collection".into(),
        candidates: 1,
        setups: vec![CausalSetup {
            name: "none".into(),
            description: "the base model's residual".into(),
            latents: None,
            sets: 1,
            measures: vec![CausalMeasure {
                scope: CausalScope::First,
                metric: CausalMetric::LossToChat,
                mean: 0.25,
                variance: None,
                count: 1,
                half_width: None,
            }],
        }],
    };
    let writer = Writer::amend(&dir.path().join(store::DATABASE), "batchtopk").unwrap();
    writer.set_effects(&effects).unwrap();
    writer.finish().unwrap();

    let site = Site::of(dir, |options| options.browse_only = true).await;
    let path = |slug: &str| format!("/api/v1/dictionaries/{slug}/effects");
    let answer = site.get(&path("batchtopk")).await;
    assert!(!answer.header("etag").is_empty());
    let json = answer.json();
    assert_eq!(json["setups"][0]["measures"][0]["scope"], "first");
    assert_eq!(json["setups"][0]["measures"][0]["metric"], "loss_to_chat");
    assert!(json["setups"][0]["latents"].is_null());
    assert_eq!(
        serde_json::from_value::<CausalEffects>(json).unwrap(),
        effects
    );

    let none = site.get(&path("l1")).await.json();
    assert_eq!(
        serde_json::from_value::<CausalEffects>(none).unwrap(),
        CausalEffects::default()
    );
    site.get(&path("nothing"))
        .await
        .problem(404, "unknown-dictionary");
    site.get(&format!("{}?sort=mean", path("l1")))
        .await
        .problem(422, "invalid");
}
