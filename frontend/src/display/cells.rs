//! Tokens with everything a strip shows of them: glyph, colour, spoken text, tooltip.

use api::{LatentValues, TokenInfo, TokenKind};

use super::{
    numbers::{fixed, short},
    scale::{heat, largest_first},
    tokens::{breaks_line, chip, glyph, kind_name, quoted},
};

/// How a token is coloured; strengths 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Paint {
    /// Not at all.
    #[default]
    None,
    /// In one colour.
    Whole(f64),
    /// Top half for the base model's part, bottom half for the chat model's.
    Halves(f64, f64),
}

/// One token of a strip.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Cell {
    /// The visible text.
    pub(crate) glyph: String,
    /// Shown as a chip: a control token of the template or BOS.
    pub(crate) chip: bool,
    /// A line ends after it.
    pub(crate) breaks: bool,
    /// The strongest token of its strip.
    pub(crate) peak: bool,
    /// Colour.
    pub(crate) paint: Paint,
    /// v, KL or probability.
    pub(crate) value: Option<f32>,
    /// What a screen reader says.
    pub(crate) spoken: String,
    /// First line of the tooltip, under the glyph.
    pub(crate) place: String,
    /// Further lines: name and value.
    pub(crate) rows: Vec<(&'static str, String)>,
}

impl Cell {
    /// Adds to what a screen reader says.
    fn says(&mut self, more: &str) {
        self.spoken.push_str(", ");
        self.spoken.push_str(more);
    }
}

fn plain(token: &TokenInfo, position: usize) -> Cell {
    let control = token.kind != TokenKind::Content;
    Cell {
        glyph: if control {
            chip(&token.text)
        } else {
            glyph(&token.text)
        },
        chip: control,
        breaks: breaks_line(token),
        spoken: quoted(&token.text),
        place: format!(
            "token {position} · id {} · {}",
            token.id,
            kind_name(token.kind)
        ),
        ..Cell::default()
    }
}

fn mark_peak(cells: &mut [Cell]) {
    let value = |cell: &Cell| cell.value.unwrap_or(0.0);
    let largest = cells.iter().map(value).fold(0.0, f32::max);
    if let Some(peak) = cells
        .iter_mut()
        .find(|cell| largest > 0.0 && value(cell) == largest)
    {
        peak.peak = true;
    }
}

/// A stored example: v in one colour, relative to the latent's maximum; positions count from `first`.
pub(crate) fn of_example(
    tokens: &[TokenInfo],
    values: &[f32],
    first: usize,
    max: f64,
) -> Vec<Cell> {
    let mut cells: Vec<Cell> = tokens
        .iter()
        .zip(values)
        .enumerate()
        .map(|(i, (token, &v))| {
            let mut cell = plain(token, first + i);
            cell.paint = Paint::Whole(heat(v.into(), max));
            cell.value = Some(v);
            if v > 0.0 {
                cell.says(&short(v.into()));
                let share = format!("{} % of its maximum", fixed(100.0 * f64::from(v) / max, 0));
                cell.rows = vec![("v", fixed(v.into(), 4)), ("", share)];
            } else {
                cell.rows = vec![("v", "0".into())];
            }
            cell
        })
        .collect();
    mark_peak(&mut cells);
    cells
}

/// A text with two latents on it, one in the upper halves and one in the lower, each relative to its own maximum; positions count from
/// `first`.
pub(crate) fn of_two(
    tokens: &[TokenInfo],
    first: usize,
    two: [(&str, &[f32], f64); 2],
) -> Vec<Cell> {
    let [(upper, above, most), (lower, below, most_below)] = two;
    let mut cells: Vec<Cell> = tokens
        .iter()
        .zip(above)
        .zip(below)
        .enumerate()
        .map(|(i, ((token, &v), &w))| {
            let mut cell = plain(token, first + i);
            cell.value = Some(v);
            let value = |v: f32| {
                if v > 0.0 {
                    fixed(v.into(), 4)
                } else {
                    "0".into()
                }
            };
            if v > 0.0 || w > 0.0 {
                cell.paint = Paint::Halves(heat(v.into(), most), heat(w.into(), most_below));
                let [a, b] = [v, w].map(|v| short(v.into()));
                cell.says(&format!("{upper} {a}, {lower} {b}"));
            }
            cell.rows = vec![
                ("upper half", format!("{upper}: v {}", value(v))),
                ("lower half", format!("{lower}: v {}", value(w))),
            ];
            cell
        })
        .collect();
    mark_peak(&mut cells);
    cells
}

/// A prompt coloured by latents, added where they fire: what each model's residual puts in, relative to `max` or else to the prompt's
/// largest sum.
pub(crate) fn of_latents(
    tokens: &[TokenInfo],
    latents: &[LatentValues],
    max: Option<f64>,
) -> Vec<Cell> {
    let sum = added(tokens.len(), latents);
    let here = sum.values.iter().copied().fold(0.0f32, f32::max);
    let mut cells = of_latent(tokens, &sum, max.unwrap_or(here.into()));
    if latents.len() > 1 {
        for (i, cell) in cells.iter_mut().enumerate() {
            let firing = latents.iter().filter_map(|latent| {
                let v = *latent.values.get(i).filter(|v| **v > 0.0)?;
                Some(("", format!("{}: v {}", latent.id, short(v.into()))))
            });
            cell.rows.extend(firing.take(LISTED));
        }
    }
    cells
}

/// Latents of a set that a token's tooltip lists.
const LISTED: usize = 6;

/// The sums over latents where they fire; of one latent all its values.
fn added(tokens: usize, latents: &[LatentValues]) -> LatentValues {
    if let [one] = latents {
        return one.clone();
    }
    let mut sum = LatentValues {
        id: 0,
        values: vec![0.0; tokens],
        base: vec![0.0; tokens],
        chat: vec![0.0; tokens],
    };
    for latent in latents {
        let halves = latent.base.iter().zip(&latent.chat);
        let sums = sum.values.iter_mut().zip(&mut sum.base).zip(&mut sum.chat);
        for (((v, base), chat), (more, halves)) in sums.zip(latent.values.iter().zip(halves)) {
            if *more > 0.0 {
                *v += more;
                *base += halves.0;
                *chat += halves.1;
            }
        }
    }
    sum
}

/// A prompt coloured by one latent: what each model's residual puts in, relative to the latent's maximum.
pub(crate) fn of_latent(tokens: &[TokenInfo], latent: &LatentValues, max: f64) -> Vec<Cell> {
    let halves = latent.base.iter().zip(&latent.chat);
    let mut cells: Vec<Cell> = tokens
        .iter()
        .zip(&latent.values)
        .zip(halves)
        .enumerate()
        .map(|(i, ((token, &v), (&base, &chat)))| {
            let mut cell = plain(token, i);
            cell.value = Some(v);
            if v > 0.0 {
                cell.paint = Paint::Halves(heat(base.into(), max), heat(chat.into(), max));
                cell.says(&format!(
                    "{}: base {}, chat {}",
                    short(v.into()),
                    short(base.into()),
                    short(chat.into())
                ));
            }
            cell.rows = vec![
                (
                    "v",
                    if v > 0.0 {
                        fixed(v.into(), 4)
                    } else {
                        "0, inactive".into()
                    },
                ),
                ("base puts in", fixed(base.into(), 4)),
                ("chat puts in", fixed(chat.into(), 4)),
            ];
            cell
        })
        .collect();
    mark_peak(&mut cells);
    cells
}

/// A prompt coloured by KL(chat ‖ base) of the next token, relative to `max` nats.
pub(crate) fn of_kl(tokens: &[TokenInfo], kl: &[f32], max: f64) -> Vec<Cell> {
    let mut cells: Vec<Cell> = tokens
        .iter()
        .zip(kl)
        .enumerate()
        .map(|(i, (token, &nats))| {
            let mut cell = plain(token, i);
            cell.paint = Paint::Whole(heat(nats.into(), max));
            cell.value = Some(nats);
            cell.says(&format!("{} nats", fixed(nats.into(), 3)));
            cell.rows = vec![(
                "KL(chat ‖ base) after it",
                format!("{} nats", fixed(nats.into(), 4)),
            )];
            cell
        })
        .collect();
    mark_peak(&mut cells);
    cells
}

/// The scale of KL colours: the prompt's largest value, but at least one nat, so that agreement looks like agreement.
pub(crate) fn kl_scale(kl: &[f32]) -> f64 {
    kl.iter().copied().fold(1.0f32, f32::max).into()
}

/// The strongest tokens of a strip in words, for those who do not see colours.
pub(crate) fn summary(cells: &[Cell]) -> String {
    let firing: Vec<(f64, &Cell)> = cells
        .iter()
        .filter_map(|cell| Some((f64::from(cell.value.filter(|v| *v > 0.0)?), cell)))
        .collect();
    if firing.is_empty() {
        return "fires nowhere".into();
    }
    let keys: Vec<f64> = firing.iter().map(|(v, _)| *v).collect();
    let names: Vec<String> = largest_first(&keys)
        .into_iter()
        .take(3)
        .filter_map(|i| firing.get(i))
        .map(|(v, cell)| format!("“{}” {}", cell.glyph, short(*v)))
        .collect();
    format!("strongest at {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str, kind: TokenKind) -> TokenInfo {
        TokenInfo {
            id: 7,
            text: text.into(),
            kind,
        }
    }

    #[test]
    fn halves_show_only_where_the_latent_fires() {
        let tokens = [
            token("<bos>", TokenKind::Bos),
            token(" lock", TokenKind::Content),
            token("\n", TokenKind::Template),
        ];
        let latent = LatentValues {
            id: 3,
            values: vec![0.0, 2.0, 0.0],
            base: vec![5.0, -1.0, 0.0],
            chat: vec![5.0, 3.0, 0.1],
        };
        let cells = of_latent(&tokens, &latent, 2.0);
        assert_eq!(cells[0].paint, Paint::None);
        assert_eq!(cells[1].paint, Paint::Halves(0.0, 1.0));
        assert!(cells[1].peak && !cells[0].peak);
        assert!(cells[0].chip && cells[2].chip && cells[2].breaks && !cells[1].chip);
        assert_eq!(cells[1].spoken, "“ lock”, 2.00: base −1.00, chat 3.00");
        assert_eq!(summary(&cells), "strongest at “ lock” 2.00");
    }

    #[test]
    fn a_set_of_latents_is_added_where_they_fire() {
        let tokens = [" a", " b"].map(|text| token(text, TokenKind::Content));
        let latent = |id, values: [f32; 2], base: [f32; 2], chat: [f32; 2]| LatentValues {
            id,
            values: values.into(),
            base: base.into(),
            chat: chat.into(),
        };
        let set = [
            latent(3, [0.0, 2.0], [9.0, 0.5], [9.0, 1.5]),
            latent(8, [1.0, 2.0], [0.0, 0.5], [1.0, 1.5]),
        ];
        let cells = of_latents(&tokens, &set, None);
        assert_eq!(cells[1].value, Some(4.0));
        assert_eq!(cells[0].spoken, "“ a”, 1.00: base 0, chat 1.00");
        assert!(cells[1].peak);
        let listed = |cell: &Cell| {
            let rows = cell.rows.iter().filter(|row| row.0.is_empty());
            rows.map(|row| row.1.clone()).collect::<Vec<_>>()
        };
        assert_eq!(listed(&cells[0]), ["8: v 1.00"]);
        assert_eq!(listed(&cells[1]), ["3: v 2.00", "8: v 2.00"]);
        let one = of_latents(&tokens, &set[..1], Some(4.0));
        assert_eq!(one, of_latent(&tokens, &set[0], 4.0));
    }

    #[test]
    fn two_latents_share_a_text() {
        let tokens = [" a", " b", " c"].map(|text| token(text, TokenKind::Content));
        let two = [
            ("12", &[0.0, 2.0, 0.0][..], 2.0),
            ("34", &[0.0, 0.0, 5.0][..], 5.0),
        ];
        let cells = of_two(&tokens, 3, two);
        let paints: Vec<Paint> = cells.iter().map(|cell| cell.paint).collect();
        assert_eq!(
            paints,
            [
                Paint::None,
                Paint::Halves(1.0, 0.0),
                Paint::Halves(0.0, 1.0)
            ]
        );
        assert_eq!(cells[1].spoken, "“ b”, 12 2.00, 34 0");
        assert!(cells[1].peak && cells[2].place.starts_with("token 5"));
    }

    #[test]
    fn examples_are_relative_to_the_latents_maximum() {
        let tokens = [
            token("a", TokenKind::Content),
            token("b", TokenKind::Content),
        ];
        let cells = of_example(&tokens, &[0.0, 5.0], 10, 10.0);
        assert_eq!(cells[0].paint, Paint::Whole(0.0));
        assert!(matches!(cells[1].paint, Paint::Whole(a) if a > 0.5 && a < 1.0));
        assert!(cells[1].place.starts_with("token 11"));
        assert_eq!(
            summary(&of_example(&tokens, &[0.0, 0.0], 0, 10.0)),
            "fires nowhere"
        );
    }

    #[test]
    fn small_divergences_stay_pale() {
        assert_eq!(kl_scale(&[0.01, 0.2]), 1.0);
        assert_eq!(kl_scale(&[0.01, 4.0]), 4.0);
        let cells = of_kl(&[token("a", TokenKind::Content)], &[0.0], 1.0);
        assert_eq!(cells[0].paint, Paint::Whole(0.0));
    }
}
