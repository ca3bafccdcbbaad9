//! Small tables of the latent page as markup.

use api::{ActivityShare, BucketFit, ScalingBucket, ScalingFit, TemplateActivity};

use super::{
    decimal::share,
    markup::{close, fill, head, leaf, open, worded},
    numbers::{UNKNOWN, count, fixed, percent, short, short_or_dash, tick},
};

/// Activity by part of the tokens: a bar for the share of the part's tokens on which the latent fires.
pub(crate) fn activity(shares: &[ActivityShare]) -> String {
    let rate = |s: &ActivityShare| {
        let tokens = s.tokens.max(1) as f64;
        s.active_tokens as f64 / tokens
    };
    let largest = shares.iter().map(rate).fold(0.0, f64::max);
    let mut out = String::new();
    head(
        &mut out,
        &[
            ("Tokens of", "l"),
            ("active", ""),
            ("max v", ""),
            ("mean v", ""),
        ],
    );
    let mut by = "";
    for part in shares.iter().filter(|s| s.tokens > 0) {
        if part.by != by {
            by = &part.by;
            open(&mut out, "tr", &[("class", "group")]);
            worded(
                &mut out,
                "th",
                &[("colspan", "4"), ("scope", "colgroup"), ("class", "l")],
                by_words(by),
            );
            close(&mut out, "tr");
        }
        let rate = rate(part);
        let length = if largest > 0.0 { rate / largest } else { 0.0 };
        let title = format!(
            "{} of {} tokens",
            count(part.active_tokens),
            count(part.tokens)
        );
        open(
            &mut out,
            "tr",
            &[("title", &title), ("data-part", &part.part)],
        );
        worded(
            &mut out,
            "th",
            &[("scope", "row"), ("class", "l")],
            &part.part,
        );
        open(&mut out, "td", &[]);
        open(
            &mut out,
            "span",
            &[("class", "meter"), ("aria-hidden", "true")],
        );
        let style = format!("width:{}", share(length));
        leaf(&mut out, "b", &[("data-style", &style)]);
        close(&mut out, "span");
        worded(&mut out, "span", &[("class", "rate")], &percent(rate));
        close(&mut out, "td");
        worded(&mut out, "td", &[], &short(part.max_activation));
        worded(&mut out, "td", &[], &short_or_dash(part.mean_activation));
        close(&mut out, "tr");
    }
    out
}

fn by_words(by: &str) -> &str {
    match by {
        "corpus" => "By corpus",
        "role" => "By whose words they are",
        "template" => "In chats alone, v over 0.001",
        other => other,
    }
}

/// Activity on control and other tokens of chats, as parts for [`activity`].
pub(crate) fn in_chats(groups: &[TemplateActivity]) -> impl Iterator<Item = ActivityShare> + '_ {
    groups.iter().map(|of| ActivityShare {
        by: "template".into(),
        part: match (of.group.as_str(), of.group.strip_prefix("ctrl_")) {
            (_, Some(number)) => ["control token ", number].concat(),
            ("ctrl", _) => "all control tokens".into(),
            ("non_ctrl", _) => "all other tokens".into(),
            (other, _) => other.to_owned(),
        },
        active_tokens: of.active_tokens,
        tokens: of.tokens,
        max_activation: of.max_activation,
        mean_activation: of.mean_activation,
    })
}

/// A target of Latent Scaling: its name here, its name in the fits, and its two coefficients.
pub(crate) type Target = (&'static str, &'static str, Option<f64>, Option<f64>);

/// The coefficients by target, and beside each what of the target's energy the fit explains.
pub(crate) fn betas(targets: &[Target], fits: &[ScalingFit]) -> String {
    let mut out = String::new();
    let explained = !fits.is_empty();
    let mut names = vec![("Target", "l"), ("base", ""), ("chat", ""), ("ratio", "")];
    if explained {
        names.push(("explained", ""));
    }
    head(&mut out, &names);
    for &(words, target, base, chat) in targets {
        let fit = fits.iter().find(|fit| fit.target == target);
        let title = fit.map_or(String::new(), |fit| {
            let model = |name: &str, i: usize| {
                let (before, after) = (short(fit.before[i]), short(fit.after[i]));
                format!("{name} {before} → {after}")
            };
            format!(
                "mean squared error per active token: {}, {}",
                model("base", 0),
                model("chat", 1)
            )
        });
        open(&mut out, "tr", &[("title", &title)]);
        worded(&mut out, "th", &[("scope", "row"), ("class", "l")], words);
        let ratio = base.zip(chat).map(|(base, chat)| base / chat);
        for value in [base, chat, ratio] {
            worded(&mut out, "td", &[], &short_or_dash(value));
        }
        if explained {
            let part = |i: usize| match fit {
                Some(fit) if fit.before[i] > 0.0 => {
                    fixed(100.0 * (1.0 - fit.after[i] / fit.before[i]), 0)
                }
                _ => UNKNOWN.into(),
            };
            worded(&mut out, "td", &[], &format!("{} / {} %", part(0), part(1)));
        }
        close(&mut out, "tr");
    }
    out
}

/// Mean squared errors before and after by strength of the activation, target by target.
/// Without any, the command to run for them.
pub(crate) fn by_strength(targets: &[Target], buckets: &[ScalingBucket], command: &str) -> String {
    let mut out =
        "<h3 id=\"strength\" class=\"small\">Mean squared error by strength, before → after</h3>"
            .into();
    if buckets.is_empty() {
        fill(
            &mut out,
            "<p class=\"small quiet\">Not computed for this latent: <code>{}</code> computes it for the chat-only latents and as many \
             shared ones.</p>",
            &[command],
        );
        return out;
    }
    out.push_str("<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-labelledby=\"strength\"><table class=\"rows\">");
    head(
        &mut out,
        &[
            ("v / max", "l"),
            ("tokens", ""),
            ("base error", ""),
            ("chat error", ""),
        ],
    );
    for &(words, target, ..) in targets {
        fill(
            &mut out,
            "<tr class=\"group\"><th colspan=\"4\" scope=\"colgroup\" class=\"l\">{}</th></tr>",
            &[words],
        );
        for bucket in buckets {
            let fit = bucket.fits.iter().find(|fit| fit.fit.target == target);
            let [from, to] = [bucket.from, bucket.to].map(tick);
            let tokens = count(bucket.tokens);
            let [base, chat] = [0, 1].map(|i| {
                fit.map_or(UNKNOWN.into(), |fit| {
                    [short(fit.fit.before[i]), short(fit.fit.after[i])].join(" → ")
                })
            });
            let spread = fit.and_then(spread).unwrap_or_default();
            open(&mut out, "tr", &[("title", &spread)]);
            fill(
                &mut out,
                "<th scope=\"row\" class=\"l\">{}–{}</th><td>{}</td><td>{}</td><td>{}</td></tr>",
                &[&from, &to, &tokens, &base, &chat],
            );
        }
    }
    out.push_str("</table></div>");
    out
}

/// Standard deviations of a bucket's errors, where it has more than one token.
fn spread(fit: &BucketFit) -> Option<String> {
    let (before, after) = (fit.before_std?, fit.after_std?);
    let [base, chat] = [0, 1].map(|i| [short(before[i]), short(after[i])].join(" → "));
    Some(["standard deviation: base ", &base, ", chat ", &chat].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_by_strength_are_grouped_by_target() {
        let targets = [
            ("error", "error", Some(0.5), Some(2.0)),
            ("residual", "activation", None, None),
        ];
        let fit = BucketFit {
            fit: ScalingFit {
                target: "error".into(),
                before: [4.0, 8.0],
                after: [3.0, 2.0],
            },
            before_std: Some([1.0, 2.0]),
            after_std: Some([0.5, 0.25]),
        };
        let bucket = |from: f64, to: f64, fits: Vec<BucketFit>| ScalingBucket {
            from,
            to,
            tokens: 1234 * fits.len() as u64,
            fits,
        };
        let buckets = [
            bucket(0.0, 1.0 / 3.0, vec![fit]),
            bucket(1.0 / 3.0, 1.0, Vec::new()),
        ];
        let table = by_strength(&targets, &buckets, "");
        assert!(
            table.contains("0–0.333</th><td>1,234</td><td>4.00 → 3.00</td><td>8.00 → 2.00</td>"),
            "{table}"
        );
        assert!(table.contains("standard deviation: base 1.00 → 0.500, chat 2.00 → 0.250"));
        assert_eq!(
            table
                .matches("0.333–1</th><td>0</td><td>–</td><td>–</td>")
                .count(),
            2
        );
        assert_eq!(table.matches("colgroup").count(), 2);
        let none = by_strength(&targets, &[], "analyse --steps verification");
        assert!(
            none.contains("<code>analyse --steps verification</code>") && !none.contains("<table")
        );
    }

    #[test]
    fn activity_is_grouped_and_relative_to_the_busiest_part() {
        let part = |by: &str, part: &str, active_tokens, tokens| ActivityShare {
            by: by.into(),
            part: part.into(),
            active_tokens,
            tokens,
            max_activation: 3.5,
            mean_activation: (active_tokens > 0).then_some(1.25),
        };
        let table = activity(&[
            part("corpus", "chat <1>", 50, 1000),
            part("corpus", "web", 10, 1000),
            part("role", "user", 0, 500),
            part("role", "text", 0, 0),
        ]);
        assert_eq!(table.matches("colgroup").count(), 2);
        let numbered = TemplateActivity {
            group: "ctrl_3".into(),
            tokens: 10,
            active_tokens: 5,
            frequency: Some(0.5),
            share: Some(1.0),
            mean_activation: Some(1.25),
            max_activation: 3.5,
            buckets: Vec::new(),
        };
        let chats: Vec<ActivityShare> = in_chats(&[numbered]).collect();
        assert!(activity(&chats).contains("control token 3"));
        assert!(
            table.contains("chat &lt;1&gt;")
                && table.contains("width:100.00%")
                && table.contains("width:20.00%")
        );
        assert!(
            table.contains("title=\"50 of 1,000 tokens\"") && table.contains("5.0 %"),
            "{table}"
        );
        assert!(
            !table.contains("data-part=\"text\""),
            "parts without tokens are left out"
        );
    }

    #[test]
    fn fits_stand_beside_their_coefficients() {
        let targets = [
            ("error", "error", Some(0.5), Some(2.0)),
            ("residual", "activation", None, Some(1.0)),
        ];
        let fit = ScalingFit {
            target: "error".into(),
            before: [4.0, 8.0],
            after: [3.0, 2.0],
        };
        let table = betas(&targets, &[fit]);
        assert!(
            table.contains("<td>0.500</td><td>2.00</td><td>0.250</td><td>25 / 75 %</td>"),
            "{table}"
        );
        assert!(table.contains("base 4.00 → 3.00, chat 8.00 → 2.00"));
        assert!(table.contains("<td>–</td><td>1.00</td><td>–</td><td>– / – %</td>"));
        assert!(!betas(&targets, &[]).contains("explained"));
    }
}
