//! Where a latent fires in chats, as its page shows it.

use std::collections::HashMap;

use api::{TemplateActivity, TemplateBucket};
use diffing::{TEMPLATE_BUCKETS, TemplateGroup, TemplateLatent};

/// A latent on every group, from the groups' tokens by name and the latent's sums; empty if no chat was read.
pub(crate) fn activity(
    tokens: &HashMap<String, u64>,
    latent: &TemplateLatent,
) -> Vec<TemplateActivity> {
    if tokens.is_empty() {
        return Vec::new();
    }
    TemplateGroup::all()
        .map(|group| {
            let name = group.name();
            let tokens = tokens.get(&name).copied().unwrap_or_default();
            let bucket = |bucket: Option<usize>| {
                let sums = latent.sums(group, bucket);
                TemplateBucket {
                    active_tokens: sums.count,
                    mean_activation: sums.mean(),
                    max_activation: f64::from(sums.max),
                }
            };
            let all = bucket(None);
            TemplateActivity {
                group: name,
                tokens,
                active_tokens: all.active_tokens,
                frequency: (tokens > 0).then(|| all.active_tokens as f64 / tokens as f64),
                share: latent.share(group),
                mean_activation: all.mean_activation,
                max_activation: all.max_activation,
                buckets: (0..TEMPLATE_BUCKETS)
                    .map(|number| bucket(Some(number)))
                    .collect(),
            }
        })
        .collect()
}
