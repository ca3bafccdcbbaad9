//! An axis of numbers: linear, logarithmic, or logarithmic on both sides of zero.

use super::curves::ticks as round_ticks;

/// Ten to any power, and the power of ten that a number is: by the two functions that the program has anyway.
fn ten_to(power: f64) -> f64 {
    (power * std::f64::consts::LN_10).exp()
}

fn power_of(x: f64) -> f64 {
    x.ln() / std::f64::consts::LN_10
}

/// A whole power of ten, to the digit.
fn decimal_power(power: i32) -> f64 {
    let size = (0..power.abs()).fold(1.0, |x, _| x * 10.0);
    if power < 0 { 1.0 / size } else { size }
}

/// Around zero a symmetric logarithmic axis is linear up to this.
const NEAR: f64 = 0.1;

/// How values lie on an axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Scale {
    /// Evenly.
    #[default]
    Linear,
    /// By their powers of ten; values up to zero have no place.
    Log,
    /// By the powers of ten of their size, evenly around zero.
    Symlog,
}

/// Scales with their word in addresses and menus.
pub(crate) const SCALES: [(Scale, &str); 3] = [
    (Scale::Linear, "linear"),
    (Scale::Log, "log"),
    (Scale::Symlog, "symlog"),
];

impl Scale {
    /// The scale of a word in an address.
    pub(crate) fn named(word: &str) -> Option<Self> {
        SCALES.iter().find(|s| s.1 == word).map(|s| s.0)
    }

    /// Its word.
    pub(crate) fn word(self) -> &'static str {
        SCALES.iter().find(|s| s.0 == self).map_or("", |s| s.1)
    }

    /// The place of a value; not a number where it has none.
    pub(crate) fn place(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Log if value > 0.0 => power_of(value),
            Self::Log => f64::NAN,
            Self::Symlog => value.signum() * power_of(1.0 + value.abs() / NEAR),
        }
    }

    /// The value at a place.
    pub(crate) fn value(self, place: f64) -> f64 {
        match self {
            Self::Linear => place,
            Self::Log => ten_to(place),
            Self::Symlog => place.signum() * NEAR * (ten_to(place.abs()) - 1.0),
        }
    }

    /// A few round values between two places.
    pub(crate) fn ticks(self, [low, high]: [f64; 2]) -> Vec<f64> {
        let within = |value: &f64| (low..=high).contains(&self.place(*value));
        let powers = || (-9..=9).map(decimal_power);
        let ticks: Vec<f64> = match self {
            Self::Linear => Vec::new(),
            Self::Log => powers().filter(within).collect(),
            Self::Symlog => {
                let sides = powers().skip(8).flat_map(|x| [-x, x]);
                sides.chain([0.0]).filter(within).collect()
            }
        };
        if ticks.len() > 1 {
            return ticks;
        }
        // Seen from so near, every axis is almost even.
        let (from, to) = (self.value(low), self.value(high));
        round_ticks(from, to).into_iter().filter(within).collect()
    }

    /// The value at a place, with no more digits than a pixel tells apart when the axis shows `span` of places.
    pub(crate) fn readable(self, place: f64, span: f64) -> f64 {
        let value = self.value(place);
        let step = (self.value(place + span / 400.0) - value).abs();
        let power = power_of(step.max(1e-12)).floor() as i32;
        let unit = decimal_power(power);
        let rounded = (value / unit).round() * unit;
        // Without the digits that the multiplication left behind.
        (rounded * 1e12).round() / 1e12
    }
}

/// What of the two axes is shown, in places: left and right end, lower and upper end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct View {
    /// Of the horizontal axis.
    pub(crate) x: [f64; 2],
    /// Of the vertical axis.
    pub(crate) y: [f64; 2],
}

impl View {
    /// The share of the picture's width and height, from its lower left corner, at which places lie.
    pub(crate) fn share(&self, x: f64, y: f64) -> (f64, f64) {
        let of = |[low, high]: [f64; 2], place: f64| (place - low) / (high - low);
        (of(self.x, x), of(self.y, y))
    }

    /// The places at shares of the picture.
    pub(crate) fn places(&self, across: f64, up: f64) -> (f64, f64) {
        let of = |[low, high]: [f64; 2], share: f64| low + share * (high - low);
        (of(self.x, across), of(self.y, up))
    }

    /// The same moved by shares of its size.
    pub(crate) fn moved(&self, across: f64, up: f64) -> Self {
        let of =
            |[low, high]: [f64; 2], share: f64| [low, high].map(|end| end + share * (high - low));
        Self {
            x: of(self.x, across),
            y: of(self.y, up),
        }
    }

    /// The same enlarged by a factor around a point given in shares.
    pub(crate) fn zoomed(&self, factor: f64, across: f64, up: f64) -> Self {
        let of = |[low, high]: [f64; 2], share: f64| {
            let (still, size) = (low + share * (high - low), (high - low) / factor);
            [still - share * size, still + (1.0 - share) * size]
        };
        Self {
            x: of(self.x, across),
            y: of(self.y, up),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_from_their_places() {
        for (scale, word) in SCALES {
            assert_eq!(Scale::named(word), Some(scale));
            assert_eq!(scale.word(), word);
            for value in [-3.5, -0.01, 0.0, 0.2, 1e-6, 40.0] {
                if scale == Scale::Log && value <= 0.0 {
                    assert!(scale.place(value).is_nan());
                } else {
                    let back = scale.value(scale.place(value));
                    assert!((back - value).abs() < 1e-9, "{word} {value} {back}");
                }
            }
        }
    }

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(Scale::Linear.ticks([-0.1, 2.0]), [0.0, 1.0, 2.0]);
        assert_eq!(Scale::Log.ticks([-3.2, 0.4]), [0.001, 0.01, 0.1, 1.0]);
        assert_eq!(Scale::Log.ticks([0.1, 0.6]), [2.0, 3.0]);
        let symlog = Scale::Symlog;
        let ticks = symlog.ticks([symlog.place(-1.5), symlog.place(20.0)]);
        assert!(
            ticks.contains(&0.0) && ticks.contains(&-1.0) && ticks.contains(&10.0),
            "{ticks:?}"
        );
    }

    #[test]
    fn read_values_have_few_digits() {
        assert_eq!(Scale::Linear.readable(0.200_123, 2.1), 0.2);
        assert_eq!(Scale::Linear.readable(0.734_9, 1.0), 0.735);
        assert_eq!(Scale::Log.readable(-2.0, 4.0), 0.01);
    }

    #[test]
    fn views_move_and_zoom() {
        let view = View {
            x: [0.0, 2.0],
            y: [-1.0, 1.0],
        };
        assert_eq!(view.share(0.5, 0.0), (0.25, 0.5));
        assert_eq!(view.places(0.25, 0.5), (0.5, 0.0));
        assert_eq!(view.moved(0.5, -0.5).x, [1.0, 3.0]);
        let near = view.zoomed(2.0, 0.25, 0.5);
        assert_eq!((near.x, near.y), ([0.25, 1.25], [-0.5, 0.5]));
        assert_eq!(near.share(0.5, 0.0), view.share(0.5, 0.0));
    }
}
