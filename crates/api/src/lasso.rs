//! A hand-drawn selection of latents: a polygon on two columns.
//!
//! The same code tells server and browser which latents are inside, on the numbers that a column block carries.

/// Around zero a symmetric logarithmic axis is linear up to this.
const NEAR_ZERO: f64 = 0.1;

/// How a column's values lie on an axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AxisScale {
    /// Evenly.
    #[default]
    Linear,
    /// By their powers of ten; values up to zero have no place.
    Log,
    /// By the powers of ten of their size, evenly around zero.
    Symlog,
}

impl AxisScale {
    /// Every scale.
    pub const ALL: [Self; 3] = [Self::Linear, Self::Log, Self::Symlog];

    /// The scale of a word: `linear`, `log` or `symlog`.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scale| scale.word() == word)
    }

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Log => "log",
            Self::Symlog => "symlog",
        }
    }

    /// The place of a value: itself, log₁₀ x, or sign(x)·log₁₀(1 + |x| / 0.1); not a number where it has none.
    pub fn place(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Log if value > 0.0 => power_of(value),
            Self::Log => f64::NAN,
            Self::Symlog => value.signum() * power_of(1.0 + value.abs() / NEAR_ZERO),
        }
    }

    /// The value at a place.
    pub fn value(self, place: f64) -> f64 {
        match self {
            Self::Linear => place,
            Self::Log => ten_to(place),
            Self::Symlog => place.signum() * NEAR_ZERO * (ten_to(place.abs()) - 1.0),
        }
    }
}

/// Ten to any power, and the power of ten that a number is: by two functions that every program has anyway.
fn ten_to(power: f64) -> f64 {
    (power * std::f64::consts::LN_10).exp()
}

fn power_of(x: f64) -> f64 {
    x.ln() / std::f64::consts::LN_10
}

/// A polygon on two columns; written `nu_epsilon,nu_r:log,0.1,-2,0.4,-2,0.2,0`: the columns, each with its scale unless it is linear,
/// then the corners as pairs of places on the two axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Lasso {
    /// Names of the columns, horizontal first.
    pub columns: [String; 2],
    /// How their values lie on the axes.
    pub scales: [AxisScale; 2],
    /// Corners in places of the axes, three or more.
    pub corners: Vec<[f64; 2]>,
}

impl Lasso {
    /// Most corners of a polygon, so that an address stays short enough for every server.
    pub const MAX_CORNERS: usize = 100;

    /// Reads the written form; `number` reads a decimal.
    ///
    /// # Errors
    /// A sentence about what is expected instead.
    pub fn read(text: &str, number: fn(&str) -> Option<f64>) -> Result<Self, String> {
        let wrong = || {
            format!(
                "lasso is {text:?}, expected two columns and then 3 to {} corners as pairs of numbers, all separated by commas, for instance \
                 nu_epsilon,nu_r,0,0,0.2,0,0.2,0.5",
                Self::MAX_CORNERS
            )
        };
        let mut parts = text.split(',');
        let mut axis = || {
            let part = parts.next()?;
            let (name, scale) = part.split_once(':').unwrap_or((part, "linear"));
            Some((name.to_owned(), AxisScale::named(scale)?))
        };
        let ((x, across), (y, up)) = axis().zip(axis()).ok_or_else(wrong)?;
        let numbers = parts.map(|part| number(part).filter(|x| x.is_finite()));
        let numbers: Vec<f64> = numbers.collect::<Option<_>>().ok_or_else(wrong)?;
        let (corners, rest) = numbers.as_chunks::<2>();
        if !rest.is_empty() || !(3..=Self::MAX_CORNERS).contains(&corners.len()) {
            return Err(wrong());
        }
        Ok(Self {
            columns: [x, y],
            scales: [across, up],
            corners: corners.to_vec(),
        })
    }

    /// Whether a latent with these two values is inside; one without a place on an axis is not. A line that crosses itself leaves out what
    /// it goes around twice.
    pub fn holds(&self, x: f32, y: f32) -> bool {
        let [across, up] = self.scales;
        let (x, y) = (across.place(x.into()), up.place(y.into()));
        let mut inside = false;
        let Some(mut before) = self.corners.last() else {
            return false;
        };
        for corner in &self.corners {
            let ([ax, ay], [bx, by]) = (*before, *corner);
            if (ay > y) != (by > y) && x < ax + (bx - ax) * (y - ay) / (by - ay) {
                inside = !inside;
            }
            before = corner;
        }
        inside && x.is_finite() && y.is_finite()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Lasso, String> {
        Lasso::read(text, |part| part.parse().ok())
    }

    #[test]
    fn a_polygon_holds_what_is_inside() {
        let lasso = read("nu_epsilon,frequency:log,0,-3,1,-3,1,-1,0.5,-2,0,-1").unwrap();
        assert_eq!(lasso.columns, ["nu_epsilon", "frequency"]);
        assert_eq!(lasso.scales, [AxisScale::Linear, AxisScale::Log]);
        for (x, y, inside) in [
            (0.1, 0.03, true),
            (0.9, 0.03, true),
            (0.5, 0.005, true),
            (0.5, 0.03, false),
            (-0.1, 0.005, false),
            (1.1, 0.005, false),
            (0.5, 0.0005, false),
            (0.5, 0.0, false),
            (f32::NAN, 0.005, false),
            (0.5, f32::NAN, false),
        ] {
            assert_eq!(lasso.holds(x, y), inside, "{x} {y}");
        }
    }

    #[test]
    fn what_is_no_polygon_is_refused() {
        for bad in [
            "",
            "nu_r",
            "nu_r,nu_epsilon",
            "nu_r,nu_epsilon,0,0,1,1",
            "nu_r,nu_epsilon,0,0,1,1,2",
            "nu_r,nu_epsilon,0,0,1,1,2,x",
            "nu_r,nu_epsilon,0,0,1,1,2,inf",
            "nu_r:cubic,nu_epsilon,0,0,1,0,1,1",
        ] {
            assert!(
                read(bad).unwrap_err().contains("expected two columns"),
                "{bad}"
            );
        }
        let many = ",0,1".repeat(Lasso::MAX_CORNERS + 1);
        assert!(read(&format!("nu_r,nu_epsilon{many}")).is_err());
    }

    #[test]
    fn values_come_back_from_their_places() {
        for scale in AxisScale::ALL {
            assert_eq!(AxisScale::named(scale.word()), Some(scale));
            for value in [-3.5, -0.01, 0.0, 0.2, 1e-6, 40.0] {
                if scale == AxisScale::Log && value <= 0.0 {
                    assert!(scale.place(value).is_nan());
                } else {
                    let back = scale.value(scale.place(value));
                    assert!(
                        (back - value).abs() <= 1e-12 * value.abs().max(1.0),
                        "{value} {back}"
                    );
                }
            }
        }
    }
}
