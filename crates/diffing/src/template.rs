//! Where latents fire in chats: on control tokens, user's and assistant's words (statistics of template tokens).

use std::ops::Range;

use api::TokenKind;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, same};
use crate::statistics::Speaker;

/// Activations up to here do not count (the authors' constant).
const LEAST: f32 = 1e-3;
/// Shares of a latent's largest v that divide its activations; a value on an edge belongs to the bucket below it.
const EDGES: [f64; 3] = [0.1, 0.4, 0.7];
/// Buckets of relative strength.
pub const TEMPLATE_BUCKETS: usize = EDGES.len() + 1;
/// Control tokens are numbered 1 to 10 and around again: one exchange of Gemma's template has ten.
const CYCLE: usize = 10;

/// Disjoint kinds of tokens, but for the last, which is the part of the control tokens that ends the assistant's turn.
const CONTROL: Range<usize> = 0..CYCLE;
const BOS: usize = CYCLE;
const USER: usize = CYCLE + 1;
const ASSISTANT: usize = CYCLE + 2;
const ASSISTANT_END: usize = CYCLE + 3;
const KINDS: usize = CYCLE + 4;

/// A group of a chat's tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TemplateGroup {
    /// Control tokens.
    Control,
    /// The control tokens of one number, 1 to 10, in the cyclic numbering along the sequence.
    ControlAt(u8),
    /// Neither control tokens nor BOS.
    NotControl,
    /// The assistant's words and the end of its turn.
    Assistant,
    /// Neither the assistant's, nor control tokens, nor BOS.
    User,
    /// BOS.
    Bos,
}

impl TemplateGroup {
    /// Every group, in the order of the columns of the authors' tables.
    pub fn all() -> impl Iterator<Item = Self> {
        [Self::Control]
            .into_iter()
            .chain((1..=CYCLE as u8).map(Self::ControlAt))
            .chain([Self::NotControl, Self::Assistant, Self::User, Self::Bos])
    }

    /// Name in the authors' tables.
    pub fn name(self) -> String {
        match self {
            Self::Control => "ctrl".into(),
            Self::ControlAt(number) => format!("ctrl_{number}"),
            Self::NotControl => "non_ctrl".into(),
            Self::Assistant => "assistant".into(),
            Self::User => "user".into(),
            Self::Bos => "bos".into(),
        }
    }

    /// The kinds of tokens that it holds.
    fn kinds(self) -> impl Iterator<Item = usize> {
        let (range, more): (Range<usize>, &[usize]) = match self {
            Self::Control => (CONTROL, &[]),
            Self::ControlAt(number) => {
                let kind = (number as usize).wrapping_sub(1);
                (kind.min(CYCLE)..(kind + 1).min(CYCLE), &[])
            }
            Self::NotControl => (0..0, &[USER, ASSISTANT]),
            Self::Assistant => (0..0, &[ASSISTANT, ASSISTANT_END]),
            Self::User => (0..0, &[USER]),
            Self::Bos => (0..0, &[BOS]),
        };
        range.chain(more.iter().copied())
    }
}

/// Bucket of an activation by its share of the latent's largest.
pub fn template_bucket(value: f32, max: f32) -> usize {
    let share = f64::from(value) / f64::from(max);
    EDGES.iter().filter(|&&edge| edge < share).count()
}

/// Activations of one latent on one group of tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TemplateSums {
    /// How many.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// Their largest; 0 if there are none.
    pub max: f32,
}

impl TemplateSums {
    fn add(&mut self, value: f32) {
        self.count += 1;
        self.sum += f64::from(value);
        self.max = self.max.max(value);
    }

    fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.max = self.max.max(other.max);
    }

    /// Their mean; `None` if there are none.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

/// One latent's sums: [kinds][buckets], empty before the first activation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TemplateLatent(Vec<TemplateSums>);

impl TemplateLatent {
    /// Sums by number, as [`TemplateLatent::parts`] gives them.
    pub fn from_parts(parts: impl IntoIterator<Item = (u8, TemplateSums)>) -> Self {
        let mut latent = Self::default();
        for (number, sums) in parts {
            if let Some(slot) = latent.slots().get_mut(number as usize) {
                slot.merge(&sums);
            }
        }
        latent
    }

    /// The sums that are not empty, with their numbers: four buckets each of control tokens 1 to 10, BOS, user, assistant, and of the
    /// control tokens that end the assistant's turn.
    pub fn parts(&self) -> impl Iterator<Item = (u8, TemplateSums)> {
        let sums = self.0.iter().copied().enumerate();
        sums.filter(|(_, sums)| sums.count > 0)
            .map(|(number, sums)| (number as u8, sums))
    }

    /// Activations on a group's tokens, of one bucket or of all.
    pub fn sums(&self, group: TemplateGroup, bucket: Option<usize>) -> TemplateSums {
        let mut all = TemplateSums::default();
        for kind in group.kinds() {
            let buckets = self
                .0
                .get(kind * TEMPLATE_BUCKETS..(kind + 1) * TEMPLATE_BUCKETS);
            for (number, sums) in buckets.unwrap_or_default().iter().enumerate() {
                if bucket.is_none_or(|bucket| bucket == number) {
                    all.merge(sums);
                }
            }
        }
        all
    }

    /// Share of a group in what it is compared with: control or other tokens of both, a numbered control token of all control
    /// tokens, assistant or user of both, BOS of every token. `None` where that never fires.
    pub fn share(&self, group: TemplateGroup) -> Option<f64> {
        use TemplateGroup::{Assistant, Bos, Control, ControlAt, NotControl, User};
        let count = |groups: &[TemplateGroup]| {
            let counts = groups.iter().map(|&group| self.sums(group, None).count);
            counts.sum::<u64>()
        };
        let whole = match group {
            Control | NotControl => count(&[Control, NotControl]),
            ControlAt(_) => count(&[Control]),
            Assistant | User => count(&[Assistant, User]),
            Bos => count(&[Control, NotControl, Bos]),
        };
        (whole > 0).then(|| count(&[group]) as f64 / whole as f64)
    }

    /// Mean activation over control and other tokens; `None` if it never fires there.
    pub fn mean(&self) -> Option<f64> {
        let mut both = self.sums(TemplateGroup::Control, None);
        both.merge(&self.sums(TemplateGroup::NotControl, None));
        both.mean()
    }

    fn slots(&mut self) -> &mut [TemplateSums] {
        self.0
            .resize(KINDS * TEMPLATE_BUCKETS, TemplateSums::default());
        &mut self.0
    }
}

/// Statistics of every latent over the control tokens, words of user and assistant, and BOS of the sequences that are chats; mergeable.
/// Only v > 0.001 counts, by its share of the latent's largest v.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TemplateStatistics {
    maxima: Vec<f32>,
    /// Tokens of every kind.
    tokens: Vec<u64>,
    latents: Vec<TemplateLatent>,
}

impl TemplateStatistics {
    /// `maxima` holds every latent's largest v over the whole corpus.
    pub fn new(maxima: Vec<f32>) -> Self {
        Self {
            tokens: vec![0; KINDS],
            latents: vec![TemplateLatent::default(); maxima.len()],
            maxima,
        }
    }

    /// Adds one sequence: what its tokens are, who speaks them, and (latent, position, v) of every active latent. A sequence without a
    /// control token among its first two is no chat and is left out.
    ///
    /// # Errors
    /// If kinds and speakers differ in number, or a latent or a position does not exist. Nothing is added then.
    pub fn add_sequence(
        &mut self,
        kinds: &[TokenKind],
        speakers: &[Speaker],
        activations: &[(u32, u32, f32)],
    ) -> Result<()> {
        same("speakers of a sequence", kinds.len(), speakers.len())?;
        let latents = self.latents.len();
        for &(id, position, _) in activations {
            if id as usize >= latents {
                return Err(Error::UnknownLatent { id, latents });
            }
            if position as usize >= kinds.len() {
                return Err(Error::Size {
                    what: "tokens of a sequence",
                    expected: position as usize + 1,
                    found: kinds.len(),
                });
            }
        }
        if !kinds
            .iter()
            .take(2)
            .any(|&kind| kind == TokenKind::Template)
        {
            return Ok(());
        }
        let places = places(kinds, speakers);
        for place in &places {
            for kind in place.iter().flatten() {
                if let Some(tokens) = self.tokens.get_mut(*kind) {
                    *tokens += 1;
                }
            }
        }
        for &(id, position, value) in activations.iter().filter(|a| a.2 > LEAST) {
            let (Some(latent), Some(place)) = (
                self.latents.get_mut(id as usize),
                places.get(position as usize),
            ) else {
                continue;
            };
            let max = self.maxima.get(id as usize).copied().unwrap_or_default();
            let bucket = template_bucket(value, max);
            for kind in place.iter().flatten() {
                if let Some(sums) = latent.slots().get_mut(kind * TEMPLATE_BUCKETS + bucket) {
                    sums.add(value);
                }
            }
        }
        Ok(())
    }

    /// Adds another part's statistics.
    ///
    /// # Errors
    /// If the parts were set up with other maxima.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        if self.maxima != other.maxima {
            return Err(Error::Setup { what: "maxima" });
        }
        for (here, there) in self.tokens.iter_mut().zip(&other.tokens) {
            *here += there;
        }
        for (here, there) in self.latents.iter_mut().zip(&other.latents) {
            for (number, sums) in there.parts() {
                if let Some(slot) = here.slots().get_mut(number as usize) {
                    slot.merge(&sums);
                }
            }
        }
        Ok(())
    }

    /// Tokens of a group.
    pub fn tokens(&self, group: TemplateGroup) -> u64 {
        let counts = group.kinds().filter_map(|kind| self.tokens.get(kind));
        counts.sum()
    }

    /// One latent's sums; `None` outside the dictionary.
    pub fn latent(&self, latent: u32) -> Option<&TemplateLatent> {
        self.latents.get(latent as usize)
    }

    /// Share of a group's tokens on which a latent fires; `None` for a group without tokens or a latent outside the dictionary.
    pub fn frequency(&self, latent: u32, group: TemplateGroup) -> Option<f64> {
        let tokens = self.tokens(group);
        let count = self.latent(latent)?.sums(group, None).count;
        (tokens > 0).then(|| count as f64 / tokens as f64)
    }
}

/// Kinds of every token: one, and a second for the end of the assistant's turn.
fn places(kinds: &[TokenKind], speakers: &[Speaker]) -> Vec<[Option<usize>; 2]> {
    let mut control = 0;
    kinds
        .iter()
        .zip(speakers)
        .map(|(kind, speaker)| match (kind, speaker) {
            (TokenKind::Bos, _) => [Some(BOS), None],
            (TokenKind::Template, speaker) => {
                let number = control % CYCLE;
                control += 1;
                let end = (*speaker == Speaker::Assistant).then_some(ASSISTANT_END);
                [Some(number), end]
            }
            (TokenKind::Content, Speaker::Assistant) => [Some(ASSISTANT), None],
            (TokenKind::Content, _) => [Some(USER), None],
        })
        .collect()
}
