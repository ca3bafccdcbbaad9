//! Room on the disk: what a collection needs, and what there is.

use std::path::Path;

use gemma::readable as size;

use super::plan::Plan;
use crate::{Error, Progress, Result};

/// Says what the plan needs, and refuses it where the system knows that the disk is too small; `done` tokens are there already.
pub(super) fn announce(
    folder: &Path,
    plan: &Plan,
    done: u64,
    progress: &dyn Progress,
) -> Result<()> {
    let all = plan.identity.bytes(plan.tokens());
    let needed = plan.identity.bytes(plan.tokens().saturating_sub(done));
    // Not every file system tells.
    let free = fs4::available_space(folder).ok();
    let mut parts = vec![format!(
        "{} tokens in {} sequences, 2 × {} numbers each, take {} in {}",
        plan.tokens(),
        plan.sequences(),
        plan.identity.hidden_size,
        size(all),
        folder.display()
    )];
    if done > 0 {
        parts.push(format!("{} are still to be written", size(needed)));
    }
    parts.extend(free.map(|free| format!("{} are free there", size(free))));
    progress.say(&parts.join("; "));
    fits(folder, needed, free)
}

fn fits(folder: &Path, needed: u64, free: Option<u64>) -> Result<()> {
    match free {
        Some(free) if free < needed => Err(Error::Mismatch(format!(
            "the activations need {} more, but {} has only {} free; give fewer --tokens or --format bf16, or move the study to a larger disk",
            size(needed),
            folder.display(),
            size(free)
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_too_small_is_refused() {
        let folder = Path::new("study/activations");
        fits(folder, 2_000_000, Some(2_000_000)).unwrap();
        fits(folder, 2_000_000, None).unwrap();
        let refused = fits(folder, 2_500_000, Some(2_000_000))
            .unwrap_err()
            .to_string();
        for part in ["2.5 MB", "2.0 MB", "study/activations", "bf16"] {
            assert!(refused.contains(part), "{refused}");
        }
    }
}
