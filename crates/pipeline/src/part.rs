//! Which part of a job one of many workers does.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Variables in which Slurm tells the task of a job array, and how many there are.
const SLURM: [&str; 3] = [
    "SLURM_ARRAY_TASK_ID",
    "SLURM_ARRAY_TASK_COUNT",
    "SLURM_ARRAY_TASK_MIN",
];
/// Variable in which Kubernetes tells the pod of an Indexed Job. It does not tell how many there are.
const KUBERNETES: &str = "JOB_COMPLETION_INDEX";
/// Number of workers, where the scheduler does not tell.
const COUNT: &str = "STEREOSCOPE_SHARDS";

/// One of `count` equal workers; piece `p` of a job is the worker's whose `index` is p modulo `count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardOf {
    /// From 0 to `count` − 1.
    pub index: usize,
    /// Number of workers, at least 1.
    pub count: usize,
}

impl ShardOf {
    /// The worker that does everything.
    pub const ALL: Self = Self { index: 0, count: 1 };

    /// Worker `index` of `count`.
    ///
    /// # Errors
    /// An index that is not below the count.
    pub fn new(index: usize, count: usize) -> Result<Self, String> {
        if index < count {
            Ok(Self { index, count })
        } else {
            Err(format!(
                "there is no shard {index} of {count}; they are counted from 0 to {}",
                count.saturating_sub(1)
            ))
        }
    }

    /// Whether this worker does piece `number`.
    pub fn has(self, number: usize) -> bool {
        number % self.count == self.index
    }

    /// The part that a scheduler gives this process: a Slurm job array by its own variables, a Kubernetes Indexed Job by
    /// `JOB_COMPLETION_INDEX` and `STEREOSCOPE_SHARDS` (its `completions`, which Kubernetes does not tell). `None` outside of both.
    ///
    /// # Errors
    /// Variables that are not numbers or do not fit; an index without a count.
    pub fn from_environment() -> Result<Option<Self>, String> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, String> {
        let number = |name: &str| {
            variable(name)
                .map(|text| {
                    text.trim()
                        .parse::<usize>()
                        .map_err(|_| format!("{name} is {text:?}, expected a whole number"))
                })
                .transpose()
        };
        let [id, tasks, first] = SLURM;
        let (index, count, named) = if let Some(task) = number(id)? {
            let first = number(first)?.unwrap_or(0);
            let index = task
                .checked_sub(first)
                .ok_or_else(|| format!("{id} is {task}, below the array's first task {first}"))?;
            (index, number(tasks)?.or(number(COUNT)?), id)
        } else if let Some(index) = number(KUBERNETES)? {
            (index, number(COUNT)?, KUBERNETES)
        } else {
            return Ok(None);
        };
        let count = count.ok_or_else(|| {
            format!(
                "{named} says that this is worker {index}, but not of how many; set {COUNT}, or give --shard {index}/COUNT"
            )
        })?;
        Self::new(index, count)
            .map(Some)
            .map_err(|problem| format!("{named}: {problem}; number the tasks without gaps"))
    }
}

impl fmt::Display for ShardOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl FromStr for ShardOf {
    type Err = String;

    /// Reads `I/N`.
    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text
            .split_once('/')
            .and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        let (index, count) = numbers.ok_or_else(|| {
            format!("{text:?} is not a shard; expected I/N, for instance 0/4 for the first of four")
        })?;
        Self::new(index, count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Option<ShardOf>, String> {
        ShardOf::from_variables(|name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_string())
        })
    }

    #[test]
    fn shards_are_read_and_refused() {
        let shard: ShardOf = "2/5".parse().unwrap();
        assert_eq!(shard, ShardOf::new(2, 5).unwrap());
        assert_eq!(shard.to_string(), "2/5");
        let mine: Vec<usize> = (0..12).filter(|n| shard.has(*n)).collect();
        assert_eq!(mine, [2, 7]);
        for text in ["5/5", "0/0", "1", "a/2", "-1/2", ""] {
            assert!(text.parse::<ShardOf>().is_err(), "{text}");
        }
    }

    #[test]
    fn schedulers_give_the_default() {
        assert_eq!(of(&[]), Ok(None));
        let slurm = [
            ("SLURM_ARRAY_TASK_ID", "7"),
            ("SLURM_ARRAY_TASK_COUNT", "4"),
            ("SLURM_ARRAY_TASK_MIN", "5"),
        ];
        assert_eq!(of(&slurm), Ok(Some(ShardOf { index: 2, count: 4 })));
        let pod = [("JOB_COMPLETION_INDEX", "1"), ("STEREOSCOPE_SHARDS", "3")];
        assert_eq!(of(&pod), Ok(Some(ShardOf { index: 1, count: 3 })));
        let alone = of(&pod[..1]).unwrap_err();
        assert!(alone.contains("STEREOSCOPE_SHARDS") && alone.contains("--shard 1/COUNT"));
        assert!(
            of(&[("JOB_COMPLETION_INDEX", "x")])
                .unwrap_err()
                .contains("\"x\"")
        );
        // An array with gaps, as `--array=0-12:4` gives.
        let gaps = [
            ("SLURM_ARRAY_TASK_ID", "12"),
            ("SLURM_ARRAY_TASK_COUNT", "4"),
        ];
        assert!(of(&gaps).unwrap_err().contains("without gaps"));
    }
}
