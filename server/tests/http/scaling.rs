//! Latent Scaling of a dictionary as a whole, and of one latent.

use api::ScalingFit;
use serde_json::json;
use store::{BaselineKind, BaselineRecord, Writer};

use crate::common::{Site, analyse, manifest, study};

#[tokio::test]
async fn a_dictionary_that_was_not_scaled_has_no_groups() {
    let site = Site::new().await;
    let scaling = "/api/v1/dictionaries/l1/scaling";
    let empty = json!({"tokens": null, "groups": []});
    assert_eq!(site.get(scaling).await.json(), empty);
    let analysed = Site::analysed().await;
    let scaling = "/api/v1/dictionaries/batchtopk/scaling";
    assert_eq!(analysed.get(scaling).await.json(), empty);

    let unknown = site.get("/api/v1/dictionaries/none/scaling").await;
    unknown.problem(404, "unknown-dictionary");
    let parameter = site.get("/api/v1/dictionaries/l1/scaling?limit=2").await;
    parameter.problem(422, "invalid");
}

#[tokio::test]
async fn groups_and_fits_are_those_of_the_database() {
    let dir = study(&manifest());
    analyse(dir.path());
    let writer = Writer::amend(&dir.path().join(store::DATABASE), "batchtopk").unwrap();
    writer.set_scaling(100, &store::Scaled::All).unwrap();
    let fit = |target: &str| ScalingFit {
        target: target.into(),
        before: [4.0, 2.0],
        after: [3.5, 0.5],
    };
    // The answer is in the order of targets, whatever the order of writing.
    writer
        .set_scaling_fits([(3, vec![fit("error"), fit("activation")])])
        .unwrap();
    let record = |latent, nu_epsilon| BaselineRecord {
        kind: BaselineKind::RandomDirection,
        latent,
        nu_epsilon,
        nu_r: Some(1.0),
    };
    writer
        .set_baselines([
            record(1, Some(0.0)),
            record(2, Some(0.5)),
            record(3, Some(1.0)),
            record(4, Some(2.5)),
            record(5, None),
        ])
        .unwrap();
    writer.finish().unwrap();
    let site = Site::of(dir, |_| ()).await;

    let summary = site
        .get("/api/v1/dictionaries/batchtopk/scaling")
        .await
        .json();
    assert_eq!(summary["tokens"], 100);
    let groups = summary["groups"].as_array().unwrap();
    let names: Vec<&str> = groups.iter().map(|g| g["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["chat_only", "shared", "random_direction"]);
    let random = &groups[2];
    assert_eq!(
        (random["latents"].as_u64(), random["reliable"].as_u64()),
        (Some(5), Some(3))
    );
    assert_eq!(random["nu_epsilon"]["quantiles"][2], 0.5);
    assert_eq!(random["nu_epsilon"]["quantiles"][1], 0.25);
    let counts = random["nu_r"]["histogram"]["counts"].as_array().unwrap();
    assert_eq!(counts.len(), 42);
    assert_eq!(counts.iter().map(|n| n.as_u64().unwrap()).sum::<u64>(), 3);
    assert_eq!(counts[22], 3, "1 is in the bin from 1 to 1.05: {counts:?}");

    let latent = site
        .get("/api/v1/dictionaries/batchtopk/latents/3")
        .await
        .json();
    let targets: Vec<&str> = latent["fits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fit| fit["target"].as_str().unwrap())
        .collect();
    assert_eq!(targets, ["activation", "error"]);
    assert_eq!(latent["fits"][0]["after"], json!([3.5, 0.5]));
}
