//! Latents that fire together: Pearson correlation of v over tokens, for the most correlated pairs.
//!
//! All pairs of a large dictionary are too many to count, so a bounded, evenly spread [`TokenSample`] names the candidates, over which
//! [`PairSums`] then sums every token. Where the sample holds every token, its correlations are final.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, same};
use crate::sampler::mix;

/// Pairs that fire together on fewer tokens say nothing.
const LEAST_TOGETHER: u64 = 3;

/// A latent that fires together with another.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Partner {
    /// Its id.
    pub id: u32,
    /// Pearson correlation of v over the tokens read, above 0.
    pub correlation: f64,
    /// Tokens on which both fire.
    pub together: u64,
}

/// Strongest first; equal ones by id.
fn strongest(partners: &mut Vec<Partner>, wanted: usize) {
    let order = |a: &Partner, b: &Partner| {
        let falling = b.correlation.total_cmp(&a.correlation);
        falling.then(a.id.cmp(&b.id))
    };
    if wanted > 0 && wanted < partners.len() {
        partners.select_nth_unstable_by(wanted - 1, order);
    }
    partners.truncate(wanted);
    partners.sort_unstable_by(order);
}

/// Sums over tokens of one latent's v.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Power {
    sum: f64,
    square: f64,
}

impl Power {
    fn add(&mut self, v: f32) {
        self.sum += f64::from(v);
        self.square += f64::from(v) * f64::from(v);
    }
}

/// Pearson correlation from sums over `tokens`; `None` where a latent never changes.
fn pearson(tokens: u64, x: Power, y: Power, product: f64) -> Option<f64> {
    let n = tokens as f64;
    let spread = |p: Power| n * p.square - p.sum * p.sum;
    let correlation = (n * product - x.sum * y.sum) / (spread(x) * spread(y)).sqrt();
    correlation.is_finite().then(|| correlation.min(1.0))
}

/// Codes of evenly spread tokens, as many as fit a budget.
///
/// A token's priority is a hash of seed and place, and the smallest stay: the longest run of priorities that fits. So any order and any
/// split of the corpus into parts gives, merged, the sample of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenSample {
    seed: u64,
    latents: usize,
    budget: usize,
    /// Room taken.
    taken: usize,
    /// Priorities from here on are out.
    end: Option<u64>,
    kept: BTreeMap<u64, Box<[(u32, f32)]>>,
    seen: u64,
}

/// Room that a token takes beside its active latents.
const TOKEN: usize = 4;

impl TokenSample {
    /// Nothing seen yet. `budget` is the number of activations kept.
    pub fn new(latents: usize, budget: usize, seed: u64) -> Self {
        Self {
            seed,
            latents,
            budget,
            taken: 0,
            end: None,
            kept: BTreeMap::new(),
            seen: 0,
        }
    }

    /// Offers a token by its place, sequence and position, which no other token has, with its active latents as (id, v).
    ///
    /// # Errors
    /// If an id is outside the dictionary. Nothing is added then.
    pub fn offer(&mut self, sequence: u64, position: u32, active: &[(u32, f32)]) -> Result<()> {
        let latents = self.latents;
        if let Some(&(id, _)) = active.iter().find(|a| a.0 as usize >= latents) {
            return Err(Error::UnknownLatent { id, latents });
        }
        self.seen += 1;
        let place = (sequence << 24) | u64::from(position);
        let priority = mix(mix(self.seed.wrapping_add(1)) ^ place);
        if self.end.is_none_or(|end| priority < end) {
            let active: Box<[(u32, f32)]> = active.iter().copied().filter(|a| a.1 > 0.0).collect();
            self.keep(priority, active);
            self.trim();
        }
        Ok(())
    }

    /// Adds another part's sample.
    ///
    /// # Errors
    /// If the parts were set up with another seed, budget or dictionary.
    pub fn merge(&mut self, other: Self) -> Result<()> {
        same("latents", self.latents, other.latents)?;
        if self.seed != other.seed {
            return Err(Error::Setup { what: "seeds" });
        }
        if self.budget != other.budget {
            return Err(Error::Setup { what: "sizes" });
        }
        self.seen += other.seen;
        self.end = match (self.end, other.end) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        for (priority, active) in other.kept {
            self.keep(priority, active);
        }
        self.trim();
        Ok(())
    }

    fn keep(&mut self, priority: u64, active: Box<[(u32, f32)]>) {
        self.taken += active.len() + TOKEN;
        if let Some(before) = self.kept.insert(priority, active) {
            self.taken -= before.len() + TOKEN;
        }
    }

    fn trim(&mut self) {
        while let Some((&last, _)) = self.kept.last_key_value()
            && (self.taken > self.budget || self.end.is_some_and(|end| last >= end))
        {
            if let Some((priority, active)) = self.kept.pop_last() {
                self.taken -= active.len() + TOKEN;
                self.end = Some(self.end.map_or(priority, |end| end.min(priority)));
            }
        }
    }

    /// Whether every token that was offered is kept.
    pub fn is_complete(&self) -> bool {
        self.kept.len() as u64 == self.seen
    }

    /// Prepares the search for pairs.
    pub fn index(&self) -> CoFiring {
        let mut index = CoFiring {
            tokens: self.kept.len() as u64,
            starts: vec![0],
            active: Vec::with_capacity(self.taken),
            powers: vec![Power::default(); self.latents],
            firing: vec![Vec::new(); self.latents],
        };
        for (number, active) in (0u32..).zip(self.kept.values()) {
            for &(id, v) in active {
                if let (Some(power), Some(firing)) = (
                    index.powers.get_mut(id as usize),
                    index.firing.get_mut(id as usize),
                ) {
                    power.add(v);
                    firing.push((number, v));
                }
            }
            index.active.extend_from_slice(active);
            index.starts.push(index.active.len());
        }
        index
    }
}

/// A sample's tokens by latent.
#[derive(Debug)]
pub struct CoFiring {
    tokens: u64,
    /// First activation of every token, and the end.
    starts: Vec<usize>,
    active: Vec<(u32, f32)>,
    powers: Vec<Power>,
    /// Tokens on which a latent fires, and v there.
    firing: Vec<Vec<(u32, f32)>>,
}

/// Room for one search; may be used for many, one at a time.
#[derive(Debug)]
pub struct CoFiringScratch {
    products: Vec<f64>,
    together: Vec<u64>,
    touched: Vec<u32>,
}

impl CoFiring {
    /// Number of latents.
    pub fn latents(&self) -> usize {
        self.powers.len()
    }

    /// Room for a search.
    pub fn scratch(&self) -> CoFiringScratch {
        CoFiringScratch {
            products: vec![0.0; self.powers.len()],
            together: vec![0; self.powers.len()],
            touched: Vec::new(),
        }
    }

    /// The `wanted` latents most correlated with this one over the sample, strongest first: positive correlations of pairs that fire
    /// together on three tokens at least.
    pub fn partners(
        &self,
        latent: u32,
        wanted: usize,
        scratch: &mut CoFiringScratch,
    ) -> Vec<Partner> {
        let (Some(firing), Some(&power)) = (
            self.firing.get(latent as usize),
            self.powers.get(latent as usize),
        ) else {
            return Vec::new();
        };
        for &(token, v) in firing {
            let span = (
                self.starts.get(token as usize),
                self.starts.get(token as usize + 1),
            );
            let (Some(&from), Some(&to)) = span else {
                continue;
            };
            for &(other, w) in self.active.get(from..to).unwrap_or_default() {
                let slots = (
                    scratch.products.get_mut(other as usize),
                    scratch.together.get_mut(other as usize),
                );
                if let (Some(product), Some(together)) = slots {
                    if *together == 0 {
                        scratch.touched.push(other);
                    }
                    *product += f64::from(v) * f64::from(w);
                    *together += 1;
                }
            }
        }
        let mut partners = Vec::new();
        for id in scratch.touched.drain(..) {
            let product = std::mem::take(&mut scratch.products[id as usize]);
            let together = std::mem::take(&mut scratch.together[id as usize]);
            if id == latent || together < LEAST_TOGETHER {
                continue;
            }
            let other = self.powers.get(id as usize).copied().unwrap_or_default();
            if let Some(correlation) = pearson(self.tokens, power, other, product)
                && correlation > 0.0
            {
                partners.push(Partner {
                    id,
                    correlation,
                    together,
                });
            }
        }
        strongest(&mut partners, wanted);
        partners
    }
}

/// Exact sums over tokens for chosen pairs of latents; mergeable.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PairSums {
    tokens: u64,
    powers: Vec<Power>,
    /// First pair of every latent that is the smaller of a pair, and the end.
    starts: Vec<usize>,
    /// The larger latent of every pair.
    others: Vec<u32>,
    products: Vec<f64>,
    together: Vec<u64>,
    /// v of the token at hand.
    #[serde(skip)]
    values: Vec<f32>,
}

impl PairSums {
    /// No token yet. Pairs may be named in either order and more than once; ids outside the dictionary are left out.
    pub fn new(latents: usize, pairs: impl IntoIterator<Item = (u32, u32)>) -> Self {
        let pairs: BTreeSet<(u32, u32)> = pairs
            .into_iter()
            .filter(|&(a, b)| a != b && (a.max(b) as usize) < latents)
            .map(|(a, b)| (a.min(b), a.max(b)))
            .collect();
        let mut starts = vec![0; latents + 1];
        for &(smaller, _) in &pairs {
            starts[smaller as usize + 1] += 1;
        }
        for latent in 0..latents {
            starts[latent + 1] += starts[latent];
        }
        Self {
            tokens: 0,
            powers: vec![Power::default(); latents],
            starts,
            products: vec![0.0; pairs.len()],
            together: vec![0; pairs.len()],
            others: pairs.into_iter().map(|(_, larger)| larger).collect(),
            values: Vec::new(),
        }
    }

    /// Adds one token with its active latents as (id, v), each once.
    ///
    /// # Errors
    /// If an id is outside the dictionary. Nothing is added then.
    pub fn add_token(&mut self, active: &[(u32, f32)]) -> Result<()> {
        let latents = self.powers.len();
        if let Some(&(id, _)) = active.iter().find(|a| a.0 as usize >= latents) {
            return Err(Error::UnknownLatent { id, latents });
        }
        self.values.resize(latents, 0.0);
        self.tokens += 1;
        for &(id, v) in active {
            self.values[id as usize] = v.max(0.0);
        }
        for &(id, v) in active.iter().filter(|a| a.1 > 0.0) {
            self.powers[id as usize].add(v);
            for pair in self.starts[id as usize]..self.starts[id as usize + 1] {
                let other = self.values[self.others[pair] as usize];
                if other > 0.0 {
                    self.products[pair] += f64::from(v) * f64::from(other);
                    self.together[pair] += 1;
                }
            }
        }
        for &(id, _) in active {
            self.values[id as usize] = 0.0;
        }
        Ok(())
    }

    /// Adds another part's sums.
    ///
    /// # Errors
    /// If the parts were set up with other pairs.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        if self.starts != other.starts || self.others != other.others {
            return Err(Error::Setup { what: "pairs" });
        }
        self.tokens += other.tokens;
        for (here, there) in self.powers.iter_mut().zip(&other.powers) {
            here.sum += there.sum;
            here.square += there.square;
        }
        for (here, there) in self.products.iter_mut().zip(&other.products) {
            *here += there;
        }
        for (here, there) in self.together.iter_mut().zip(&other.together) {
            *here += there;
        }
        Ok(())
    }

    /// The `wanted` most correlated partners of every latent, strongest first, by the rule of [`CoFiring::partners`].
    pub fn partners(&self, wanted: usize) -> Vec<Vec<Partner>> {
        let mut partners = vec![Vec::new(); self.powers.len()];
        for smaller in 0..self.powers.len() {
            for pair in self.starts[smaller]..self.starts[smaller + 1] {
                let (larger, together) = (self.others[pair], self.together[pair]);
                let correlation = pearson(
                    self.tokens,
                    self.powers[smaller],
                    self.powers[larger as usize],
                    self.products[pair],
                );
                if together < LEAST_TOGETHER {
                    continue;
                }
                if let Some(correlation) = correlation.filter(|&r| r > 0.0) {
                    for (latent, id) in [(smaller, larger), (larger as usize, smaller as u32)] {
                        partners[latent].push(Partner {
                            id,
                            correlation,
                            together,
                        });
                    }
                }
            }
        }
        for partners in &mut partners {
            strongest(partners, wanted);
        }
        partners
    }
}
