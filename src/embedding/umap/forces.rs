//! The forces on points of the map, many at a time.

use super::curve::{Curve, LEAST};

/// Points that move side by side: while a core waits for the numbers of some, it computes those of others.
pub(super) const POINTS: usize = 4;
/// Points that draw one at once.
const PULLS: usize = 2;
/// Points that drive one away at once.
pub(super) const PUSHES: usize = 6;
const LANES: usize = PULLS + PUSHES;
/// No force moves a point further than this in one step, along each axis.
const FURTHEST: f32 = 4.0;

/// Those that act on each of the points that move side by side.
#[derive(Clone)]
pub(super) struct Acting {
    x: [f32; POINTS * LANES],
    y: [f32; POINTS * LANES],
    /// Nought for places that are not taken.
    taken: [f32; POINTS * LANES],
}

impl Acting {
    /// Nobody.
    #[inline(always)]
    pub fn nobody() -> Self {
        Self { x: [0.0; POINTS * LANES], y: [0.0; POINTS * LANES], taken: [0.0; POINTS * LANES] }
    }

    /// Draws a point by another, the first or the second that does.
    #[inline(always)]
    pub fn pull(&mut self, point: usize, place: usize, other: [f32; 2]) {
        self.set(point * LANES + place, other);
    }

    /// Drives a point away from another, one of up to six that do.
    #[inline(always)]
    pub fn push(&mut self, point: usize, place: usize, other: [f32; 2]) {
        self.set(point * LANES + PULLS + place, other);
    }

    #[inline(always)]
    fn set(&mut self, lane: usize, [x, y]: [f32; 2]) {
        (self.x[lane], self.y[lane], self.taken[lane]) = (x, y, 1.0);
    }
}

/// Forces that follow from a curve.
#[derive(Debug, Clone, Copy)]
pub(super) struct Forces {
    a: f32,
    b: f32,
}

impl Forces {
    /// Those of a curve.
    pub fn new(curve: Curve) -> Self {
        let (a, b) = curve.parameters();
        Self { a: a as f32, b: b as f32 }
    }

    /// Where points go under all that act on them at once.
    ///
    /// With s the squared distance, the gradient of log 1/(1 + a s^b) is −2ab s^(b−1)/(1 + a s^b) of the gap, and that of
    /// log(1 − 1/(1 + a s^b)) is 2b/(s (1 + a s^b)), where umap-learn adds 0.001 to s.
    #[inline(always)]
    pub fn moved(&self, here: [[f32; 2]; POINTS], acting: &Acting, rate: f32) -> [[f32; 2]; POINTS] {
        let (mut x, mut y) = ([0.0; POINTS * LANES], [0.0; POINTS * LANES]);
        // Apart, as the place of a point that follows from the lane would be looked up in every lane.
        let (mut gap_x, mut gap_y) = (acting.x, acting.y);
        for (point, [here_x, here_y]) in here.into_iter().enumerate() {
            for lane in point * LANES..(point + 1) * LANES {
                (gap_x[lane], gap_y[lane]) = (here_x - gap_x[lane], here_y - gap_y[lane]);
            }
        }
        for lane in 0..POINTS * LANES {
            let gap = [gap_x[lane], gap_y[lane]];
            // Points that coincide have no gap that a force could stretch, however great.
            let squared = (gap[0] * gap[0] + gap[1] * gap[1]).max(1e-12);
            let power = power(squared, self.b);
            let draws = lane % LANES < PULLS;
            let (above, least) =
                if draws { (-2.0 * self.a * self.b * power, 0.0) } else { (2.0 * self.b, LEAST as f32) };
            let strength = acting.taken[lane] * above / ((least + squared) * (1.0 + self.a * power));
            x[lane] = (strength * gap[0]).clamp(-FURTHEST, FURTHEST);
            y[lane] = (strength * gap[1]).clamp(-FURTHEST, FURTHEST);
        }
        let mut moved = here;
        for (point, moved) in moved.iter_mut().enumerate() {
            let sum = |forces: &[f32; POINTS * LANES]| {
                let at = |lane: usize| forces[point * LANES + lane];
                ((at(0) + at(4)) + (at(2) + at(6))) + ((at(1) + at(5)) + (at(3) + at(7)))
            };
            *moved = [moved[0] + rate * sum(&x), moved[1] + rate * sum(&y)];
        }
        moved
    }
}

/// x^p to within 2 · 10⁻⁴ of itself, without branches, for positive normal x: gradients that are followed in hundreds of
/// random steps need no more. Both polynomials are best on their intervals (linear programming), and summed in halves.
#[inline(always)]
fn power(x: f32, p: f32) -> f32 {
    // log₂ x: the mantissa in [√½, √2) and the exponent that goes with it.
    const ROOT: u32 = 0x3f35_04f3;
    let bits = x.to_bits().wrapping_sub(ROOT);
    let exponent = (bits as i32 >> 23) as f32;
    let rest = f32::from_bits((bits & 0x007f_ffff).wrapping_add(ROOT)) - 1.0;
    let square = rest * rest;
    let low = 1.442_578_2 - 0.720_240_95 * rest;
    let high = (0.486_683_43 - 0.394_583_85 * rest) + 0.252_679_5 * square;
    let logarithm = exponent + rest * (low + square * high);
    // 2^y: adding this constant leaves the nearest whole number in the low bits of the mantissa.
    const ROUND: f32 = 12_582_912.0;
    let y = (p * logarithm).clamp(-126.0, 126.0);
    let shifted = y + ROUND;
    let rest = y - (shifted - ROUND);
    let mantissa = (0.999_928 + 0.693_260_97 * rest) + rest * rest * (0.242_611_42 + 0.055_171_79 * rest);
    let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    mantissa * f32::from_bits(exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_near_those_of_the_library() {
        for i in -400..200 {
            let x = (0.1 * i as f32).exp2();
            for p in [0.6, 0.9, 1.33] {
                assert!((power(x, p) / x.powf(p) - 1.0).abs() < 2e-4, "{x}^{p}");
            }
        }
    }

    #[test]
    fn forces_are_the_gradients_of_the_cross_entropy() {
        for min_dist in [0.1, 0.5] {
            let curve = Curve::fit(min_dist, 1.0);
            let (a, b) = curve.parameters();
            let forces = Forces::new(curve);
            let near = |x: f64| 1.0 / (1.0 + a * x.abs().powf(2.0 * b));
            let slope = |f: &dyn Fn(f64) -> f64, x: f64| (f(x * 1.0001) - f(x * 0.9999)) / (2e-4 * x);
            for x in [0.2_f32, 0.7, 1.0, 2.5, 9.0] {
                let mut acting = Acting::nobody();
                acting.pull(0, 1, [0.0, 0.0]);
                acting.push(1, 3, [0.0, 0.0]);
                let [drawn, driven, ..] = forces.moved([[x, 0.0], [0.0, x], [1.0, 1.0], [2.0, 1.0]], &acting, 1.0);
                let expected = slope(&|x| near(x).ln(), f64::from(x));
                assert!(
                    (f64::from(drawn[0] - x) - expected).abs() < 2e-3 && drawn[1] == 0.0,
                    "{x}: {drawn:?} {expected}"
                );
                // The published gradient leaves out what 0.001 adds to the squared distance.
                let expected = slope(&|x| (1.0 - near(x)).ln(), f64::from(x)).min(4.0);
                let found = f64::from(driven[1] - x);
                assert!((found / expected - 1.0).abs() < 0.03 && driven[0] == 0.0, "{x}: {driven:?} {expected}");
            }
            let here = [1.0, 2.0];
            let mut acting = Acting::nobody();
            (0..PULLS).for_each(|place| acting.pull(0, place, here));
            (0..PUSHES).for_each(|place| acting.push(0, place, here));
            assert_eq!(forces.moved([here; POINTS], &acting, 1.0), [here; POINTS]);
        }
    }
}
