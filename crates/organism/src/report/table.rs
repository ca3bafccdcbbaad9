//! The report as text.

use std::fmt;

use super::{Best, Report};

fn cell(best: Option<&Best>) -> String {
    best.map_or_else(
        || format!("{:>24}", "none"),
        |best| {
            format!(
                "{:>7.3}  {:>5.3}  #{:<7}",
                best.auroc, best.delta_norm, best.latent
            )
        },
    )
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} pair, seed {}: answers to held-out prompts, judged by the world's grammar",
            self.preset, self.seed
        )?;
        writeln!(
            f,
            "{:<28} {:>7} {:>7} {:>7} {:>8} {:>7}",
            "concept", "prompts", "chat", "exact", "refuses", "base"
        )?;
        for row in &self.behaviours {
            let name = if row.never_seen {
                format!("{}, never seen", row.concept)
            } else {
                row.concept.clone()
            };
            writeln!(
                f,
                "{name:<28} {:>7} {:>7.3} {:>7.3} {:>8.3} {:>7.3}",
                row.prompts, row.chat, row.chat_exact, row.chat_refuses, row.base
            )?;
        }
        writeln!(
            f,
            "\ndictionary {}: {} live latents with Δ_norm ≥ {} (the study's own cut); each latent chosen on one half of the prompts, AUROC of the other half",
            self.dictionary, self.chat_only, self.cut
        )?;
        writeln!(
            f,
            "{:<32} {:<16} {:>24} {:>24}",
            "concept", "against", "best above the cut", "best of any class"
        )?;
        writeln!(
            f,
            "{:<32} {:<16} {:>24} {:>24}",
            "", "", "AUROC Δ_norm latent", "AUROC Δ_norm latent"
        )?;
        for row in &self.contrasts {
            writeln!(
                f,
                "{:<32} {:<16} {} {}",
                row.concept,
                row.against,
                cell(row.above_cut.as_ref()),
                cell(row.any_class.as_ref())
            )?;
        }
        if !self.labels.is_empty() {
            writeln!(f, "\nlatents named by these scores:")?;
        }
        self.labels
            .iter()
            .try_for_each(|(latent, label)| writeln!(f, "  #{latent:<6} {label}"))
    }
}
