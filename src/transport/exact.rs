//! Exact optimal transport between clouds of equal size: an assignment.

use ndarray::Array2;

use crate::{Error, Result};

/// Finds the one-to-one assignment of rows to columns of least total cost: the column of each row.
///
/// With equal sizes and uniform weights the optimal plan is a permutation (Birkhoff); it is found with the algorithm of
/// Jonker & Volgenant 1987, Computing 38:325, in memory of the costs and a few rows.
///
/// **Shapes** `costs`: (n, n), finite.
///
/// # Errors
/// [`Error::ShapeMismatch`] if the matrix is not square; [`Error::BadValues`] if a cost is not finite.
pub fn assignment(costs: &Array2<f64>) -> Result<Vec<usize>> {
    super::check(costs.view(), "costs of an assignment")?;
    // The solver cannot take fewer than two rows.
    if costs.nrows() < 2 {
        return Ok((0..costs.nrows()).collect());
    }
    let (columns, _) =
        lapjv::lapjv(costs).map_err(|source| Error::backend("optimal assignment", source.to_string()))?;
    Ok(columns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn the_cheapest_assignment_is_found_though_no_row_takes_its_cheapest_column() {
        let costs = array![[1.0, 2.0, 9.0], [1.0, 4.0, 9.0], [2.0, 9.0, 3.0]];
        assert_eq!(assignment(&costs).unwrap(), [1, 0, 2]);
    }

    #[test]
    fn unequal_sizes_and_infinite_costs_are_refused() {
        assert!(assignment(&array![[1.0, 2.0]]).is_err());
        assert!(assignment(&array![[f64::NAN]]).is_err());
    }
}
