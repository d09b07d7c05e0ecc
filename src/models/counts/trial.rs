//! What the tests of methods on counts share: a small screen, and what any of them must do with it.

use ndarray::Array2;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Gamma, Poisson};

use crate::Result;
use crate::cells::SparseMatrix;
use crate::conditions::Condition;
use crate::embedding::pca::Pca;
use crate::models::method::{Asked, Draws, FittedMethod, Made};
use crate::models::training_data::{TrainingCounts, TrainingData};
use crate::models::trial::condition;

const N_GENES: usize = 20;
const N_EACH: usize = 60;
const SIZE: f64 = 4.0;
/// Everything but A+B in y.
const CONDITIONS: [&str; 7] =
    ["control | t=x", "control | t=y", "A | t=x", "A | t=y", "B | t=x", "B | t=y", "A+B | t=x"];

/// The share of each gene in a condition: A raises the first genes, B the next, y the next.
fn shares(condition: &Condition) -> Vec<f64> {
    let has = |name: &str| condition.perturbation.parts().any(|part| part.name == name);
    let effects = [(has("A"), 0..3, 4.0), (has("B"), 3..6, 4.0), (condition.covariates["t"] == "y", 6..9, 3.0)];
    let mut shares: Vec<f64> = (0..N_GENES).map(|gene| 1.0 + 0.5 * (gene as f64).sin()).collect();
    for (_, genes, factor) in effects.into_iter().filter(|(is_there, _, _)| *is_there) {
        shares[genes].iter_mut().for_each(|share| *share *= factor);
    }
    let sum: f64 = shares.iter().sum();
    shares.iter().map(|share| share / sum).collect()
}

struct Counts {
    counts: SparseMatrix,
    libraries: Vec<f64>,
}

impl TrainingCounts for Counts {
    fn library_sizes(&self) -> &[f64] {
        &self.libraries
    }

    fn rows(&self, cells: &[usize]) -> Result<SparseMatrix> {
        Ok(self.counts.select_rows(cells))
    }
}

fn screen() -> (Counts, Vec<Condition>) {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let conditions: Vec<Condition> = CONDITIONS.iter().flat_map(|label| vec![condition(label); N_EACH]).collect();
    let mut cell = |(row, condition): (usize, &Condition)| {
        let library = 100.0 + (row % 7) as f64 * 30.0;
        let gene = |(gene, share): (usize, f64)| {
            let wobble: f64 = Gamma::new(SIZE, 1.0 / SIZE).unwrap().sample(&mut rng);
            (gene as u32, Poisson::new(library * share * wobble).unwrap().sample(&mut rng) as f32)
        };
        shares(condition).into_iter().enumerate().map(gene).collect::<Vec<_>>()
    };
    let rows: Vec<_> = conditions.iter().enumerate().map(&mut cell).collect();
    let counts = SparseMatrix::from_rows(N_GENES, rows);
    (Counts { libraries: counts.row_sums(), counts }, conditions)
}

/// Calls `work` with the training cells of the small screen.
pub(in crate::models) fn with_data<T>(work: impl FnOnce(&TrainingData) -> T) -> T {
    let (counts, conditions) = screen();
    // Two directions tell the drugs' effects, one the covariate's.
    let embedding = Array2::from_shape_fn((conditions.len(), 3), |(row, direction)| {
        let (genes, values) = counts.counts.row(row);
        let of = genes.iter().zip(values).filter(|(gene, _)| **gene as usize / 3 == direction);
        of.map(|(_, count)| (1.0 + 1e4 * count / counts.libraries[row] as f32).ln()).sum::<f32>()
    });
    let loadings = Array2::from_shape_fn((N_GENES, 3), |(gene, direction)| f32::from(u8::from(gene / 3 == direction)));
    let pca = Pca { mean: vec![0.0; N_GENES], loadings, variance: vec![1.0; 3], variance_ratio: vec![0.3; 3] };
    // A is a gene, B is none.
    let genes: Vec<String> = (0..N_GENES).map(|gene| if gene == 1 { "A".into() } else { format!("g{gene}") }).collect();
    work(&TrainingData {
        embedding: embedding.view(),
        conditions: &conditions,
        counts: &counts,
        genes: &genes,
        pca: &pca,
        target_sum: 1e4,
    })
}

/// Counts of cells with 200 counts each, in t=y.
pub(in crate::models) fn counts(
    model: &dyn FittedMethod,
    perturbation: &str,
    n_cells: usize,
    seed: u64,
    draws: Draws,
) -> Result<SparseMatrix> {
    let condition = condition(&format!("{perturbation} | t=y"));
    let sizes = vec![200.0; n_cells];
    match model.make(&Asked { condition: &condition, n_cells, library_sizes: &sizes, draws, seed })? {
        Made::Counts { counts, library_sizes } => {
            assert_eq!(library_sizes, sizes);
            Ok(counts)
        }
        Made::Components(_) => panic!("`{}` makes counts", model.name()),
    }
}

/// Conditions, measured or not, have the means of their law and its scatter; a seed gives the same cells.
pub(in crate::models) fn check_cells(model: &dyn FittedMethod) {
    const N: usize = 1000;
    for perturbation in ["control", "A", "A+B"] {
        let draw = |seed: u64| counts(model, perturbation, N, seed, Draws::default()).unwrap();
        let made = draw(1);
        assert!(made == draw(1) && made != draw(2));
        let expected = shares(&condition(&format!("{perturbation} | t=y")));
        let dense = made.to_dense();
        let (mut means, mut ratios) = (0.0, 0.0);
        for (gene, share) in expected.iter().enumerate() {
            let column = dense.column(gene).mapv(f64::from);
            let (mean, variance) = (column.mean().unwrap(), column.var(1.0));
            means += (mean / (200.0 * share)).ln().abs() / N_GENES as f64;
            ratios += variance / (mean + mean * mean / SIZE) / N_GENES as f64;
        }
        // A network of a few hundred steps on 420 cells; a condition with the wrong effect is off by 0.2 and more.
        assert!(means < 0.12, "{} {perturbation}: means are off by {means}", model.name());
        assert!((ratios - 1.0).abs() < 0.3, "{} {perturbation}: variances by {ratios}", model.name());
    }
}

/// What only flows have is refused with the names of the choice and the method.
pub(in crate::models) fn check_refusals(model: &dyn FittedMethod) {
    let flows = [
        ("guidance", Draws { guidance: 1.5, ..Draws::default() }),
        ("anchor", Draws { anchor: Some(0.5), ..Draws::default() }),
        ("solver", Draws { solver: Some(crate::flow::Solver::default()), ..Draws::default() }),
    ];
    for (name, draws) in flows {
        let error = counts(model, "A", 5, 0, draws).unwrap_err();
        assert!(error.is_mistake(), "{error}");
        assert!(error.to_string().contains(name) && error.to_string().contains(model.name()), "{error}");
    }
    assert!(counts(model, "A", 5, 0, Draws { anchor: Some(0.0), ..Draws::default() }).is_ok());
}
