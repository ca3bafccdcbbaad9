//! Pictures beside links: bars on a plain ground, since words stand in the link's title and description.

use std::io::Cursor;

/// Size that chats show large.
const WIDTH: usize = 1200;
const HEIGHT: usize = 630;

/// Red, green, blue.
pub(super) type Colour = [u8; 3];
const GROUND: Colour = [0xf7, 0xf7, 0xf4];
pub(super) const BASE: Colour = [0xc7, 0x7e, 0x47];
pub(super) const CHAT: Colour = [0x6a, 0x8e, 0xdb];
pub(super) const SHARED: Colour = [0x5c, 0x9d, 0x7a];
pub(super) const OTHER: Colour = [0x92, 0x97, 0xa3];

/// A picture in the making; lengths are shares of its width and height.
pub(super) struct Picture {
    pixels: Vec<Colour>,
}

impl Picture {
    pub(super) fn new() -> Self {
        Self {
            pixels: vec![GROUND; WIDTH * HEIGHT],
        }
    }

    /// Fills the rectangle from (left, top) to (right, bottom).
    pub(super) fn fill(&mut self, [left, top, right, bottom]: [f64; 4], colour: Colour) {
        let at = |share: f64, size: usize| (share.clamp(0.0, 1.0) * size as f64).round() as usize;
        let (from, to) = (at(left, WIDTH), at(right, WIDTH));
        let rows = at(top, HEIGHT)..at(bottom, HEIGHT);
        for row in self
            .pixels
            .chunks_exact_mut(WIDTH)
            .take(rows.end)
            .skip(rows.start)
        {
            row.iter_mut()
                .take(to)
                .skip(from)
                .for_each(|pixel| *pixel = colour);
        }
    }

    /// Columns from left to right, `heights` being shares of the tallest's room.
    pub(super) fn columns(
        &mut self,
        [left, top, right, bottom]: [f64; 4],
        heights: &[(f64, Colour)],
    ) {
        let step = (right - left) / heights.len().max(1) as f64;
        for (i, &(height, colour)) in heights.iter().enumerate() {
            let from = left + step * i as f64;
            let upper = bottom - (bottom - top) * height.clamp(0.0, 1.0);
            self.fill([from, upper, from + 0.85 * step, bottom], colour);
        }
    }

    /// The picture as PNG.
    pub(super) fn png(&self) -> Result<Vec<u8>, png::EncodingError> {
        let mut out = Cursor::new(Vec::new());
        let mut encoder = png::Encoder::new(&mut out, WIDTH as u32, HEIGHT as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(self.pixels.as_flattened())?;
        writer.finish()?;
        Ok(out.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_reads_back() {
        let mut picture = Picture::new();
        picture.fill([0.0, 0.0, 0.5, 1.0], CHAT);
        picture.columns([0.5, 0.0, 1.0, 1.0], &[(1.0, BASE), (0.0, BASE)]);
        let coded = picture.png().unwrap();
        let mut reader = png::Decoder::new(Cursor::new(coded)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width as usize, info.height as usize), (WIDTH, HEIGHT));
        let at = |x: usize, y: usize| &pixels[3 * (y * WIDTH + x)..][..3];
        assert_eq!(at(10, 10), CHAT);
        assert_eq!(at(WIDTH / 2 + 10, HEIGHT - 10), BASE);
        assert_eq!(at(WIDTH - 10, HEIGHT - 10), GROUND);
    }
}
