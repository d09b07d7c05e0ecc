//! Loops that are compiled for several instruction sets, and elementary functions that vectorise.

/// Compiles one function for several instruction sets and calls the widest that the machine has.
macro_rules! vectorized {
    ($(#[$meta:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $output:ty)? $body:block) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $visibility fn $name($($argument: $type),*) $(-> $output)? {
            #[inline(always)]
            #[allow(clippy::too_many_arguments)]
            fn body($($argument: $type),*) $(-> $output)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
                #[allow(clippy::too_many_arguments)]
                fn avx512($($argument: $type),*) $(-> $output)? {
                    body($($argument),*)
                }
                #[target_feature(enable = "avx2,fma")]
                #[allow(clippy::too_many_arguments)]
                fn avx2($($argument: $type),*) $(-> $output)? {
                    body($($argument),*)
                }
                let has_avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
                let has_avx512 = is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq");
                if has_avx2 && has_avx512 {
                    // SAFETY: the machine has just said that it knows these instructions.
                    return unsafe { avx512($($argument),*) };
                }
                if has_avx2 {
                    // SAFETY: as above.
                    return unsafe { avx2($($argument),*) };
                }
            }
            body($($argument),*)
        }
    };
}
pub(crate) use vectorized;

/// e^x to within 2 units in the last place, without branches so that loops over it vectorise; x is held within ±87.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Adding this constant leaves the nearest whole number in the low bits of the mantissa.
    const ROUND: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.0, 87.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let whole = shifted - ROUND;
    let rest = x - whole * LN2_HIGH - whole * LN2_LOW;
    // The Taylor series with coefficients shifted to be best on ±ln(2)/2 (Cephes, expf).
    let mut sum = 1.987_569_1e-4_f32;
    for coefficient in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        sum = sum * rest + coefficient;
    }
    let mantissa = sum * rest * rest + rest + 1.0;
    let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    mantissa * f32::from_bits(exponent)
}

/// ln x for a positive normal number, without branches (Cephes, logf).
#[inline(always)]
pub(crate) fn ln(x: f32) -> f32 {
    // Mantissa in [√½, √2) and the exponent that goes with it.
    const ROOT: u32 = 0x3f35_04f3;
    let bits = x.to_bits().wrapping_sub(ROOT);
    let exponent = (bits as i32 >> 23) as f32;
    let rest = f32::from_bits((bits & 0x007f_ffff).wrapping_add(ROOT)) - 1.0;
    let square = rest * rest;
    let mut sum = 7.037_683_6e-2_f32;
    for coefficient in [
        -1.151_461e-1,
        1.167_699_9e-1,
        -1.242_014_1e-1,
        1.424_932_3e-1,
        -1.666_805_8e-1,
        2.000_071_5e-1,
        -2.499_999_4e-1,
        3.333_333e-1,
    ] {
        sum = sum * rest + coefficient;
    }
    let small = sum * rest * square - 2.121_944_4e-4 * exponent - 0.5 * square;
    rest + small + 0.693_359_4 * exponent
}

/// ln(1 + x) for x ≥ 0, to within a few units in the last place also where x is small, without branches: what 1 + x loses
/// of x is known (Kahan; Goldberg 1991, theorem 4).
#[inline(always)]
pub(crate) fn ln_1p(x: f32) -> f32 {
    let sum = 1.0 + x;
    let kept = sum - 1.0;
    if kept == 0.0 { x } else { ln(sum) * (x / kept) }
}

/// ln(1 + x) for x ≥ 0 in double precision to within 10⁻¹¹ of its value, without branches: 2 artanh((m − 1) / (m + 1)) of the
/// mantissa m in [√½, √2), from the series of artanh; where 1 + x < √2, artanh(x / (x + 2)), in which nothing is rounded off.
#[inline(always)]
pub(crate) fn ln_1p_double(x: f64) -> f64 {
    const ROOT: u64 = 0x3fe6_a09e_667f_3bcd;
    // 2⁵² as a pattern of bits: a whole number in the low bits of its mantissa becomes a float without a conversion.
    const WHOLE: u64 = 0x4330_0000_0000_0000;
    const BIAS: u64 = 1023;
    let bits = (1.0 + x).to_bits() - ROOT + (BIAS << 52);
    let exponent = f64::from_bits((bits >> 52) | WHOLE) - (f64::from_bits(WHOLE) + BIAS as f64);
    let mantissa = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) + ROOT);
    let above = if exponent == 0.0 { x } else { mantissa - 1.0 };
    let ratio = above / (above + 2.0);
    let square = ratio * ratio;
    let mut sum = 1.0 / 13.0;
    for denominator in [11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
        sum = sum * square + 1.0 / denominator;
    }
    2.0 * ratio * sum + exponent * std::f64::consts::LN_2
}

/// The scalar product, summed in sixteen lanes.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; 16];
    let (a_lanes, b_lanes) = (a.chunks_exact(16), b.chunks_exact(16));
    let mut sum = a_lanes.remainder().iter().zip(b_lanes.remainder()).map(|(x, y)| x * y).sum::<f32>();
    for (x, y) in a_lanes.zip(b_lanes) {
        for lane in 0..16 {
            lanes[lane] += x[lane] * y[lane];
        }
    }
    for half in [8, 4, 2, 1] {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
    }
    sum += lanes[0];
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_agrees_with_the_library_to_a_few_units_in_the_last_place() {
        let worst = (-8000..8000).map(|i| i as f32 * 0.01).map(|x| (exp(x) / x.exp() - 1.0).abs()).fold(0.0, f32::max);
        assert!(worst < 4.0 * f32::EPSILON, "{worst}");
        assert!(exp(-1000.0) > 0.0 && exp(1000.0).is_finite());
    }

    #[test]
    fn ln_1p_agrees_with_the_library_from_the_smallest_numbers_on() {
        for i in -600..300 {
            let x = (0.1 * i as f32).exp2();
            assert!((ln_1p(x) / x.ln_1p() - 1.0).abs() < 1e-6, "{x}: {} {}", ln_1p(x), x.ln_1p());
        }
        assert_eq!(ln_1p(0.0), 0.0);
    }

    #[test]
    fn ln_1p_in_double_precision_agrees_with_the_library() {
        for i in -600..1200 {
            let x = (0.1 * f64::from(i)).exp2();
            assert!((ln_1p_double(x) / x.ln_1p() - 1.0).abs() < 1e-11, "{x}: {} {}", ln_1p_double(x), x.ln_1p());
        }
        assert_eq!(ln_1p_double(0.0), 0.0);
    }

    #[test]
    fn dot_sums_lanes_and_the_rest() {
        let a: Vec<f32> = (0..37).map(|i| i as f32).collect();
        assert_eq!(dot(&a, &a), (0..37).map(|i| (i * i) as f32).sum::<f32>());
    }
}
