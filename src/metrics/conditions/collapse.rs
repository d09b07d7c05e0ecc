//! Whether generated effects of different conditions are more alike than real ones.

use crate::Result;
use crate::metrics::means::correlation::pearson;

/// The mean Pearson correlation over genes of the generated effect of `own` with those of the other conditions, less the
/// same of real effects: 0 where generated effects are as much alike as real ones, above where a method answers the same
/// to every question.
///
/// **Shapes** `real`, `generated`: P effects of (n_genes).
///
/// # Errors
/// [`crate::Error::BadValues`] if an effect is the same for every gene.
pub fn collapse_index(real: &[Vec<f64>], generated: &[Vec<f64>], own: usize) -> Result<f64> {
    let likeness = |effects: &[Vec<f64>]| -> Result<f64> {
        let mut sum = 0.0;
        for (_, other) in effects.iter().enumerate().filter(|&(place, _)| place != own) {
            sum += pearson(&effects[own], other, "change of mean expression")?;
        }
        Ok(sum / (effects.len() - 1) as f64)
    };
    Ok(likeness(generated)? - likeness(real)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_answer_to_every_question_has_an_index_of_one_less_the_real_likeness() {
        let real = vec![vec![1.0, -1.0, 0.0, 0.0], vec![0.0, 0.0, 1.0, -1.0], vec![1.0, -1.0, 1.0, -1.0]];
        let same = vec![real[0].clone(); 3];
        let real_likeness = (0.0 + 0.5_f64.sqrt()) / 2.0;
        assert!((collapse_index(&real, &same, 0).unwrap() - (1.0 - real_likeness)).abs() < 1e-12);
        assert!(collapse_index(&real, &real, 2).unwrap().abs() < 1e-12);
        assert!(collapse_index(&real, &vec![vec![0.0; 4]; 3], 0).is_err());
    }
}
