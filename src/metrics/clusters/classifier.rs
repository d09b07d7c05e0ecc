//! A small classifier that names the cluster of a cell.

use candle_core::{D, DType, Device, Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW};
use ndarray::{Array1, Array2, ArrayView2, Axis};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::agreement::adjusted_rand_index;
use crate::{Error, Result};

const N_HIDDEN: usize = 64;
const N_EPOCHS: usize = 40;
const BATCH: usize = 128;
/// One cell in this many is kept out of the fit, to measure the accuracy.
const ONE_HELD_OUT_IN: usize = 5;

/// A perceptron with one hidden layer, softmax(W₂ relu(W₁ x + b₁) + b₂), fitted by AdamW to the cross entropy.
#[derive(Debug, Clone)]
pub struct Classifier {
    mean: Array1<f32>,
    scale: Array1<f32>,
    weights: [Var; 4],
    /// Number of labels.
    pub n_labels: usize,
    /// Share of right answers on the fifth of the cells that the fit did not see.
    pub held_out_accuracy: f64,
    /// Adjusted Rand index of the answers and the labels of those cells.
    pub held_out_rand_index: f64,
}

impl Classifier {
    /// Fits the classifier, on one CPU thread's worth of work.
    ///
    /// **Shapes** `points`: (n_cells, n_dims); `labels`: (n_cells).
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`]; [`Error::TooFew`] with fewer than ten cells.
    pub fn fit(points: ArrayView2<f32>, labels: &[usize], seed: u64) -> Result<Self> {
        let (n, n_dims) = points.dim();
        if n != labels.len() {
            return Err(Error::ShapeMismatch {
                what: "labels".into(),
                expected: format!("{n} cells"),
                got: format!("{}", labels.len()),
            });
        }
        if n < 10 {
            return Err(Error::TooFew {
                what: "real cells for a classifier".into(),
                needed: 10,
                got: n,
                hint: "evaluate with more real cells".into(),
            });
        }
        let n_labels = labels.iter().max().map_or(0, |&label| label + 1);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut order: Vec<usize> = (0..n).collect();
        order.shuffle(&mut rng);
        let held_out = order.split_off(n - n / ONE_HELD_OUT_IN);
        let fitted = points.select(Axis(0), &order);
        let mean = fitted.mean_axis(Axis(0)).unwrap_or_default();
        let scale = fitted.std_axis(Axis(0), 0.0).mapv(|deviation| if deviation > 0.0 { deviation } else { 1.0 });
        let mut draw = |n_in: usize, n_out: usize| -> Result<Var> {
            // Uniform with variance 2 / n_in (He et al. 2015), drawn here because the tensor library's own draws on the
            // CPU cannot be seeded.
            let bound = (6.0 / n_in as f32).sqrt();
            let values: Vec<f32> = (0..n_in * n_out).map(|_| rng.random_range(-bound..bound)).collect();
            Ok(Var::from_tensor(&Tensor::from_vec(values, (n_in, n_out), &Device::Cpu)?)?)
        };
        let zeros = |n: usize| Var::zeros(n, DType::F32, &Device::Cpu);
        let weights = [draw(n_dims, N_HIDDEN)?, zeros(N_HIDDEN)?, draw(N_HIDDEN, n_labels)?, zeros(n_labels)?];
        let mut classifier = Self { mean, scale, weights, n_labels, held_out_accuracy: 0.0, held_out_rand_index: 0.0 };
        let settings = ParamsAdamW { lr: 5e-3, weight_decay: 1e-3, ..ParamsAdamW::default() };
        let mut optimizer = AdamW::new(classifier.weights.to_vec(), settings)?;
        for epoch in 0..N_EPOCHS {
            optimizer.set_learning_rate(5e-3 * (1.0 - epoch as f64 / N_EPOCHS as f64));
            order.shuffle(&mut rng);
            for batch in order.chunks(BATCH) {
                let targets: Vec<u32> = batch.iter().map(|&row| labels[row] as u32).collect();
                let targets = Tensor::from_vec(targets, batch.len(), &Device::Cpu)?;
                let logits = classifier.logits(&points.select(Axis(0), batch))?;
                optimizer.backward_step(&candle_nn::loss::cross_entropy(&logits, &targets)?)?;
            }
        }
        let answers = classifier.predict(points.select(Axis(0), &held_out).view())?;
        let right = held_out.iter().zip(&answers).filter(|&(&row, &answer)| labels[row] == answer).count();
        classifier.held_out_accuracy = right as f64 / held_out.len() as f64;
        let known: Vec<usize> = held_out.iter().map(|&row| labels[row]).collect();
        classifier.held_out_rand_index = adjusted_rand_index(&known, &answers)?;
        Ok(classifier)
    }

    /// The most likely label of each cell: (n_cells).
    ///
    /// # Errors
    /// [`Error::Backend`] if the dimensions differ from those of the fit.
    pub fn predict(&self, points: ArrayView2<f32>) -> Result<Vec<usize>> {
        if points.nrows() == 0 {
            return Ok(Vec::new());
        }
        let answers = self.logits(&points.to_owned())?.argmax(D::Minus1)?.to_vec1::<u32>()?;
        Ok(answers.into_iter().map(|answer| answer as usize).collect())
    }

    /// The probability of each label: (n_cells, n_labels).
    ///
    /// # Errors
    /// [`Error::Backend`] if the dimensions differ from those of the fit.
    pub fn probabilities(&self, points: ArrayView2<f32>) -> Result<Array2<f64>> {
        if points.nrows() == 0 {
            return Ok(Array2::zeros((0, self.n_labels)));
        }
        let logits = self.logits(&points.to_owned())?.to_vec2::<f32>()?;
        let mut shares = Array2::from_shape_fn((logits.len(), self.n_labels), |(i, j)| f64::from(logits[i][j]));
        for mut row in shares.rows_mut() {
            let greatest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            row.mapv_inplace(|logit| (logit - greatest).exp());
            let sum = row.sum();
            row /= sum;
        }
        Ok(shares)
    }

    fn logits(&self, points: &Array2<f32>) -> Result<Tensor> {
        let scaled = (points - &self.mean) / &self.scale;
        let shape = scaled.dim();
        let points = Tensor::from_vec(scaled.iter().copied().collect::<Vec<f32>>(), shape, &Device::Cpu)?;
        let [first, first_bias, second, second_bias] = &self.weights;
        let hidden = points.matmul(first)?.broadcast_add(first_bias)?.relu()?;
        Ok(hidden.matmul(second)?.broadcast_add(second_bias)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separate_groups_are_told_apart_and_the_seed_decides_everything() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let labels: Vec<usize> = (0..300).map(|row| row % 3).collect();
        let points = Array2::from_shape_fn((300, 4), |(row, column)| {
            rng.random_range(-1.0..1.0) + if row % 3 == column { 5.0 } else { 0.0_f32 }
        });
        let classifier = Classifier::fit(points.view(), &labels, 7).unwrap();
        assert!(classifier.held_out_accuracy > 0.99 && classifier.held_out_rand_index > 0.97);
        let shares = classifier.probabilities(points.view()).unwrap();
        assert!(shares.indexed_iter().all(|((row, label), &p)| (p > 0.5) == (labels[row] == label)));
        assert_eq!(classifier.predict(points.view()).unwrap(), labels);
        let again = Classifier::fit(points.view(), &labels, 7).unwrap();
        let logits = |c: &Classifier| c.logits(&points).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(logits(&classifier), logits(&again));
    }
}
