//! Sums over cells that come block by block, none of them of the size genes × genes.

use faer::Mat;
use rayon::prelude::*;

use super::chosen::Chosen;
use crate::cells::SparseMatrix;
use crate::numbers::vectorized;

/// Directions that one thread works on; fixed, so that no sum depends on the threads.
const LANES: usize = 16;

/// The values of a block's training cells in chosen genes.
struct Block {
    /// Where each cell starts, and the last one ends.
    starts: Vec<usize>,
    places: Vec<u32>,
    values: Vec<f32>,
}

impl Block {
    fn new(chosen: &Chosen, x: &SparseMatrix, rows: &[usize]) -> Self {
        let mut block = Self { starts: vec![0], places: Vec::new(), values: Vec::new() };
        for &row in rows {
            for (place, value) in chosen.of_cell(x, row) {
                block.places.push(place as u32);
                block.values.push(value);
            }
            block.starts.push(block.places.len());
        }
        block
    }

    fn n_cells(&self) -> usize {
        self.starts.len() - 1
    }

    fn cell(&self, cell: usize) -> (&[u32], &[f32]) {
        let range = self.starts[cell]..self.starts[cell + 1];
        (&self.places[range.clone()], &self.values[range])
    }
}

/// Some directions side by side: a row of lanes for each chosen gene.
struct Lanes {
    rows: Vec<[f32; LANES]>,
    /// −Dᵀμ.
    offset: [f32; LANES],
}

impl Lanes {
    /// All directions in groups of [`LANES`], the last one filled up with zeros.
    fn all(chosen: &Chosen, directions: &Mat<f64>) -> Vec<Self> {
        let group = |first: usize| {
            let mut offset = [0.0_f64; LANES];
            let mut rows = vec![[0.0; LANES]; chosen.len()];
            for k in first..directions.ncols().min(first + LANES) {
                let direction = directions.col_as_slice(k);
                rows.iter_mut().zip(direction).for_each(|(row, &value)| row[k - first] = value as f32);
                offset[k - first] = -chosen.means().zip(direction).map(|(mean, value)| mean * value).sum::<f64>();
            }
            Self { rows, offset: offset.map(|offset| offset as f32) }
        };
        (0..directions.ncols()).step_by(LANES).collect::<Vec<_>>().into_par_iter().map(group).collect()
    }
}

vectorized! {
    /// Dᵀ(x − μ) of a cell.
    fn coordinates(cell: (&[u32], &[f32]), rows: &[[f32; LANES]], offset: &[f32; LANES]) -> [f32; LANES] {
        let mut sums = *offset;
        for (&place, &value) in cell.0.iter().zip(cell.1) {
            let row = &rows[place as usize];
            for lane in 0..LANES {
                sums[lane] += value * row[lane];
            }
        }
        sums
    }
}

vectorized! {
    /// x zᵀ, added in 64 bits.
    fn add_outer(cell: (&[u32], &[f32]), z: &[f32; LANES], sums: &mut [[f64; LANES]]) {
        for (&place, &value) in cell.0.iter().zip(cell.1) {
            let row = &mut sums[place as usize];
            for lane in 0..LANES {
                row[lane] += f64::from(value * z[lane]);
            }
        }
    }
}

/// Σ (x − μ)(x − μ)ᵀ D over training cells for some directions D, apart for `n_parts` parts of the cells: the cell that
/// comes as number i belongs to part i mod `n_parts`.
pub(super) struct Products<'a> {
    chosen: &'a Chosen,
    n_directions: usize,
    n_parts: usize,
    n_cells: usize,
    groups: Vec<Group>,
}

struct Group {
    lanes: Lanes,
    parts: Vec<Sums>,
}

#[derive(Clone)]
struct Sums {
    /// Σ x zᵀ: a row for each chosen gene.
    rows: Vec<[f64; LANES]>,
    /// Σ z.
    z: [f64; LANES],
}

impl<'a> Products<'a> {
    /// **Shapes** `directions`: (n_chosen, n_directions)
    pub(super) fn new(chosen: &'a Chosen, directions: &Mat<f64>, n_parts: usize) -> Self {
        let sums = Sums { rows: vec![[0.0; LANES]; chosen.len()], z: [0.0; LANES] };
        let group = |lanes| Group { lanes, parts: vec![sums.clone(); n_parts] };
        let groups = Lanes::all(chosen, directions).into_iter().map(group).collect();
        Self { chosen, n_directions: directions.ncols(), n_parts, n_cells: 0, groups }
    }

    /// Adds the cells `rows` of a block.
    pub(super) fn add(&mut self, x: &SparseMatrix, rows: &[usize]) {
        let block = Block::new(self.chosen, x, rows);
        let (first, n_parts) = (self.n_cells, self.n_parts);
        self.groups.par_iter_mut().for_each(|Group { lanes, parts }| {
            for cell in 0..block.n_cells() {
                let sums = &mut parts[(first + cell) % n_parts];
                let z = coordinates(block.cell(cell), &lanes.rows, &lanes.offset);
                add_outer(block.cell(cell), &z, &mut sums.rows);
                sums.z.iter_mut().zip(z).for_each(|(sum, z)| *sum += f64::from(z));
            }
        });
        self.n_cells += rows.len();
    }

    /// The sums of each part: (n_chosen, n_directions).
    pub(super) fn finish(self) -> Vec<Mat<f64>> {
        let means: Vec<f64> = self.chosen.means().collect();
        let part = |part: usize| {
            Mat::from_fn(means.len(), self.n_directions, |place, k| {
                let sums = &self.groups[k / LANES].parts[part];
                sums.rows[place][k % LANES] - means[place] * sums.z[k % LANES]
            })
        };
        (0..self.n_parts).map(part).collect()
    }
}

/// Σ z zᵀ, z = Dᵀ(x − μ), over the training cells outside each part, for directions D of each part.
pub(super) struct Grams<'a> {
    chosen: &'a Chosen,
    n_cells: usize,
    parts: Vec<(Vec<Lanes>, Mat<f64>)>,
}

impl<'a> Grams<'a> {
    /// **Shapes** `directions`: (n_chosen, n_directions) of each part
    pub(super) fn new(chosen: &'a Chosen, directions: &[Mat<f64>]) -> Self {
        let part = |directions: &Mat<f64>| {
            (Lanes::all(chosen, directions), Mat::zeros(directions.ncols(), directions.ncols()))
        };
        Self { chosen, n_cells: 0, parts: directions.iter().map(part).collect() }
    }

    /// Adds the cells `rows` of a block.
    pub(super) fn add(&mut self, x: &SparseMatrix, rows: &[usize]) {
        let block = Block::new(self.chosen, x, rows);
        let (first, n_parts) = (self.n_cells, self.parts.len());
        self.parts.par_iter_mut().enumerate().for_each(|(part, (lanes, gram))| {
            let mut z = vec![0.0_f64; lanes.len() * LANES];
            for cell in (0..block.n_cells()).filter(|cell| (first + cell) % n_parts != part) {
                for (z, lanes) in z.chunks_exact_mut(LANES).zip(lanes.iter()) {
                    let some = coordinates(block.cell(cell), &lanes.rows, &lanes.offset);
                    z.iter_mut().zip(some).for_each(|(z, some)| *z = f64::from(some));
                }
                for k in 0..gram.ncols() {
                    let factor = z[k];
                    gram.col_as_slice_mut(k).iter_mut().zip(&z).for_each(|(sum, z)| *sum += factor * z);
                }
            }
        });
        self.n_cells += rows.len();
    }

    /// The sums of each part: (n_directions, n_directions).
    pub(super) fn finish(self) -> Vec<Mat<f64>> {
        self.parts.into_iter().map(|(_, gram)| gram).collect()
    }
}
