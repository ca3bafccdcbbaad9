//! An axis of numbers: linear, logarithmic, or logarithmic on both sides of zero.

use api::AxisScale;

use super::curves::ticks as round_ticks;

/// A whole power of ten, to the digit.
fn decimal_power(power: i32) -> f64 {
    let size = (0..power.abs()).fold(1.0, |x, _| x * 10.0);
    if power < 0 { 1.0 / size } else { size }
}

/// A few round values between two places.
pub(crate) fn ticks(scale: AxisScale, [low, high]: [f64; 2]) -> Vec<f64> {
    let within = |value: &f64| (low..=high).contains(&scale.place(*value));
    let powers = || (-9..=9).map(decimal_power);
    let ticks: Vec<f64> = match scale {
        AxisScale::Linear => Vec::new(),
        AxisScale::Log => powers().filter(within).collect(),
        AxisScale::Symlog => {
            let sides = powers().skip(8).flat_map(|x| [-x, x]);
            sides.chain([0.0]).filter(within).collect()
        }
    };
    if ticks.len() > 1 {
        return ticks;
    }
    // Seen from so near, every axis is almost even.
    let (from, to) = (scale.value(low), scale.value(high));
    round_ticks(from, to).into_iter().filter(within).collect()
}

/// The value at a place, with no more digits than a pixel tells apart when the axis shows `span` of places.
pub(crate) fn readable(scale: AxisScale, place: f64, span: f64) -> f64 {
    let value = scale.value(place);
    rounded_to(value, (scale.value(place + span / 400.0) - value).abs())
}

/// A number with no more digits than steps of this size need.
pub(crate) fn rounded_to(x: f64, step: f64) -> f64 {
    let power = (step.max(1e-12).ln() / std::f64::consts::LN_10).floor() as i32;
    let unit = decimal_power(power);
    // Without the digits that the multiplication leaves behind.
    ((x / unit).round() * unit * 1e12).round() / 1e12
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

    /// The same with room on every side, in shares of its size.
    pub(crate) fn widened(&self, room: f64) -> Self {
        let of = |[low, high]: [f64; 2]| [low - room * (high - low), high + room * (high - low)];
        Self {
            x: of(self.x),
            y: of(self.y),
        }
    }

    /// The least view that holds this and another one.
    pub(crate) fn with(&self, other: &Self) -> Self {
        let of = |a: [f64; 2], b: [f64; 2]| [a[0].min(b[0]), a[1].max(b[1])];
        Self {
            x: of(self.x, other.x),
            y: of(self.y, other.y),
        }
    }

    /// Whether all of another view is inside.
    pub(crate) fn holds(&self, other: &Self) -> bool {
        let of = |outer: [f64; 2], inner: [f64; 2]| outer[0] <= inner[0] && inner[1] <= outer[1];
        of(self.x, other.x) && of(self.y, other.y)
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
    fn ticks_are_round_and_inside() {
        assert_eq!(ticks(AxisScale::Linear, [-0.1, 2.0]), [0.0, 1.0, 2.0]);
        assert_eq!(ticks(AxisScale::Log, [-3.2, 0.4]), [0.001, 0.01, 0.1, 1.0]);
        assert_eq!(ticks(AxisScale::Log, [0.1, 0.6]), [2.0, 3.0]);
        let symlog = AxisScale::Symlog;
        let ticks = ticks(symlog, [symlog.place(-1.5), symlog.place(20.0)]);
        assert!(
            ticks.contains(&0.0) && ticks.contains(&-1.0) && ticks.contains(&10.0),
            "{ticks:?}"
        );
    }

    #[test]
    fn read_values_have_few_digits() {
        assert_eq!(readable(AxisScale::Linear, 0.200_123, 2.1), 0.2);
        assert_eq!(readable(AxisScale::Linear, 0.734_9, 1.0), 0.735);
        assert_eq!(readable(AxisScale::Log, -2.0, 4.0), 0.01);
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
        let wide = view.widened(0.5);
        assert_eq!((wide.x, wide.y), ([-1.0, 3.0], [-2.0, 2.0]));
        let both = view.with(&view.moved(0.5, -0.5));
        assert_eq!((both.x, both.y), ([0.0, 3.0], [-2.0, 1.0]));
        assert!(wide.holds(&view.moved(0.5, -0.5)) && !wide.holds(&view.moved(0.6, 0.0)));
        let near = view.zoomed(2.0, 0.25, 0.5);
        assert_eq!((near.x, near.y), ([0.25, 1.25], [-0.5, 0.5]));
        assert_eq!(near.share(0.5, 0.0), view.share(0.5, 0.0));
    }
}
