//! Cells as points of a small SVG: one path per group, coloured by the page's style, so that a picture of thousands of
//! cells takes some ten kilobytes, follows light and dark, and prints sharply.

use std::fmt::Write;

use super::contents::MapCell;

/// Width of the drawing, in its own units.
const WIDTH: f64 = 1000.0;
const MARGIN: f64 = 25.0;

/// Places positions of the map on the drawing, with one scale for both axes.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    low: [f64; 2],
    scale: f64,
    height: f64,
    dot: u8,
}

impl Frame {
    /// A frame that holds all cells.
    pub fn around(cells: &[MapCell]) -> Self {
        let (mut low, mut high) = ([f64::INFINITY; 2], [f64::NEG_INFINITY; 2]);
        for cell in cells {
            for axis in 0..2 {
                low[axis] = low[axis].min(cell.position[axis]);
                high[axis] = high[axis].max(cell.position[axis]);
            }
        }
        let [width, height] = [0, 1].map(|axis| (high[axis] - low[axis]).max(1e-9));
        let scale = (WIDTH - 2.0 * MARGIN) / width.max(height / 1.2);
        // Narrow maps stand in the middle of the drawing.
        low[0] -= ((WIDTH - 2.0 * MARGIN) / scale - width) / 2.0;
        // The more cells, the smaller their dots.
        let dot = match cells.len() {
            0..1000 => 13,
            1000..3000 => 10,
            _ => 8,
        };
        Self { low, scale, height: height * scale + 2.0 * MARGIN, dot }
    }

    /// Where a position lies on the drawing; the second axis points upwards.
    pub fn place(&self, position: [f64; 2]) -> [i64; 2] {
        let x = MARGIN + (position[0] - self.low[0]) * self.scale;
        let y = self.height - MARGIN - (position[1] - self.low[1]) * self.scale;
        [x.round() as i64, y.round() as i64]
    }

    /// The drawing with its layers; `described` is read out in its place.
    pub fn drawing(&self, described: &str, layers: &str) -> String {
        format!(
            "<svg class=\"cells\" style=\"--dot:{}\" viewBox=\"0 0 {WIDTH} {:.0}\" role=\"img\" \
             aria-label=\"{described}\">{layers}</svg>",
            self.dot, self.height
        )
    }

    /// The cells as one path of dots; `attributes` go into the element.
    pub fn dots<'a>(&self, cells: impl IntoIterator<Item = &'a MapCell>, attributes: &str) -> String {
        let mut path = format!("<path {attributes} d=\"");
        for cell in cells {
            let [x, y] = self.place(cell.position);
            // A stroke of no length with round ends is a dot.
            let _ = write!(path, "M{x} {y}h0");
        }
        path.push_str("\"/>");
        path
    }
}

/// The middle of the cells: the median along each axis; none without cells.
pub fn middle(cells: &[&MapCell]) -> Option<[f64; 2]> {
    let median = |axis: usize| {
        let mut values: Vec<f64> = cells.iter().map(|cell| cell.position[axis]).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    };
    Some([median(0)?, median(1)?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Kind;

    #[test]
    fn every_cell_is_one_dot_inside_the_drawing() {
        let cells: Vec<MapCell> = (0..50)
            .map(|i| MapCell {
                kind: Kind::Real,
                perturbation: "A".into(),
                covariate: String::new(),
                position: [f64::from(i).sin() * 3.0, f64::from(i).cos() * 40.0],
                leiden: 0,
            })
            .collect();
        let frame = Frame::around(&cells);
        assert_eq!(frame.dots(&cells, "").matches("h0").count(), 50);
        for cell in &cells {
            let [x, y] = frame.place(cell.position);
            assert!((25..=975).contains(&x) && (25..=(frame.height as i64)).contains(&y), "{x} {y}");
        }
        assert_eq!(middle(&[&cells[0], &cells[1], &cells[2]]).map(|m| m.len()), Some(2));
        assert_eq!(middle(&[]), None);
    }

    #[test]
    fn a_single_cell_has_a_frame_too() {
        let cell = MapCell {
            kind: Kind::Real,
            perturbation: "A".into(),
            covariate: String::new(),
            position: [3.0, 4.0],
            leiden: 0,
        };
        let [x, y] = Frame::around(std::slice::from_ref(&cell)).place(cell.position);
        assert!((0..=1000).contains(&x) && (0..=1000).contains(&y), "{x} {y}");
    }
}
