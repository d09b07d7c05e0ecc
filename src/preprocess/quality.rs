//! Quality of cells and genes: what is measured of each, and which ones pass fixed limits.

use std::collections::BTreeMap;

use crate::cells::SparseMatrix;
use crate::{Error, Result};

/// The limits; they are the user's, never estimated from the data.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// A cell has at least this many genes with counts.
    pub min_genes: usize,
    /// A cell has at most this many genes with counts.
    pub max_genes: Option<usize>,
    /// A cell has at least this many counts.
    pub min_counts: Option<f64>,
    /// At most this percentage of a cell's counts is mitochondrial.
    pub max_percent_mitochondrial: Option<f64>,
    /// A gene has counts in at least this many training cells.
    pub min_cells: usize,
}

/// What is measured of each cell, over all genes of the file. **Shapes** (n_cells) each.
#[derive(Debug, Clone, PartialEq)]
pub struct Quality {
    /// The sum of counts.
    pub total_counts: Vec<f64>,
    /// The number of genes with counts.
    pub n_genes: Vec<usize>,
    /// The percentage of counts in mitochondrial genes; 0 where there are no counts.
    pub percent_mitochondrial: Vec<f64>,
    /// How many genes of the file are mitochondrial.
    pub n_mitochondrial_genes: usize,
}

impl Quality {
    /// Measures each cell; mitochondrial genes are those whose name starts with `prefix`.
    ///
    /// **Shapes** `counts`: (n_cells, n_genes); `genes`: (n_genes)
    pub fn measure(counts: &SparseMatrix, genes: &[String], prefix: &str) -> Self {
        let is_mitochondrial: Vec<bool> = genes.iter().map(|gene| gene.starts_with(prefix)).collect();
        let total_counts = counts.row_sums();
        let n_genes = (0..counts.n_rows()).map(|row| counts.row(row).1.iter().filter(|&&count| count > 0.0).count());
        let percent_mitochondrial = (0..counts.n_rows()).map(|row| {
            let (columns, values) = counts.row(row);
            let chosen = columns.iter().zip(values).filter(|&(&column, _)| is_mitochondrial[column as usize]);
            let sum: f64 = chosen.map(|(_, &count)| f64::from(count)).sum();
            if sum > 0.0 { 100.0 * sum / total_counts[row] } else { 0.0 }
        });
        Self {
            n_genes: n_genes.collect(),
            percent_mitochondrial: percent_mitochondrial.collect(),
            n_mitochondrial_genes: is_mitochondrial.iter().filter(|&&is| is).count(),
            total_counts,
        }
    }

    /// The cells within the limits, and how many the first limit that they miss removes: reason → number.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] if a limit on mitochondrial counts is set but no gene is mitochondrial;
    /// [`Error::TooFew`] if no cell is left.
    pub fn passing_cells(&self, limits: &Limits, prefix: &str) -> Result<(Vec<usize>, BTreeMap<String, usize>)> {
        if let (Some(limit), 0) = (limits.max_percent_mitochondrial, self.n_mitochondrial_genes) {
            return Err(Error::InvalidParameter {
                name: "max_percent_mitochondrial".into(),
                value: limit.to_string(),
                reason: format!("no gene name starts with `{prefix}`; set --mitochondrial-prefix (mouse: mt-)"),
            });
        }
        let (mut kept, mut removed) = (Vec::new(), BTreeMap::new());
        for row in 0..self.total_counts.len() {
            match self.reason(row, limits) {
                None => kept.push(row),
                Some(reason) => *removed.entry(format!("cells with {reason}")).or_default() += 1,
            }
        }
        if kept.is_empty() {
            return Err(nothing_left("cells", &removed));
        }
        Ok((kept, removed))
    }

    /// Keeps the given cells, in the given order.
    pub fn select(&self, rows: &[usize]) -> Self {
        Self {
            total_counts: rows.iter().map(|&row| self.total_counts[row]).collect(),
            n_genes: rows.iter().map(|&row| self.n_genes[row]).collect(),
            percent_mitochondrial: rows.iter().map(|&row| self.percent_mitochondrial[row]).collect(),
            n_mitochondrial_genes: self.n_mitochondrial_genes,
        }
    }

    fn reason(&self, row: usize, limits: &Limits) -> Option<String> {
        let Limits { min_genes, max_genes, min_counts, max_percent_mitochondrial, .. } = limits;
        if self.n_genes[row] < *min_genes {
            return Some(format!("fewer than {min_genes} genes"));
        }
        if let Some(limit) = max_genes.filter(|&limit| self.n_genes[row] > limit) {
            return Some(format!("more than {limit} genes"));
        }
        if let Some(limit) = min_counts.filter(|&limit| self.total_counts[row] < limit) {
            return Some(format!("fewer than {limit} counts"));
        }
        let limit = max_percent_mitochondrial.filter(|&limit| self.percent_mitochondrial[row] > limit)?;
        Some(format!("more than {limit} % mitochondrial counts"))
    }
}

/// The genes with counts in at least `limits.min_cells` of the training cells, and what was removed: reason → number.
///
/// # Errors
/// [`Error::TooFew`] if no gene is left.
pub fn passing_genes(
    counts: &SparseMatrix,
    training: &[usize],
    limits: &Limits,
) -> Result<(Vec<usize>, BTreeMap<String, usize>)> {
    let mut n_cells = vec![0_usize; counts.n_columns()];
    for &row in training {
        let (columns, values) = counts.row(row);
        for (&column, _) in columns.iter().zip(values).filter(|&(_, &count)| count > 0.0) {
            n_cells[column as usize] += 1;
        }
    }
    let kept: Vec<usize> = (0..n_cells.len()).filter(|&gene| n_cells[gene] >= limits.min_cells).collect();
    let mut removed = BTreeMap::new();
    if kept.len() < n_cells.len() {
        let reason = format!("genes with counts in fewer than {} training cells", limits.min_cells);
        removed.insert(reason, n_cells.len() - kept.len());
    }
    if kept.is_empty() {
        return Err(nothing_left("genes", &removed));
    }
    Ok((kept, removed))
}

fn nothing_left(what: &str, removed: &BTreeMap<String, usize>) -> Error {
    let reasons: Vec<String> = removed.iter().map(|(reason, n)| format!("{n} {reason}")).collect();
    let removed = if reasons.is_empty() { "the file has none".to_owned() } else { reasons.join(", ") };
    Error::TooFew {
        what: format!("{what} left by the quality filters"),
        needed: 1,
        got: 0,
        hint: format!("relax the limits; removed: {removed}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { min_genes: 1, max_genes: None, min_counts: None, max_percent_mitochondrial: None, min_cells: 2 };

    fn counts() -> SparseMatrix {
        let row = |values: [f32; 3]| (0..3).map(|gene| (gene as u32, values[gene])).collect();
        SparseMatrix::from_rows(3, [[1.0, 3.0, 0.0], [0.0; 3], [8.0, 1.0, 1.0], [0.0, 0.0, 2.0]].map(row))
    }

    fn quality() -> Quality {
        Quality::measure(&counts(), &["A", "MT-B", "C"].map(str::to_owned), "MT-")
    }

    #[test]
    fn each_cell_is_measured_over_all_genes() {
        let quality = quality();
        assert_eq!(quality.total_counts, [4.0, 0.0, 10.0, 2.0]);
        assert_eq!(quality.n_genes, [2, 0, 3, 1]);
        assert_eq!(quality.percent_mitochondrial, [75.0, 0.0, 10.0, 0.0]);
        assert_eq!(quality.select(&[2]).total_counts, [10.0]);
    }

    #[test]
    fn every_removed_cell_has_one_reason() {
        let limits = Limits { max_genes: Some(2), max_percent_mitochondrial: Some(50.0), ..LIMITS };
        let (kept, removed) = quality().passing_cells(&limits, "MT-").unwrap();
        assert_eq!(kept, [3]);
        assert_eq!(removed["cells with fewer than 1 genes"], 1);
        assert_eq!(removed["cells with more than 2 genes"], 1);
        assert_eq!(removed["cells with more than 50 % mitochondrial counts"], 1);
    }

    #[test]
    fn genes_are_counted_on_training_cells_only() {
        let (kept, removed) = passing_genes(&counts(), &[0, 2], &LIMITS).unwrap();
        assert_eq!(kept, [0, 1]);
        assert_eq!(removed["genes with counts in fewer than 2 training cells"], 1);
    }

    #[test]
    fn limits_that_leave_nothing_or_mean_nothing_are_refused() {
        let error = quality().passing_cells(&Limits { min_genes: 9, ..LIMITS }, "MT-").unwrap_err();
        assert!(error.hint().unwrap().contains("4 cells with fewer than 9 genes"), "{error:?}");
        assert!(passing_genes(&counts(), &[0], &Limits { min_cells: 2, ..LIMITS }).is_err());
        let quality = Quality::measure(&counts(), &["A", "B", "C"].map(str::to_owned), "mt-");
        let limits = Limits { max_percent_mitochondrial: Some(5.0), ..LIMITS };
        assert!(quality.passing_cells(&limits, "mt-").unwrap_err().to_string().contains("`mt-`"));
    }
}
