//! Loss curves of a dictionary.

use api::{Curve, TrainingCurves};
use serde_json::json;
use store::Writer;

use crate::common::{Site, analyse, manifest, study};

#[tokio::test]
async fn a_dictionary_trained_elsewhere_has_no_curves() {
    let empty = json!({"steps": [], "tokens": [], "curves": []});
    let site = Site::new().await;
    let curves = "/api/v1/dictionaries/l1/curves";
    assert_eq!(site.get(curves).await.json(), empty);
    let analysed = Site::analysed().await;
    let curves = "/api/v1/dictionaries/batchtopk/curves";
    assert_eq!(analysed.get(curves).await.json(), empty);
    let unknown = site.get("/api/v1/dictionaries/none/curves").await;
    unknown.problem(404, "unknown-dictionary");
    let parameter = site.get("/api/v1/dictionaries/l1/curves?limit=2").await;
    parameter.problem(422, "invalid");
}

#[tokio::test]
async fn curves_are_those_of_the_database() {
    let dir = study(&manifest());
    analyse(dir.path());
    let curve = |name: &str, values: &[Option<f64>]| Curve {
        name: name.into(),
        values: values.to_vec(),
    };
    let curves = TrainingCurves {
        steps: vec![0, 10, 19],
        tokens: vec![8, 88, 160],
        curves: vec![
            curve("train/loss", &[Some(2.0), Some(1.5), Some(0.1)]),
            curve("val/loss", &[None, None, Some(0.25)]),
        ],
    };
    let database = dir.path().join(store::DATABASE);
    let writer = Writer::amend(&database, "batchtopk").unwrap();
    writer.set_curves(&curves).unwrap();
    writer.finish().unwrap();
    // Another writer keeps them.
    let writer = Writer::amend(&database, "batchtopk").unwrap();
    writer.finish().unwrap();
    let site = Site::of(dir, |_| ()).await;
    let found = site.get("/api/v1/dictionaries/batchtopk/curves").await;
    assert_eq!(found.json(), serde_json::to_value(&curves).unwrap());
}
