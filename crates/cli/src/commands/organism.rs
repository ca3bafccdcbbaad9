//! `organism build` and `organism report`: the demo pair and its truth.

use organism::{BuildOptions, Preset, ReportOptions};

use crate::arguments::{self, Build, Report};
use crate::failure::Failure;

/// Builds a whole study: corpus, pair, dictionary, analysis, report.
pub(crate) fn build(build: Build) -> Result<(), Failure> {
    let options = BuildOptions {
        out: build.out,
        preset: match build.preset {
            arguments::Preset::Nano => Preset::Nano,
            arguments::Preset::Demo => Preset::Demo,
        },
        seed: build.seed,
    };
    let summary = organism::build(&options, build.printing.progress().as_ref())?;
    build.printing.summary(&summary)
}

/// Scores a study's latents against the world's own truth, and writes the scores into it.
pub(crate) fn report(report: Report) -> Result<(), Failure> {
    let options = ReportOptions {
        study: report.study,
    };
    let summary = organism::report(&options, report.printing.progress().as_ref())?;
    report.printing.summary(&summary)
}
