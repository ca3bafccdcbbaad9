//! Where the peers are, from the environment.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

const PYTHON: &str = "STEREOSCOPE_PEER_PYTHON";
const LIBRARY: &str = "STEREOSCOPE_PEER_LIBRARY";
const PAPER: &str = "STEREOSCOPE_PEER_PAPER";

/// Python with its libraries, and checkouts of the authors' code.
pub(crate) struct Peers {
    python: PathBuf,
    paper: Option<PathBuf>,
}

impl Peers {
    /// What the variables name, or a sentence on what to install.
    pub(crate) fn from_environment() -> Result<Self, String> {
        let place = |variable: &str, what: &str| {
            let path = env::var_os(variable).map(PathBuf::from);
            path.filter(|path| path.exists())
                .ok_or_else(|| format!("Set {variable} to {what}."))
        };
        place(
            LIBRARY,
            "a checkout of https://github.com/science-of-finetuning/dictionary_learning",
        )?;
        Ok(Self {
            python: place(
                PYTHON,
                "a Python 3 with torch, transformers, einops and tqdm (pip install)",
            )?,
            paper: place(PAPER, "").ok(),
        })
    }

    /// The closed-form scaler of the paper's own code.
    pub(crate) fn scaler(&self) -> Result<PathBuf, String> {
        let file = |root: &Path| root.join("tools/latent_scaler/closed_form.py");
        let found = self.paper.as_deref().map(file);
        found.filter(|file| file.exists()).ok_or_else(|| {
            format!(
                "Set {PAPER} to a checkout of https://github.com/science-of-finetuning/sparsity-artifacts-crosscoders."
            )
        })
    }

    /// The other side of a task.
    pub(crate) fn command(&self, task: &str) -> Command {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers");
        let mut command = Command::new(&self.python);
        command.arg(scripts.join(format!("{task}.py")));
        command.envs([
            ("PYTHONDONTWRITEBYTECODE", "1"),
            ("TQDM_DISABLE", "1"),
            ("HF_HUB_OFFLINE", "1"),
        ]);
        command
    }
}
