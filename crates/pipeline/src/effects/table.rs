//! The effects as a table for the terminal.

use std::fmt;

use api::{CausalEffects, CausalMetric, CausalScope};
use serde::Serialize;

/// The step's result, with the interventions that could not be run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EffectsSummary {
    /// The effects.
    #[serde(flatten)]
    pub effects: CausalEffects,
    /// Which interventions were left out, and why.
    pub left_out: Vec<String>,
}

impl fmt::Display for EffectsSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let effects = &self.effects;
        writeln!(
            f,
            "KL(P_chat ‖ P_edited) in nats ± half a 95 % interval, over {}; sets from {} latents:",
            effects.source, effects.candidates
        )?;
        let heads = ["intervention", "latents", "first nine", "all answer tokens"];
        let mut lines = vec![heads.map(str::to_string)];
        lines.extend(effects.setups.iter().map(|setup| {
            let cell = |scope| {
                setup
                    .measure(scope, CausalMetric::KlFromChat)
                    .map_or_else(|| "–".to_string(), |m| value(m.mean, m.half_width))
            };
            let mut latents = setup.latents.map_or_else(|| "–".into(), |n| n.to_string());
            if setup.sets > 1 {
                latents = format!("{} × {latents}", setup.sets);
            }
            [
                setup.name.clone(),
                latents,
                cell(CausalScope::First),
                cell(CausalScope::All),
            ]
        }));
        let width = |column: usize| {
            let cells = lines.iter().map(|line| line[column].chars().count());
            cells.max().unwrap_or(0)
        };
        let [name, latents, first, all] = [0, 1, 2, 3].map(width);
        for [a, b, c, d] in &lines {
            writeln!(f, "  {a:<name$}  {b:>latents$}  {c:>first$}  {d:>all$}")?;
        }
        self.left_out
            .iter()
            .try_for_each(|sentence| writeln!(f, "  {sentence}"))
    }
}

fn value(mean: f64, half_width: Option<f64>) -> String {
    let half_width = half_width.map_or_else(|| "?".into(), |width| format!("{width:.4}"));
    format!("{mean:.4} ± {half_width}")
}
