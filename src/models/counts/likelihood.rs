//! How likely counts are under what a network says of them.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::cells::Batch;
use super::composed::composed_loss;
use super::kernel::CountLoss;
use crate::Result;
use crate::language::kernels::is_fused;

/// The law of a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CountLikelihood {
    /// Negative binomial.
    #[default]
    Nb,
    /// Negative binomial with more zeros.
    Zinb,
}

/// What a network says of the counts of some cells.
pub struct Outputs {
    /// Logarithms of the shares of genes, up to a constant for each cell, and one more where library sizes count other genes
    /// too: (n_cells, n_genes) or (n_cells, n_genes + 1).
    pub logits: Tensor,
    /// ln θ: (n_genes).
    pub log_inverse_dispersion: Tensor,
    /// Log odds of a zero beside those of the negative binomial, where there are such: (n_cells, n_genes).
    pub dropout: Option<Tensor>,
}

/// The mean of −ln p(count) over cells and genes: a scalar. `factor` multiplies the library sizes.
///
/// With μ = factor ℓ softmax(logits), NB: ln p(x) = ln Γ(x + θ) − ln Γ(θ) − ln x! + θ ln(θ / (θ + μ)) + x ln(μ / (θ + μ)).
/// ZINB: p(x) = π [x = 0] + (1 − π) NB(x), π = sigmoid(dropout) (scvi-tools' `NegativeBinomial` and
/// `ZeroInflatedNegativeBinomial`).
///
/// # Errors
/// [`crate::Error::Backend`] if the shapes do not fit.
pub fn negative_log_likelihood(outputs: &Outputs, batch: &Batch<'_>, factor: f32) -> Result<Tensor> {
    if !is_fused(&outputs.logits) {
        return composed_loss(outputs, batch, factor);
    }
    let (logits, size) = (outputs.logits.contiguous()?, &outputs.log_inverse_dispersion);
    let loss = CountLoss::new(batch.observed(), factor);
    Ok(match &outputs.dropout {
        None => logits.apply_op2(size, loss)?,
        Some(dropout) => logits.apply_op3(size, &dropout.contiguous()?, loss)?,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use candle_core::{Device, Var};
    use serde_json::Value;

    use super::super::cells::CountCells;
    use super::super::codes::Codes;
    use super::super::told::Told;
    use super::*;
    use crate::cells::SparseMatrix;
    use crate::conditions::Condition;
    use crate::language::gradients::Gradients;
    use crate::language::kernels::values;

    fn cells(rows: &[Vec<f32>], sizes: &[f64]) -> CountCells {
        let sparse = |row: &Vec<f32>| row.iter().enumerate().map(|(gene, count)| (gene as u32, *count)).collect();
        let counts = Arc::new(SparseMatrix::from_rows(rows[0].len(), rows.iter().map(sparse)));
        let conditions = vec![Condition::parse("A", "control").unwrap(); rows.len()];
        let told = Told { codes: Codes::fit(&conditions), guide: None };
        CountCells::new(counts, sizes, &conditions, &told).unwrap()
    }

    #[test]
    fn likelihoods_are_those_of_scvi_tools() {
        let golden: Value = serde_json::from_str(include_str!("../../../tests/golden/scvi.json")).unwrap();
        let golden = &golden["likelihood"];
        let numbers = |value: &Value| -> Vec<f64> {
            value.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
        };
        let sizes: Vec<f32> = numbers(&golden["inverse_dispersions"]).iter().map(|size| size.ln() as f32).collect();
        for cell in 0..2 {
            let means = numbers(&golden["means"][cell]);
            let row = |name: &str| numbers(&golden[name][cell]).iter().map(|value| *value as f32).collect::<Vec<f32>>();
            // Half of the mean is the library's, half the factor's.
            let cells = cells(&[row("counts")], &[0.5 * means.iter().sum::<f64>()]);
            let logits: Vec<f32> = means.iter().map(|mean| mean.ln() as f32 + 3.0).collect();
            let matrix = |values: Vec<f32>| Tensor::from_vec(values, (1, 5), &Device::Cpu).unwrap();
            for (name, dropout) in [("nb", None), ("zinb", Some(matrix(row("dropout"))))] {
                let log_inverse_dispersion = Tensor::from_vec(sizes.clone(), 5, &Device::Cpu).unwrap();
                let outputs = Outputs { logits: matrix(logits.clone()), log_inverse_dispersion, dropout };
                let batch = cells.batch(vec![0]);
                let expected = numbers(&golden[name])[cell];
                for (loss, tolerated) in [
                    (negative_log_likelihood(&outputs, &batch, 2.0).unwrap(), 2e-5),
                    (composed_loss(&outputs, &batch, 2.0).unwrap(), 2e-4),
                ] {
                    let got = -5.0 * f64::from(loss.to_scalar::<f32>().unwrap());
                    assert!((got / expected - 1.0).abs() < tolerated, "{name} of cell {cell}: {got} {expected}");
                }
            }
        }
    }

    /// Eleven cells of 37 genes, so that blocks are not full, with and without a share for the rest.
    #[test]
    fn the_kernel_agrees_with_its_composition_forward_and_backward() {
        let wave = |i: usize, by: f32| (i as f32 * by).sin();
        let count = |i: usize| if i.is_multiple_of(3) { (10.0 * wave(i, 0.37).powi(2)).floor() } else { 0.0 };
        let rows: Vec<Vec<f32>> = (0..11)
            .map(|cell| (0..37).map(|gene| count(cell * 37 + gene) * if gene == 5 { 20.0 } else { 1.0 }).collect())
            .collect();
        let sizes: Vec<f64> = rows.iter().map(|row| 1.5 * f64::from(row.iter().sum::<f32>()).max(1.0)).collect();
        let cells = cells(&rows, &sizes);
        let batch = cells.batch((0..11).rev().collect());
        let var = |shape: &[usize], by: f32| {
            let values: Vec<f32> = (0..shape.iter().product()).map(|i| 2.0 * wave(i, by)).collect();
            Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu).unwrap()).unwrap()
        };
        for n_logits in [37, 38] {
            let (logits, sizes, dropout) = (var(&[11, n_logits], 0.7), var(&[37], 1.3), var(&[11, 37], 0.9));
            for is_inflated in [false, true] {
                let outputs = Outputs {
                    logits: logits.as_tensor().clone(),
                    log_inverse_dispersion: sizes.as_tensor().clone(),
                    dropout: is_inflated.then(|| dropout.as_tensor().clone()),
                };
                let fused = negative_log_likelihood(&outputs, &batch, 0.8).unwrap();
                let composed = composed_loss(&outputs, &batch, 0.8).unwrap();
                let (a, b) = (fused.to_scalar::<f32>().unwrap(), composed.to_scalar::<f32>().unwrap());
                assert!((a - b).abs() < 1e-4 * b.abs(), "{a} {b}");
                let fused = Gradients::of(&(fused * 2.0).unwrap()).unwrap();
                let composed = (composed * 2.0).unwrap().backward().unwrap();
                let mut vars = vec![&logits, &sizes];
                vars.extend(is_inflated.then_some(&dropout));
                for var in vars {
                    let (a, b) = (fused.get(var).unwrap(), values(composed.get(var).unwrap()).unwrap());
                    let size = b.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
                    assert!(size > 0.0);
                    a.iter().zip(&b).for_each(|(a, b)| assert!((a - b).abs() < 1e-3 * size, "{a} {b} of {size}"));
                }
            }
        }
    }
}
