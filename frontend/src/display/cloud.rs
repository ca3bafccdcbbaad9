//! The plane's points as pixels. A processor draws them faster than a browser that draws by software does, and tests can see them.

use super::axis::View;

/// Signs of points; see [`SIGNS`].
const SIDE: usize = 9;

/// How a point looks: which sign, in which colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Look(pub(crate) u8);

/// The signs in the order of looks, as words for legends: told apart by form, not by colour alone.
pub(crate) const SIGNS: [&str; 6] = ["●", "▲", "■", "+", "×", "○"];

/// Points by their places on the two axes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Cloud {
    /// Horizontal places; not a number where there is none.
    pub(crate) x: Vec<f32>,
    /// Vertical places.
    pub(crate) y: Vec<f32>,
    /// How each point looks.
    pub(crate) look: Vec<Look>,
}

/// A picture being drawn: red, green, blue and opacity of every pixel from the upper left.
pub(crate) struct Picture {
    /// The bytes.
    pub(crate) pixels: Vec<u8>,
    /// Pixels of a row.
    pub(crate) width: usize,
    /// Rows.
    pub(crate) height: usize,
    /// Pixels of the screen for each pixel of the page.
    pub(crate) density: f32,
}

/// The pixels around a point that its sign covers: steps to the right and down, and how much of each.
type Stamp = Vec<(i32, i32, u32)>;

impl Cloud {
    /// Points that have a place on both axes.
    pub(crate) fn placed(&self) -> usize {
        let both = self.x.iter().zip(&self.y);
        both.filter(|(x, y)| x.is_finite() && y.is_finite()).count()
    }

    /// Draws every point into the empty picture: those that are not kept in the last colour and faint, the kept ones above them.
    pub(crate) fn draw(
        &self,
        picture: &mut Picture,
        view: &View,
        kept: &[bool],
        colours: &[[u8; 3]],
    ) {
        let shown = self.x.len();
        let everything = kept.iter().all(|k| *k);
        // Many points are small, so that they do not become one.
        let radius = (if shown > 20_000 { 1.3 } else { 2.8 }) * picture.density.clamp(1.0, 1.5);
        let stamps: Vec<Stamp> = (0..SIGNS.len()).map(|sign| stamp(sign, radius)).collect();
        let rest = colours.last().copied().unwrap_or_default();
        let size = [picture.width as f64, picture.height as f64];
        let per = [
            size[0] / (view.x[1] - view.x[0]),
            size[1] / (view.y[1] - view.y[0]),
        ];
        // Where a point lies in the picture, or nothing outside it.
        let pixel = |i: usize| {
            let (x, y) = (f64::from(*self.x.get(i)?), f64::from(*self.y.get(i)?));
            let (left, up) = ((x - view.x[0]) * per[0], (y - view.y[0]) * per[1]);
            // Comparisons with what is not a number are false.
            let inside = (0.0..=size[0]).contains(&left) && (0.0..=size[1]).contains(&up);
            inside.then_some((left as i32, (size[1] - up) as i32))
        };
        for above in [false, true] {
            for i in 0..shown {
                if kept.get(i).copied().unwrap_or(true) != above {
                    continue;
                }
                let Some((left, top)) = pixel(i) else {
                    continue;
                };
                let look = self.look.get(i).map_or(0, |look| look.0 as usize);
                let (colour, strength) = match (above, everything) {
                    // Many faint points would become one dark one.
                    (false, _) => (rest, if shown > 20_000 { 34 } else { 90 }),
                    (true, true) => (colours.get(look).copied().unwrap_or(rest), 190),
                    (true, false) => (colours.get(look).copied().unwrap_or(rest), 240),
                };
                if let Some(stamp) = stamps.get(look) {
                    picture.press(stamp, left, top, colour, strength);
                }
            }
        }
    }

    /// The point nearest to a place in shares of the picture, within `reach` shares of its width; kept points come first.
    pub(crate) fn nearest(
        &self,
        view: &View,
        (across, up): (f64, f64),
        kept: &[bool],
        reach: f64,
        ratio: f64,
    ) -> Option<usize> {
        let mut best = (None, f64::INFINITY);
        for (i, (x, y)) in self.x.iter().zip(&self.y).enumerate() {
            let (a, u) = view.share((*x).into(), (*y).into());
            let (dx, dy) = (a - across, (u - up) * ratio);
            let distance = dx * dx + dy * dy;
            let favour = if kept.get(i) == Some(&false) {
                4.0
            } else {
                1.0
            };
            if distance <= reach * reach && distance * favour < best.1 {
                best = (Some(i), distance * favour);
            }
        }
        best.0
    }
}

impl Picture {
    /// An empty one.
    pub(crate) fn new(width: usize, height: usize) -> Self {
        Self {
            pixels: vec![0; 4 * width * height],
            width,
            height,
            density: 1.0,
        }
    }

    /// Lays a stamp's colour over what is there.
    fn press(&mut self, stamp: &Stamp, x: i32, y: i32, [r, g, b]: [u8; 3], strength: u32) {
        for &(right, down, cover) in stamp {
            let (column, row) = (x + right, y + down);
            if column < 0 || row < 0 || column >= self.width as i32 {
                continue;
            }
            let at = 4 * (row as usize * self.width + column as usize);
            let Some(pixel) = self.pixels.get_mut(at..at + 4) else {
                continue;
            };
            let over = cover * strength / 255;
            // Most pixels are still empty.
            if pixel[3] == 0 {
                pixel.copy_from_slice(&[r, g, b, over as u8]);
                continue;
            }
            let all = over + u32::from(pixel[3]) * (255 - over) / 255;
            // One division for three colours: the new one's share, in 65,536ths.
            let share = ((over << 16) / all.max(1)) as i32;
            for (old, new) in pixel.iter_mut().zip([r, g, b]) {
                let step = (i32::from(new) - i32::from(*old)) * share;
                *old = (i32::from(*old) + (step >> 16)) as u8;
            }
            pixel[3] = all as u8;
        }
    }
}

/// How much of each pixel around a point its sign covers.
fn stamp(sign: usize, radius: f32) -> Stamp {
    const FINE: usize = 4;
    let half = (SIDE / 2) as i32;
    let mut out = Stamp::new();
    for i in 0..SIDE * SIDE {
        let mut hits = 0;
        for part in 0..FINE * FINE {
            let middle = |at: usize, part: usize| {
                at as f32 - (SIDE / 2) as f32 + (part as f32 + 0.5) / FINE as f32 - 0.5
            };
            let (x, y) = (
                middle(i % SIDE, part % FINE) / radius,
                middle(i / SIDE, part / FINE) / radius,
            );
            let (long, far) = (x.abs().max(y.abs()), x * x + y * y);
            let inside = match sign {
                0 => far < 1.0,
                1 => y < 0.8 && x.abs() < (y + 1.1) * 0.58,
                2 => long < 0.85,
                3 => long < 1.1 && x.abs().min(y.abs()) < 0.34,
                4 => long < 1.0 && (x.abs() - y.abs()).abs() < 0.45,
                _ => far < 1.2 && far > 0.4,
            };
            hits += usize::from(inside);
        }
        if hits > 0 {
            let cover = (255 * hits / (FINE * FINE)) as u32;
            out.push(((i % SIDE) as i32 - half, (i / SIDE) as i32 - half, cover));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIEW: View = View {
        x: [0.0, 1.0],
        y: [0.0, 1.0],
    };

    fn cloud() -> Cloud {
        Cloud {
            x: vec![0.25, 0.75, f32::NAN, 3.0],
            y: vec![0.25, 0.75, 0.5, 0.5],
            look: vec![Look(0), Look(2), Look(0), Look(0)],
        }
    }

    fn pixel(picture: &Picture, x: usize, y: usize) -> [u8; 4] {
        let at = 4 * (y * picture.width + x);
        picture.pixels[at..at + 4].try_into().unwrap()
    }

    #[test]
    fn points_lie_where_their_values_are() {
        let mut picture = Picture::new(40, 40);
        let colours = [[10, 20, 30], [0; 3], [40, 50, 60], [90; 3]];
        cloud().draw(&mut picture, &VIEW, &[true, false, true, true], &colours);
        let kept = pixel(&picture, 10, 30);
        assert!(kept[..3] == [10, 20, 30] && kept[3] > 200, "{kept:?}");
        let rest = pixel(&picture, 30, 10);
        assert!(
            rest[..3] == [90; 3] && rest[3] > 50 && rest[3] < 120,
            "{rest:?}"
        );
        assert_eq!(pixel(&picture, 20, 20), [0; 4], "nothing between them");
        assert_eq!(cloud().placed(), 3);
    }

    #[test]
    fn points_at_the_rim_are_cut() {
        let cloud = Cloud {
            x: vec![0.0, 1.0, 1.0],
            y: vec![0.0, 1.0, 0.0],
            look: vec![Look(0); 3],
        };
        let mut picture = Picture::new(20, 10);
        cloud.draw(&mut picture, &VIEW, &[true; 3], &[[1, 2, 3]]);
        assert!(pixel(&picture, 0, 9)[3] > 0 && pixel(&picture, 19, 0)[3] > 0);
        assert_eq!(pixel(&picture, 10, 5), [0; 4]);
    }

    #[test]
    fn the_nearest_point_is_found_within_reach() {
        let cloud = cloud();
        let at = |place, reach| cloud.nearest(&VIEW, place, &[true; 4], reach, 1.0);
        assert_eq!(at((0.27, 0.25), 0.05), Some(0));
        assert_eq!(at((0.5, 0.5), 0.05), None);
        assert_eq!(at((0.6, 0.6), 1.0), Some(1));
    }

    #[test]
    fn every_sign_is_another_form() {
        let stamps: Vec<_> = (0..SIGNS.len()).map(|sign| stamp(sign, 3.0)).collect();
        for (i, one) in stamps.iter().enumerate() {
            assert!(one.iter().any(|c| c.2 > 200), "{i}");
            assert!(stamps[..i].iter().all(|other| other != one), "{i}");
        }
    }
}
