//! What dictionaries claim of the chat model alone, and what Latent Scaling leaves of it: one bar for each dictionary, cut by verdict.

use api::{Class, DictionaryInfo, Verdict};

use super::{
    behaviours::plain,
    decimal::share,
    markup::fill,
    numbers::{count, percent},
    verdict::verdict_name,
};
use crate::state::place::latents_path;

/// Least share of a bar in which a number has room.
const ROOM: f64 = 0.07;

/// Latents that a dictionary calls chat-only, and the verdicts on them.
pub(crate) struct Claims<'a> {
    slug: &'a str,
    latents: u64,
    chat_only: u64,
    verdicts: &'a [(Verdict, u64)],
}

impl<'a> Claims<'a> {
    /// Of a dictionary.
    pub(crate) fn of(dictionary: &'a DictionaryInfo) -> Self {
        let classes = &dictionary.counts.classes;
        let chat_only = classes.iter().find(|c| c.0 == Class::ChatOnly);
        Self {
            slug: &dictionary.slug,
            latents: dictionary.latents as u64,
            chat_only: chat_only.map_or(0, |c| c.1),
            verdicts: &dictionary.counts.verdicts,
        }
    }

    fn with(&self, verdict: Verdict) -> u64 {
        let found = self.verdicts.iter().find(|v| v.0 == verdict);
        found.map_or(0, |v| v.1)
    }

    /// How many latents it claims, in a sentence.
    pub(crate) fn sentence(&self) -> String {
        let rest = self.chat_only as f64 / self.latents.max(1) as f64;
        format!(
            "of {} latents ({}) in {}",
            count(self.latents),
            percent(rest),
            plain(self.slug)
        )
    }

    /// The claim as a number.
    pub(crate) fn claimed(&self) -> String {
        count(self.chat_only)
    }

    /// Where the claimed latents are listed.
    pub(crate) fn href(&self) -> String {
        format!("{}?class=chat-only", latents_path(self.slug))
    }

    /// How many of them are suspects, in a clause.
    pub(crate) fn flagged(&self) -> String {
        let suspects = [
            Verdict::CompleteShrinkage,
            Verdict::LatentDecoupling,
            Verdict::Both,
        ];
        let flagged: u64 = suspects.into_iter().map(|verdict| self.with(verdict)).sum();
        let (flagged, all) = (count(flagged), count(self.chat_only));
        format!("{flagged} of {all} in {}", plain(self.slug))
    }
}

/// The bars: each part leads to the latents in it.
pub(crate) fn picture(claims: &[Claims<'_>]) -> String {
    let mut out = String::new();
    for of in claims {
        let all = of.verdicts.iter().map(|v| v.1).sum::<u64>().max(1);
        fill(
            &mut out,
            "<li><b>{}</b><span class=\"stacked\" data-dictionary=\"{}\">",
            &[of.slug, of.slug],
        );
        for &(verdict, n) in of.verdicts.iter().filter(|v| v.1 > 0) {
            let (part, word) = (n as f64 / all as f64, verdict.as_str());
            let number = count(n);
            let words = format!("{number} of {}: {}", count(all), verdict_name(verdict));
            fill(
                &mut out,
                "<a class=\"v {}\" href=\"{}&verdict={}\" data-style=\"width:{}\" aria-label=\"{}\" title=\"{}\" data-count=\"{}\"><span>{}</span></a>",
                &[
                    word,
                    &of.href(),
                    word,
                    &share(part),
                    &words,
                    &words,
                    &number,
                    if part < ROOM { "" } else { &number },
                ],
            );
        }
        out.push_str("</span></li>");
    }
    out
}

/// What the patterns mean, of verdicts that occur.
pub(crate) fn legend(claims: &[Claims<'_>]) -> String {
    let mut out = String::new();
    let occurs = |verdict: Verdict| claims.iter().any(|of| of.with(verdict) > 0);
    for &verdict in Verdict::ALL.iter().filter(|verdict| occurs(**verdict)) {
        fill(
            &mut out,
            "<li><i class=\"v {}\"></i>{}</li>",
            &[verdict.as_str(), verdict_name(verdict)],
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERDICTS: [(Verdict, u64); 5] = [
        (Verdict::ChatSpecific, 1),
        (Verdict::CompleteShrinkage, 4),
        (Verdict::LatentDecoupling, 0),
        (Verdict::Both, 43),
        (Verdict::Unreliable, 2),
    ];

    fn claims() -> Claims<'static> {
        Claims {
            slug: "l1",
            latents: 2048,
            chat_only: 50,
            verdicts: &VERDICTS,
        }
    }

    #[test]
    fn every_part_has_its_length_and_leads_to_its_latents() {
        let picture = picture(&[claims()]);
        assert_eq!(picture.matches("<a ").count(), 4);
        assert!(
            picture
                .contains("href=\"d/l1?class=chat-only&verdict=both\" data-style=\"width:86.00%\""),
            "{picture}"
        );
        // Two per cent have no room for a number; the title has it.
        assert!(
            picture.contains("title=\"1 of 50: chat-specific\"")
                && !picture.contains("<span>1</span>")
        );
        assert_eq!(legend(&[claims()]).matches("<li>").count(), 4);
    }

    #[test]
    fn unreliable_latents_are_no_suspects() {
        assert_eq!(claims().flagged(), "47 of 50 in l1");
        assert_eq!(claims().sentence(), "of 2,048 latents (2.4 %) in l1");
    }
}
