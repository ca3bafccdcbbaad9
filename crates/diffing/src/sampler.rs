//! Examples of every latent, spread over the strengths at which it fires, chosen the same way whatever the order and sharding.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Shares of a latent's largest v that divide its sequences into groups.
pub const QUANTILES: [f64; 5] = [0.25, 0.5, 0.75, 0.95, 1.0];
/// Number of groups: one more than quantiles. The last holds sequences above the maximum handed over.
pub const GROUPS: usize = QUANTILES.len() + 1;

/// Group of a sequence: how many thresholds q·max lie strictly below its largest v.
pub fn quantile_group(value: f32, max: f32) -> usize {
    QUANTILES
        .iter()
        .filter(|&&q| q * f64::from(max) < f64::from(value))
        .count()
}

/// A kept sequence of a latent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sampled {
    /// Number of the sequence in the corpus.
    pub sequence: u64,
    /// Largest v of the latent in the sequence.
    pub max: f32,
    /// Position and v of every token on which the latent is active, by position.
    pub activations: Vec<(u32, f32)>,
}

/// One group of one latent: how many sequences fell into it, and those with the smallest priorities.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Group {
    sequences: u64,
    kept: BTreeMap<u64, Sampled>,
}

/// Keeps, per latent and group, a random choice of sequences.
///
/// A sequence's priority is a hash of seed, latent and token ids, and the smallest priorities stay. So every distinct sequence has
/// the same chance, copies count once, and any split of the corpus into parts gives, merged, the choice of one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct QuantileSampler {
    seed: u64,
    per_group: usize,
    maxima: Vec<f32>,
    groups: Vec<[Group; GROUPS]>,
    /// Hash of the token ids of every sequence seen, and the smallest number under which it came.
    seen: HashMap<u64, u64>,
}

/// SplitMix64's finaliser: a bijection that mixes every bit.
pub(crate) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn content_hash(tokens: &[u32]) -> u64 {
    tokens.iter().fold(mix(tokens.len() as u64 + 1), |h, &t| {
        mix(h.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ u64::from(t))
    })
}

impl QuantileSampler {
    /// `maxima` holds every latent's largest v over the whole corpus; `per_group` sequences are kept per latent and group.
    pub fn new(maxima: Vec<f32>, per_group: usize, seed: u64) -> Self {
        Self {
            seed,
            per_group,
            groups: vec![Default::default(); maxima.len()],
            maxima,
            seen: HashMap::new(),
        }
    }

    /// Offers one sequence: its number in the corpus, its token ids, and (latent, position, v) of every active latent.
    /// A sequence whose token ids came before under another number is counted in its groups but not kept again; of copies, the
    /// one with the smallest number stays.
    ///
    /// # Errors
    /// If a latent is outside the dictionary. Nothing is added then.
    pub fn offer(
        &mut self,
        sequence: u64,
        tokens: &[u32],
        activations: &[(u32, u32, f32)],
    ) -> Result<()> {
        let latents = self.maxima.len();
        if let Some(&(id, ..)) = activations.iter().find(|a| a.0 as usize >= latents) {
            return Err(Error::UnknownLatent { id, latents });
        }
        let content = content_hash(tokens);
        let earlier = self.seen.get(&content).copied();
        if earlier.is_none_or(|e| sequence < e) {
            self.seen.insert(content, sequence);
        }
        let mut sorted: Vec<(u32, u32, f32)> =
            activations.iter().copied().filter(|a| a.2 > 0.0).collect();
        sorted.sort_unstable_by_key(|&(latent, position, _)| (latent, position));
        for run in sorted.chunk_by(|a, b| a.0 == b.0) {
            let Some(&(latent, ..)) = run.first() else {
                continue;
            };
            let max = run.iter().map(|a| a.2).fold(0.0, f32::max);
            let largest = self.maxima.get(latent as usize).copied().unwrap_or(0.0);
            let Some(group) = self
                .groups
                .get_mut(latent as usize)
                .and_then(|groups| groups.get_mut(quantile_group(max, largest)))
            else {
                continue;
            };
            group.sequences += 1;
            let priority = mix(content ^ mix(self.seed ^ mix(u64::from(latent) + 1)));
            let accepted = match group.kept.get(&priority) {
                Some(copy) => sequence < copy.sequence,
                None => {
                    earlier.is_none_or(|e| sequence < e)
                        && (group.kept.len() < self.per_group
                            || group
                                .kept
                                .last_key_value()
                                .is_some_and(|(&p, _)| priority < p))
                }
            };
            if accepted {
                let activations = run.iter().map(|a| (a.1, a.2)).collect();
                group.kept.insert(
                    priority,
                    Sampled {
                        sequence,
                        max,
                        activations,
                    },
                );
                if group.kept.len() > self.per_group {
                    group.kept.pop_last();
                }
            }
        }
        Ok(())
    }

    /// Adds another part's sample. Copies of a sequence in both parts stay once, under the smaller number.
    ///
    /// # Errors
    /// If the parts were set up with another seed, size or maxima.
    pub fn merge(&mut self, other: Self) -> Result<()> {
        let setup = |what| Err(Error::Setup { what });
        if self.seed != other.seed {
            return setup("seeds");
        }
        if self.per_group != other.per_group {
            return setup("sizes");
        }
        if self.maxima != other.maxima {
            return setup("maxima");
        }
        let mut losers = HashSet::new();
        for (content, sequence) in other.seen {
            match self.seen.get_mut(&content) {
                Some(mine) if *mine != sequence => {
                    losers.insert((*mine).max(sequence));
                    *mine = (*mine).min(sequence);
                }
                Some(_) => {}
                None => {
                    self.seen.insert(content, sequence);
                }
            }
        }
        for (mine, theirs) in self
            .groups
            .iter_mut()
            .flatten()
            .zip(other.groups.into_iter().flatten())
        {
            mine.sequences += theirs.sequences;
            mine.kept.retain(|_, s| !losers.contains(&s.sequence));
            for (priority, sample) in theirs.kept {
                if !losers.contains(&sample.sequence) {
                    mine.kept.insert(priority, sample);
                }
            }
            while mine.kept.len() > self.per_group {
                mine.kept.pop_last();
            }
        }
        Ok(())
    }

    /// Numbers of all sequences that are kept for some latent.
    pub fn kept(&self) -> HashSet<u64> {
        let kept = self.groups.iter().flatten().flat_map(|g| g.kept.values());
        kept.map(|sample| sample.sequence).collect()
    }

    /// Kept sequences of a latent's group, strongest first.
    pub fn examples(&self, latent: u32, group: usize) -> Vec<&Sampled> {
        let mut kept: Vec<&Sampled> = self
            .group(latent, group)
            .map(|g| g.kept.values().collect())
            .unwrap_or_default();
        kept.sort_by(|a, b| b.max.total_cmp(&a.max).then(a.sequence.cmp(&b.sequence)));
        kept
    }

    /// Kept sequences of a latent by group: `per_group` of each, and from groups with more in turn, strongest first, until there are
    /// `least` in all, as far as they go. Inside a group strongest first.
    pub fn choice(&self, latent: u32, per_group: usize, least: usize) -> [Vec<&Sampled>; GROUPS] {
        let kept: [Vec<&Sampled>; GROUPS] = std::array::from_fn(|group| {
            self.group(latent, group)
                .map(|g| g.kept.values().collect())
                .unwrap_or_default()
        });
        let mut take = kept.each_ref().map(|group| group.len().min(per_group));
        let mut missing = least.saturating_sub(take.iter().sum());
        loop {
            let before = missing;
            for (taken, group) in take.iter_mut().zip(&kept).rev() {
                if missing > 0 && *taken < group.len() {
                    *taken += 1;
                    missing -= 1;
                }
            }
            if missing == 0 || missing == before {
                break;
            }
        }
        let mut chosen = kept;
        for (group, taken) in chosen.iter_mut().zip(take) {
            group.truncate(taken);
            group.sort_by(|a, b| b.max.total_cmp(&a.max).then(a.sequence.cmp(&b.sequence)));
        }
        chosen
    }

    /// How many sequences fell into a latent's group, copies included.
    pub fn sequences(&self, latent: u32, group: usize) -> u64 {
        self.group(latent, group).map_or(0, |g| g.sequences)
    }

    /// Smallest (exclusive) and largest (inclusive) v of a latent's group.
    pub fn bounds(&self, latent: u32, group: usize) -> (f64, f64) {
        let max = f64::from(self.maxima.get(latent as usize).copied().unwrap_or(0.0));
        let threshold = |i: usize| QUANTILES.get(i).map(|q| q * max);
        let from = group.checked_sub(1).and_then(threshold).unwrap_or(0.0);
        (from, threshold(group).unwrap_or(f64::INFINITY))
    }

    fn group(&self, latent: u32, group: usize) -> Option<&Group> {
        self.groups.get(latent as usize)?.get(group)
    }
}
