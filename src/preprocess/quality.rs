//! Quality of cells and genes: what is measured of each, and which ones pass limits.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::median::median_and_deviation;
use super::mitochondrial::MitochondrialGenes;
use crate::cells::SparseMatrix;
use crate::error::refuse;
use crate::{Error, Result};

/// The limits. Fixed ones are the user's; those by deviations are measured on training cells.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Limits {
    /// A cell has at least this many genes with counts.
    pub min_genes: usize,
    /// A cell has at most this many genes with counts.
    pub max_genes: Option<usize>,
    /// A cell has at least this many counts.
    pub min_counts: Option<f64>,
    /// A cell has at most this many counts.
    pub max_counts: Option<f64>,
    /// At most this percentage of a cell's counts is mitochondrial.
    pub max_percent_mitochondrial: Option<f64>,
    /// A cell's ln(1 + counts) and ln(1 + genes with counts) lie within this many median absolute deviations of the median.
    pub max_deviations: Option<f64>,
    /// A cell's percentage of mitochondrial counts lies at most this many median absolute deviations above the median.
    pub max_deviations_mitochondrial: Option<f64>,
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
}

impl Quality {
    /// No cells yet.
    pub fn new() -> Self {
        Self { total_counts: Vec::new(), n_genes: Vec::new(), percent_mitochondrial: Vec::new() }
    }

    /// Measures the cells of a block and appends them.
    ///
    /// **Shapes** `counts`: (n_rows, n_genes); `is_mitochondrial`: (n_genes)
    pub fn measure(&mut self, counts: &SparseMatrix, is_mitochondrial: &[bool]) {
        let measured: Vec<(f64, usize, f64)> = (0..counts.n_rows())
            .into_par_iter()
            .map(|row| {
                let (genes, values) = counts.row(row);
                let (mut total, mut n_genes, mut mitochondrial) = (0.0, 0, 0.0);
                for (&gene, &count) in genes.iter().zip(values) {
                    let counts = f64::from(count);
                    total += counts;
                    n_genes += usize::from(count > 0.0);
                    mitochondrial += if is_mitochondrial[gene as usize] { counts } else { 0.0 };
                }
                (total, n_genes, if mitochondrial > 0.0 { 100.0 * mitochondrial / total } else { 0.0 })
            })
            .collect();
        for (total, n_genes, percent) in measured {
            self.total_counts.push(total);
            self.n_genes.push(n_genes);
            self.percent_mitochondrial.push(percent);
        }
    }

    /// The cells within the limits, and how many the first limit that they miss removes: reason → number. Medians and
    /// deviations are those of the training cells that pass the fixed limits.
    ///
    /// **Shapes** `is_training`: (n_cells)
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] if a limit on mitochondrial counts is set but no gene is mitochondrial, or if a limit by
    /// deviations is set but half of the cells have the same value; [`Error::TooFew`] if no cell is left.
    pub fn passing_cells(
        &self,
        limits: &Limits,
        is_training: &[bool],
        mitochondrial: &MitochondrialGenes,
    ) -> Result<(Vec<usize>, BTreeMap<String, usize>)> {
        for (name, limit) in [
            ("max_percent_mitochondrial", limits.max_percent_mitochondrial),
            ("max_deviations_mitochondrial", limits.max_deviations_mitochondrial),
        ] {
            limit.map_or(Ok(()), |limit| mitochondrial.needed_by(name, limit))?;
        }
        let (mut passing, mut removed) = (Vec::new(), BTreeMap::new());
        for row in 0..self.total_counts.len() {
            match self.fixed_reason(row, limits) {
                None => passing.push(row),
                Some(reason) => *removed.entry(format!("cells with {reason}")).or_default() += 1,
            }
        }
        if passing.is_empty() {
            return Err(nothing_left("cells", &removed));
        }
        let training: Vec<usize> = passing.iter().copied().filter(|&row| is_training[row]).collect();
        let ranges = self.ranges(limits, &training)?;
        let mut kept = Vec::with_capacity(passing.len());
        for row in passing {
            match ranges.iter().find(|range| !range.holds(self, row)) {
                None => kept.push(row),
                Some(range) => *removed.entry(format!("cells with {}", range.reason)).or_default() += 1,
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
        }
    }

    fn fixed_reason(&self, row: usize, limits: &Limits) -> Option<String> {
        let Limits { min_genes, max_genes, min_counts, max_counts, max_percent_mitochondrial, .. } = limits;
        if self.n_genes[row] < *min_genes {
            return Some(format!("fewer than {min_genes} genes"));
        }
        if let Some(limit) = max_genes.filter(|&limit| self.n_genes[row] > limit) {
            return Some(format!("more than {limit} genes"));
        }
        if let Some(limit) = min_counts.filter(|&limit| self.total_counts[row] < limit) {
            return Some(format!("fewer than {limit} counts"));
        }
        if let Some(limit) = max_counts.filter(|&limit| self.total_counts[row] > limit) {
            return Some(format!("more than {limit} counts"));
        }
        let limit = max_percent_mitochondrial.filter(|&limit| self.percent_mitochondrial[row] > limit)?;
        Some(format!("more than {limit} % mitochondrial counts"))
    }

    /// What lies within so many deviations of the training cells' median.
    fn ranges(&self, limits: &Limits, training: &[usize]) -> Result<Vec<Range>> {
        let asked: [(&str, Option<f64>, Measure, &str, bool); 3] = [
            ("max_deviations", limits.max_deviations, log_counts, "ln(1 + counts)", true),
            ("max_deviations", limits.max_deviations, log_genes, "ln(1 + genes)", true),
            (
                "max_deviations_mitochondrial",
                limits.max_deviations_mitochondrial,
                percent,
                "percentage of mitochondrial counts",
                false,
            ),
        ];
        let mut ranges = Vec::new();
        for (name, most, of, what, both_sides) in asked {
            let Some(most) = most else { continue };
            let values: Vec<f64> = training.iter().map(|&row| of(self, row)).collect();
            if values.is_empty() {
                return refuse(name, most, "no training cell passes the fixed limits");
            }
            let (median, deviation) = median_and_deviation(&values);
            if deviation == 0.0 {
                let reason = format!(
                    "half of the training cells or more have the same {what}, {median}, so nothing can be measured in \
                     deviations; set a fixed limit instead"
                );
                return refuse(name, most, &reason);
            }
            let side = if both_sides { "from" } else { "above" };
            let low = if both_sides { median - most * deviation } else { f64::NEG_INFINITY };
            let reason = format!("{what} more than {most} deviations {side} the median");
            ranges.push(Range { of, low, high: median + most * deviation, reason });
        }
        Ok(ranges)
    }
}

impl Default for Quality {
    fn default() -> Self {
        Self::new()
    }
}

type Measure = fn(&Quality, usize) -> f64;

fn log_counts(quality: &Quality, row: usize) -> f64 {
    quality.total_counts[row].ln_1p()
}

fn log_genes(quality: &Quality, row: usize) -> f64 {
    (quality.n_genes[row] as f64).ln_1p()
}

fn percent(quality: &Quality, row: usize) -> f64 {
    quality.percent_mitochondrial[row]
}

/// A range of one measure.
struct Range {
    of: Measure,
    low: f64,
    high: f64,
    /// Why cells outside are removed.
    reason: String,
}

impl Range {
    fn holds(&self, quality: &Quality, row: usize) -> bool {
        (self.low..=self.high).contains(&(self.of)(quality, row))
    }
}

/// The genes with counts in at least `limits.min_cells` of the training cells, and what was removed: reason → number.
///
/// **Shapes** `n_expressing`: (n_genes), of training cells
///
/// # Errors
/// [`Error::TooFew`] if no gene is left.
pub fn passing_genes(n_expressing: &[usize], limits: &Limits) -> Result<(Vec<usize>, BTreeMap<String, usize>)> {
    let kept: Vec<usize> = (0..n_expressing.len()).filter(|&gene| n_expressing[gene] >= limits.min_cells).collect();
    let mut removed = BTreeMap::new();
    if kept.len() < n_expressing.len() {
        let reason = format!("genes with counts in fewer than {} training cells", limits.min_cells);
        removed.insert(reason, n_expressing.len() - kept.len());
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
    use crate::cells::Annotations;

    fn limits() -> Limits {
        Limits { min_genes: 1, min_cells: 2, ..Limits::default() }
    }

    fn mitochondrial(prefix: &str) -> MitochondrialGenes {
        let var = Annotations::new(["A", "MT-B", "C"].map(str::to_owned).to_vec());
        MitochondrialGenes::by_prefix(&var, &[prefix.to_owned()], None).unwrap()
    }

    fn quality() -> Quality {
        let row = |values: [f32; 3]| (0..3).map(|gene| (gene as u32, values[gene])).collect();
        let mut quality = Quality::new();
        for rows in [vec![[1.0, 3.0, 0.0], [0.0; 3]], vec![[8.0, 1.0, 1.0], [0.0, 0.0, 2.0]]] {
            quality.measure(&SparseMatrix::from_rows(3, rows.into_iter().map(row)), &mitochondrial("MT-").is);
        }
        quality
    }

    fn passing(quality: &Quality, limits: &Limits) -> Result<(Vec<usize>, BTreeMap<String, usize>)> {
        quality.passing_cells(limits, &vec![true; quality.n_genes.len()], &mitochondrial("MT-"))
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
        let both = Limits { max_genes: Some(2), max_percent_mitochondrial: Some(50.0), ..limits() };
        let (kept, removed) = passing(&quality(), &both).unwrap();
        assert_eq!(kept, [3]);
        assert_eq!(removed["cells with fewer than 1 genes"], 1);
        assert_eq!(removed["cells with more than 2 genes"], 1);
        assert_eq!(removed["cells with more than 50 % mitochondrial counts"], 1);
        let (kept, removed) = passing(&quality(), &Limits { max_counts: Some(4.0), ..limits() }).unwrap();
        assert_eq!((kept, removed["cells with more than 4 counts"]), (vec![0, 3], 1));
    }

    #[test]
    fn deviations_are_measured_on_training_cells_that_pass_the_fixed_limits() {
        let cells = |n: usize, counts: f64, percent: f64| (counts, n, percent);
        let mut all: Vec<_> = (0..9).map(|i| cells(100 + i, 1000.0 + 10.0 * i as f64, 1.0 + 0.1 * i as f64)).collect();
        // Held-out cells far off, which must not widen the range; a cell without genes; a training cell far off.
        all.extend([cells(100, 1e6, 1.0), cells(104, 1040.0, 90.0), cells(0, 0.0, 0.0), cells(104, 1.0, 1.4)]);
        let quality = Quality {
            total_counts: all.iter().map(|cell| cell.0).collect(),
            n_genes: all.iter().map(|cell| cell.1).collect(),
            percent_mitochondrial: all.iter().map(|cell| cell.2).collect(),
        };
        let is_training: Vec<bool> = (0..all.len()).map(|row| !(9..11).contains(&row)).collect();
        let limits = Limits { max_deviations: Some(5.0), max_deviations_mitochondrial: Some(3.0), ..limits() };
        let (kept, removed) = quality.passing_cells(&limits, &is_training, &mitochondrial("MT-")).unwrap();
        assert_eq!(kept, (0..9).collect::<Vec<_>>());
        assert_eq!(removed["cells with ln(1 + counts) more than 5 deviations from the median"], 2);
        let reason = "cells with percentage of mitochondrial counts more than 3 deviations above the median";
        assert_eq!((removed[reason], removed.len()), (1, 3));
        // The upper end of the range, by hand: the training cells that pass have the percentages 1.0 to 1.8 and 1.4.
        let ranges = quality.ranges(&limits, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 12]).unwrap();
        assert!((ranges[2].high - (1.4 + 3.0 * 0.2)).abs() < 1e-12 && ranges[2].low == f64::NEG_INFINITY);
        let same = Limits { max_deviations_mitochondrial: Some(3.0), ..Limits::default() };
        let message = passing(&quality_of_equals(), &same).unwrap_err().to_string();
        assert!(message.contains("the same percentage of mitochondrial counts, 0"), "{message}");
    }

    fn quality_of_equals() -> Quality {
        Quality { total_counts: vec![5.0; 3], n_genes: vec![5; 3], percent_mitochondrial: vec![0.0, 0.0, 9.0] }
    }

    #[test]
    fn genes_in_few_training_cells_are_removed() {
        let (kept, removed) = passing_genes(&[2, 2, 1], &limits()).unwrap();
        assert_eq!(kept, [0, 1]);
        assert_eq!(removed["genes with counts in fewer than 2 training cells"], 1);
        assert!(passing_genes(&[1, 1], &limits()).is_err());
    }

    #[test]
    fn limits_that_leave_nothing_or_mean_nothing_are_refused() {
        let error = passing(&quality(), &Limits { min_genes: 9, ..limits() }).unwrap_err();
        assert!(error.hint().unwrap().contains("4 cells with fewer than 9 genes"), "{error:?}");
        let limits = Limits { max_percent_mitochondrial: Some(5.0), ..limits() };
        let error = quality().passing_cells(&limits, &[true; 4], &mitochondrial("mt-")).unwrap_err();
        assert!(error.to_string().contains("`mt-`"), "{error}");
    }
}
