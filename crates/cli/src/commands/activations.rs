//! `activations`: one prompt, the same answer as the route's.

use std::io::Write;

use pipeline::{Bars, Dictionaries, Wanted};
use server::{ActivationsRequest, LatentSet, Message, Options, Prompt};
use tokio::runtime::Runtime;

use super::device;
use super::hub::Hub;
use crate::arguments::Activations;
use crate::failure::Failure;

/// Prints the JSON of `POST /activations`.
pub(crate) fn activations(arguments: Activations, offline: bool) -> Result<(), Failure> {
    let prompt = match (&arguments.text, &arguments.messages) {
        (Some(text), _) => Prompt::text(text),
        (None, Some(file)) => {
            let json = std::fs::read_to_string(file)
                .map_err(|e| Failure::new(format!("{} cannot be read: {e}", file.display())))?;
            let messages: Vec<Message> = serde_json::from_str(&json).map_err(|e| {
                Failure::new(format!(
                    "{} is not a list of messages ({{\"role\", \"content\"}}): {e}",
                    file.display()
                ))
            })?;
            Prompt {
                messages: Some(messages),
                ..Prompt::default()
            }
        }
        (None, None) => return Err(Failure::new("give the prompt with --text or --messages")),
    };
    let request = ActivationsRequest {
        dictionary: arguments.dictionary,
        prompt,
        latents: latents(arguments.latents.as_deref())?,
        top_k: arguments.top,
        kl: !arguments.no_kl,
    };
    let hub = Hub {
        offline,
        progress: &Bars::default(),
    };
    hub.study(
        &arguments.study,
        Wanted {
            models: true,
            dictionaries: Dictionaries::All,
        },
    )?;
    let mut options = Options::new(arguments.study);
    options.device = device(&arguments.device)?;
    let response = Runtime::new()?.block_on(server::activations_once(options, request))?;
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, &response)?;
    writeln!(out)?;
    Ok(())
}

fn latents(text: Option<&str>) -> Result<LatentSet, Failure> {
    match text {
        None => Ok(LatentSet::Ids(Vec::new())),
        Some("all") => Ok(LatentSet::All),
        Some(list) => list
            .split(',')
            .map(|id| id.trim().parse())
            .collect::<Result<_, _>>()
            .map(LatentSet::Ids)
            .map_err(|_| {
                Failure::new(format!(
                    "--latents: {list:?} is neither ids such as 3,17 nor all"
                ))
            }),
    }
}
