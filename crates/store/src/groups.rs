//! What else is known of a latent: its activity on parts of the tokens and in chats, twins, and latents that fire with it.

use std::collections::HashMap;

use api::ActivityShare;
use diffing::{Partner, TemplateLatent};
use duckdb::params;

use crate::shelf::Share;
use crate::{Result, Store, Writer};

/// A part of the tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartRecord {
    /// What divides the tokens: `corpus` or `role`.
    pub by: String,
    /// The part's name.
    pub name: String,
    /// Its tokens.
    pub tokens: u64,
}

/// A latent's activity on a part.
#[derive(Clone, Debug, PartialEq)]
pub struct ShareRecord {
    /// Latent id.
    pub latent: u32,
    /// Place of the part in the list of parts.
    pub part: u16,
    /// Tokens with v > 0.
    pub active_tokens: u64,
    /// Largest v.
    pub max: f64,
    /// Mean v over the active tokens.
    pub mean: f64,
}

/// Latents whose decoder rows point the same way, a chat-only one's in the chat model and a base-only one's in the base model.
#[derive(Clone, Debug, PartialEq)]
pub struct TwinRecord {
    /// The chat-only latent.
    pub chat: u32,
    /// The base-only latent.
    pub base: u32,
    /// Cosine of their rows.
    pub cosine: f64,
}

impl Writer {
    /// The parts of the tokens, and every latent's activity on those where it has any.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    pub fn set_shares(
        &self,
        parts: &[PartRecord],
        shares: impl IntoIterator<Item = ShareRecord>,
    ) -> Result<()> {
        self.set("parts", (0u16..).zip(parts), |appender, (number, part)| {
            appender.append_row(params![
                self.dictionary(),
                number,
                part.by,
                part.name,
                part.tokens
            ])
        })?;
        let active = shares.into_iter().filter(|share| share.active_tokens > 0);
        self.set("shares", active, |appender, share| {
            appender.append_row(params![
                self.dictionary(),
                share.latent,
                share.part,
                share.active_tokens,
                share.max as f32,
                share.mean as f32
            ])
        })
    }

    /// Pairs of twins.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    pub fn set_twins(&self, twins: impl IntoIterator<Item = TwinRecord>) -> Result<()> {
        self.set("twins", twins, |appender, twin| {
            appender.append_row(params![
                self.dictionary(),
                twin.chat,
                twin.base,
                twin.cosine as f32
            ])
        })
    }

    /// The latents that fire together with each latent, most correlated first.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    pub fn set_correlated(
        &self,
        partners: impl IntoIterator<Item = (u32, Vec<Partner>)>,
    ) -> Result<()> {
        self.set("correlated", partners, |appender, (latent, partners)| {
            for (rank, partner) in (0u16..).zip(&partners) {
                appender.append_row(params![
                    self.dictionary(),
                    latent,
                    rank,
                    partner.id,
                    partner.correlation as f32,
                    partner.together
                ])?;
            }
            Ok(())
        })
    }

    /// Tokens of every group of the chats' tokens, by name, and every latent's activations there.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    pub fn set_template<'a>(
        &self,
        groups: impl IntoIterator<Item = (String, u64)>,
        latents: impl IntoIterator<Item = (u32, &'a TemplateLatent)>,
    ) -> Result<()> {
        self.set("template_tokens", groups, |appender, (group, tokens)| {
            appender.append_row(params![self.dictionary(), group, tokens])
        })?;
        self.set("template_sums", latents, |appender, (latent, sums)| {
            sums.parts().try_for_each(|(number, sums)| {
                appender.append_row(params![
                    self.dictionary(),
                    latent,
                    number,
                    sums.count,
                    sums.mean().unwrap_or_default() as f32,
                    sums.max
                ])
            })
        })
    }
}

impl Store {
    /// Tokens of every group of the chats' tokens, by the group's name; empty before analysis.
    ///
    /// # Errors
    /// [`crate::Error::UnknownDictionary`], or a damaged database.
    pub fn template_tokens(&self, slug: &str) -> Result<HashMap<String, u64>> {
        Ok(self.facts(slug)?.template.clone())
    }

    /// Every latent with the one that fires most closely with it, in the order of ids; empty before analysis.
    ///
    /// # Errors
    /// [`crate::Error::UnknownDictionary`], or a damaged database.
    pub fn closest_partners(&self, slug: &str) -> Result<Vec<(u32, u32)>> {
        self.entry(slug)?;
        let Some(pool) = &self.pool else {
            return Ok(Vec::new());
        };
        pool.with(|connection| {
            connection
                .prepare("SELECT latent, partner FROM correlated WHERE dictionary = ? AND rank = 0 ORDER BY latent")?
                .query_map([slug], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        })
    }

    /// A latent's activations on the groups of the chats' tokens.
    ///
    /// # Errors
    /// [`crate::Error::UnknownDictionary`], [`crate::Error::UnknownLatent`], or a damaged database.
    pub fn template_latent(&self, slug: &str, id: u32) -> Result<TemplateLatent> {
        self.stored(slug, id, |stored| {
            Ok(TemplateLatent::from_parts(stored.template.iter().copied()))
        })
    }
}

/// One latent's activity on every part, in the order of parts.
pub(crate) fn shares(
    parts: &[(u16, String, String, u64)],
    shares: &[(u16, Share)],
) -> Vec<ActivityShare> {
    let of = |(number, by, part, tokens): &(u16, String, String, u64)| {
        let active = shares.iter().find(|share| share.0 == *number);
        let active = active.map(|share| share.1);
        ActivityShare {
            by: by.clone(),
            part: part.clone(),
            active_tokens: active.map_or(0, |a| a.active_tokens),
            tokens: *tokens,
            max_activation: active.map_or(0.0, |a| f64::from(a.max)),
            mean_activation: active.map(|a| f64::from(a.mean)),
        }
    };
    parts.iter().map(of).collect()
}
