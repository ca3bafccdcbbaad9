//! How Latent Scaling's coefficients fit: over all of a latent's tokens, and by the strength of its activation.

use api::{BucketFit, ScalingBucket, ScalingFit};
use duckdb::{Appender, Row, params};

use crate::{Result, Writer};

fn append_fits(
    appender: &mut Appender<'_>,
    dictionary: &str,
    latent: u32,
    fits: &[ScalingFit],
) -> duckdb::Result<()> {
    fits.iter().try_for_each(|fit| {
        let ([before_base, before_chat], [after_base, after_chat]) = (fit.before, fit.after);
        appender.append_row(params![
            dictionary,
            latent,
            fit.target,
            before_base,
            before_chat,
            after_base,
            after_chat
        ])
    })
}

fn append_buckets(
    appender: &mut Appender<'_>,
    dictionary: &str,
    latent: u32,
    buckets: &[ScalingBucket],
) -> duckdb::Result<()> {
    for bucket in buckets {
        let rows = bucket.fits.iter().map(Some);
        let empty = bucket.fits.is_empty().then_some(None);
        for fit in rows.chain(empty) {
            let number = |of: fn(&BucketFit) -> Option<[f64; 2]>, m: usize| {
                let value = of(fit?)?.get(m).copied()?;
                Some(value as f32)
            };
            appender.append_row(params![
                dictionary,
                latent,
                bucket.from,
                bucket.to,
                bucket.tokens,
                fit.map(|fit| fit.fit.target.as_str()),
                number(|fit| Some(fit.fit.before), 0),
                number(|fit| Some(fit.fit.before), 1),
                number(|fit| Some(fit.fit.after), 0),
                number(|fit| Some(fit.fit.after), 1),
                number(|fit| fit.before_std, 0),
                number(|fit| fit.before_std, 1),
                number(|fit| fit.after_std, 0),
                number(|fit| fit.after_std, 1),
            ])?;
        }
    }
    Ok(())
}

impl Writer {
    /// How well every latent's coefficients fit, by latent.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    pub fn set_scaling_fits(
        &self,
        fits: impl IntoIterator<Item = (u32, Vec<ScalingFit>)>,
    ) -> Result<()> {
        self.set("scaling_fits", fits, |appender, (latent, fits)| {
            append_fits(appender, self.dictionary(), latent, &fits)
        })
    }

    /// As [`Writer::set_scaling_fits`], for some latents; those of others stay.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    pub fn amend_scaling_fits(&self, fits: &[(u32, Vec<ScalingFit>)]) -> Result<()> {
        self.replace_some("scaling_fits", fits, |appender, fits, latent| {
            append_fits(appender, self.dictionary(), latent, fits)
        })
    }

    /// How well coefficients fit by strength of the activation, of the latents that this was computed for.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    pub fn set_verification(
        &self,
        latents: impl IntoIterator<Item = (u32, Vec<ScalingBucket>)>,
    ) -> Result<()> {
        self.set("verification", latents, |appender, (latent, buckets)| {
            append_buckets(appender, self.dictionary(), latent, &buckets)
        })
    }

    /// As [`Writer::set_verification`]; what is known of other latents stays.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    pub fn amend_verification(&self, latents: &[(u32, Vec<ScalingBucket>)]) -> Result<()> {
        self.replace_some("verification", latents, |appender, buckets, latent| {
            append_buckets(appender, self.dictionary(), latent, buckets)
        })
    }

    /// Replaces the rows of some latents in one table.
    fn replace_some<T>(
        &self,
        table: &str,
        latents: &[(u32, T)],
        append: impl Fn(&mut Appender<'_>, &T, u32) -> duckdb::Result<()>,
    ) -> Result<()> {
        self.carry(table)?;
        self.run(|connection| {
            let mut delete = connection.prepare(&format!(
                "DELETE FROM {table} WHERE dictionary = ? AND latent = ?"
            ))?;
            for (latent, _) in latents {
                delete.execute(params![self.dictionary(), latent])?;
            }
            let mut appender = connection.appender(table)?;
            for (latent, rows) in latents {
                append(&mut appender, rows, *latent)?;
            }
            appender.flush()
        })
    }
}

/// Columns of a latent's fit over all its tokens.
pub(crate) const WHOLE: &str = "target, before_base, before_chat, after_base, after_chat";

/// Columns of a latent's fit by strength.
pub(crate) const BUCKET: &str = "\"from\", \"to\", tokens, target, before_base, before_chat, after_base, after_chat, \
     before_base_std, before_chat_std, after_base_std, after_chat_std";

/// [`WHOLE`] behind a row's latent.
pub(crate) fn whole(row: &Row<'_>) -> duckdb::Result<ScalingFit> {
    Ok(ScalingFit {
        target: row.get(1)?,
        before: [row.get(2)?, row.get(3)?],
        after: [row.get(4)?, row.get(5)?],
    })
}

/// [`BUCKET`] behind a row's latent: a bucket with one fit, or with none where it has no tokens.
pub(crate) fn bucket(row: &Row<'_>) -> duckdb::Result<ScalingBucket> {
    let target: Option<String> = row.get(4)?;
    let errors = pair(row, 5)?.zip(pair(row, 7)?);
    let mut fits = Vec::new();
    if let Some((target, (before, after))) = target.zip(errors) {
        fits.push(BucketFit {
            fit: ScalingFit {
                target,
                before,
                after,
            },
            before_std: pair(row, 9)?,
            after_std: pair(row, 11)?,
        });
    }
    Ok(ScalingBucket {
        from: row.get(1)?,
        to: row.get(2)?,
        tokens: row.get(3)?,
        fits,
    })
}

/// Two columns that are both known or both not.
fn pair(row: &Row<'_>, first: usize) -> duckdb::Result<Option<[f64; 2]>> {
    let (base, chat): (Option<f64>, Option<f64>) = (row.get(first)?, row.get(first + 1)?);
    Ok(base.zip(chat).map(Into::into))
}

/// Puts a row's fit to the others of its bucket.
pub(crate) fn put(buckets: &mut Vec<ScalingBucket>, row: ScalingBucket) {
    match buckets.iter_mut().find(|bucket| bucket.from == row.from) {
        Some(bucket) => bucket.fits.extend(row.fits),
        None => buckets.push(row),
    }
}

/// Puts fits in the order of targets, and buckets in that of strength.
pub(crate) fn sort(whole: &mut [ScalingFit], buckets: &mut [ScalingBucket]) {
    whole.sort_by_key(place);
    buckets.sort_by(|a, b| a.from.total_cmp(&b.from));
    for bucket in buckets {
        bucket.fits.sort_by_key(|bucket| place(&bucket.fit));
    }
}

/// Place of a fit's target among all targets.
fn place(fit: &ScalingFit) -> Option<usize> {
    let mut targets = diffing::SCALING_TARGETS.iter();
    targets.position(|target| *target == fit.target)
}
