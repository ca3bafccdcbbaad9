//! `/api/v1/runs`

use api::{GenerateRequest, Prompt, Run, RunDifference, RunOutput, Verification};
use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};

use crate::{
    App,
    extract::{Json as Body, Segments},
    problem::{Answer, Problem},
    runs::{Generation, changed},
    transcript::Transcript,
};

/// Saves a run: what `POST /generate` gives for the same body, kept under an id that is a hash of all that determines it.
///
/// A generation that has just been streamed is not computed again. Saving the same run again changes nothing.
#[utoipa::path(
    post,
    path = "/api/v1/runs",
    tag = "runs",
    request_body = GenerateRequest,
    responses(
        (status = 200, description = "The run was there already", body = Run),
        (status = 201, description = "The run is saved; Location names it", body = Run),
        (status = "4XX", description = "A problem", body = api::Problem, content_type = "application/problem+json"),
        (status = 503, description = "The queue is full, or the models are loading or absent; Retry-After says when to try again", body = api::Problem, content_type = "application/problem+json"),
        (status = 507, description = "The run cannot be kept: the file cannot be written, the disk is full, or there are as many runs as are kept", body = api::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn post(
    State(app): State<App>,
    Body(request): Body<GenerateRequest>,
) -> Answer<impl IntoResponse> {
    let engine = app.engine_for(&request.dictionary)?;
    let tokens = engine.tokens(request.clone()).await?;
    let generation = Generation::new(&request, &tokens);
    let (id, inputs) = app.runs().inputs(generation.clone()).await?;
    let located = |status: StatusCode, run: Run| {
        let place = format!("/api/v1/runs/{}", run.id);
        (status, [(header::LOCATION, place)], Json(run))
    };
    let key = id.clone();
    if let Some(run) = app.runs().ask(move |runs| runs.find(&key)).await? {
        return Ok(located(StatusCode::OK, run));
    }
    // Before anything is computed only to be thrown away.
    app.runs().ask(store::Runs::check_room).await?;
    let outputs = match app.runs().recall(&generation) {
        Some(outputs) => outputs,
        None => generate(&app, request.clone()).await?,
    };
    let run = app.runs().run(id, request, tokens, inputs, outputs);
    let saved = app
        .runs()
        .ask(move |runs| {
            runs.save(&run)?;
            // Another client may have been first; what it saved stays.
            runs.run(&run.id)
        })
        .await?;
    Ok(located(StatusCode::CREATED, saved))
}

/// A saved run, as it was. Needs no models.
#[utoipa::path(
    get,
    path = "/api/v1/runs/{id}",
    tag = "runs",
    params(("id" = String, Path, description = "Id of the run")),
    responses(
        (status = 200, description = "The run", body = Run),
        (status = "4XX", description = "A problem", body = api::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get(
    State(app): State<App>,
    Segments(id): Segments<String>,
) -> Answer<impl IntoResponse> {
    let run = app.runs().ask(move |runs| runs.run(&id)).await?;
    let headers = [(
        header::CACHE_CONTROL,
        "private, max-age=31536000, immutable",
    )];
    Ok((headers, Json(run)))
}

/// Runs a saved run again and says whether every lane gives the stored tokens, and which of its inputs have changed since.
#[utoipa::path(
    post,
    path = "/api/v1/runs/{id}/verify",
    tag = "runs",
    params(("id" = String, Path, description = "Id of the run")),
    responses(
        (status = 200, description = "The comparison", body = Verification),
        (status = "4XX", description = "A problem", body = api::Problem, content_type = "application/problem+json"),
        (status = 503, description = "The queue is full, or the models are loading or absent; Retry-After says when to try again", body = api::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn verify(
    State(app): State<App>,
    Segments(id): Segments<String>,
) -> Answer<Json<Verification>> {
    let run = app.runs().ask(move |runs| runs.run(&id)).await?;
    let engine = app.engine_for(&run.dictionary)?;
    // The ids, not the text: a changed template is named below, and does not change the question.
    let request = GenerateRequest {
        dictionary: run.dictionary.clone(),
        prompt: Prompt {
            ids: Some(run.inputs.ids.clone()),
            ..Prompt::default()
        },
        lanes: run.inputs.lanes.clone(),
        sampling: run.inputs.sampling,
    };
    let tokens = engine.tokens(request.clone()).await?;
    let generation = Generation::new(&request, &tokens);
    let (_, inputs) = app.runs().inputs(generation).await?;
    let found = generate(&app, request).await?;
    let differences = differences(&run.outputs, &found);
    Ok(Json(Verification {
        identical: differences.is_empty(),
        changed: changed(&run.inputs, &inputs),
        differences,
    }))
}

/// Generates to the end; dropping this ends the generation.
async fn generate(app: &App, request: GenerateRequest) -> Answer<Vec<RunOutput>> {
    let engine = app.engine_for(&request.dictionary)?;
    let mut transcript = Transcript::new(request.lanes.len());
    let mut stream = engine.generate(request).await?;
    while let Some(event) = stream.recv().await {
        if let api::GenerateEvent::Error(body) = event {
            return Err(Problem {
                body,
                retry_after: None,
            });
        }
        transcript.hear(&event);
    }
    transcript
        .whole()
        .ok_or_else(|| engine::Error::Stopping.into())
}

/// Where lanes part, for each that does.
fn differences(stored: &[RunOutput], found: &[RunOutput]) -> Vec<RunDifference> {
    let lanes = stored.iter().zip(found).enumerate();
    lanes
        .filter_map(|(lane, (stored, found))| {
            let length = stored.tokens.len().max(found.tokens.len());
            let id = |output: &RunOutput, index: usize| output.tokens.get(index).map(|t| t.id);
            let index = (0..length).find(|index| id(stored, *index) != id(found, *index))?;
            Some(RunDifference {
                lane,
                index,
                stored: stored.tokens.get(index).cloned(),
                found: found.tokens.get(index).cloned(),
            })
        })
        .collect()
}
