//! `GET /dictionaries/{dict}/truth`.

use api::{Bar, ConceptBehaviour, GroundTruth};
use store::Writer;

use crate::common::{Site, analyse, manifest, study};

#[tokio::test]
async fn truth_is_that_of_the_study_and_a_problem_without_any() {
    let dir = study(&manifest());
    analyse(dir.path());
    let truth = GroundTruth {
        dictionary: "batchtopk".into(),
        cut: 0.75,
        behaviours: vec![ConceptBehaviour {
            concept: "harm_hack".into(),
            prompts: 3,
            chat: 2.0 / 3.0,
            bar: Some(Bar::AtLeast(0.97)),
            ..ConceptBehaviour::default()
        }],
        ..GroundTruth::default()
    };
    let writer = Writer::amend(&dir.path().join(store::DATABASE), "batchtopk").unwrap();
    writer.set_truth(&truth).unwrap();
    writer.finish().unwrap();

    let site = Site::of(dir, |options| options.browse_only = true).await;
    let path = |slug: &str| format!("/api/v1/dictionaries/{slug}/truth");
    let answer = site.get(&path("batchtopk")).await;
    assert!(!answer.header("etag").is_empty());
    let json = answer.json();
    assert_eq!(json["behaviours"][0]["bar"]["at_least"], 0.97);
    assert_eq!(serde_json::from_value::<GroundTruth>(json).unwrap(), truth);

    let none = site.get(&path("l1")).await.problem(404, "no-truth");
    assert!(none.contains("l1") && none.contains("organism"), "{none}");
    let unknown = site.get(&path("nothing")).await;
    unknown.problem(404, "unknown-dictionary");
    let parameter = site.get(&format!("{}?limit=2", path("batchtopk"))).await;
    parameter.problem(422, "invalid");
}
