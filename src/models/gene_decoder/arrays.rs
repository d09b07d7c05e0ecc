//! The decoder as named arrays, for saving.

use std::collections::BTreeMap;

use ndarray::{Array1, Array2, ArrayD, Ix1, Ix2};

use super::GeneDecoder;
use super::dispersion::Scatter;
use super::library::{LibraryModel, N_PATTERNS};
use crate::{Error, Result};

/// Arrays by name.
type Arrays = BTreeMap<String, ArrayD<f32>>;

impl GeneDecoder {
    /// Everything that was fitted, as named arrays.
    pub fn to_arrays(&self) -> Arrays {
        let scatter = |value: fn(&Scatter) -> f64| -> ArrayD<f32> {
            self.scatter.iter().map(|scatter| value(scatter) as f32).collect::<Array1<f32>>().into_dyn()
        };
        let scalars = Array1::from(vec![self.target_sum, self.largest_total, self.library.median]);
        [
            ("scalars", scalars.into_dyn()),
            ("scale", self.scale.clone().into_dyn()),
            ("weights", self.weights.clone().into_dyn()),
            ("bias", self.bias.clone().into_dyn()),
            ("log_softness", self.log_softness.clone().into_dyn()),
            ("ceiling", self.ceiling.clone().into_dyn()),
            ("floor", self.floor.clone().into_dyn()),
            ("loadings", self.loadings.clone().into_dyn()),
            ("baseline", self.baseline.clone().into_dyn()),
            ("dispersion", scatter(|scatter| scatter.dispersion)),
            ("rounding", scatter(|scatter| scatter.rounding)),
            ("library_centre", self.library.centre.clone().into_dyn()),
            ("library_scale", self.library.scale.clone().into_dyn()),
            ("library_coefficients", self.library.coefficients.clone().into_dyn()),
        ]
        .into_iter()
        .map(|(name, array)| (name.to_owned(), array))
        .collect()
    }

    /// The decoder that [`Self::to_arrays`] took apart.
    ///
    /// # Errors
    /// [`Error::MissingKey`] naming an absent array; [`Error::ShapeMismatch`] if the arrays do not fit together.
    pub fn from_arrays(arrays: &Arrays) -> Result<Self> {
        let weights = matrix(arrays, "weights", None)?;
        let (n_components, n_genes) = weights.dim();
        let n_features = n_components + N_PATTERNS;
        let genes = |name: &str| vector(arrays, name, n_genes);
        let scalars = vector(arrays, "scalars", 3)?;
        let scatter = genes("dispersion")?
            .iter()
            .zip(&genes("rounding")?)
            .map(|(&dispersion, &rounding)| Scatter { dispersion: dispersion.into(), rounding: rounding.into() })
            .collect();
        Ok(Self {
            target_sum: scalars[0],
            largest_total: scalars[1],
            scale: vector(arrays, "scale", n_components)?,
            bias: genes("bias")?,
            log_softness: genes("log_softness")?,
            ceiling: genes("ceiling")?,
            floor: genes("floor")?,
            loadings: matrix(arrays, "loadings", Some((n_components, n_genes)))?,
            baseline: genes("baseline")?,
            weights,
            scatter,
            library: LibraryModel {
                centre: vector(arrays, "library_centre", n_features)?,
                scale: vector(arrays, "library_scale", n_features)?,
                coefficients: vector(arrays, "library_coefficients", n_features + 1)?,
                median: scalars[2],
            },
        })
    }
}

fn find<'a>(arrays: &'a Arrays, name: &str) -> Result<&'a ArrayD<f32>> {
    arrays.get(name).ok_or_else(|| Error::MissingKey {
        place: "gene decoder".into(),
        key: name.to_owned(),
        hint: "fit the model again with this version of scflow".into(),
    })
}

fn wrong(name: &str, expected: String, found: &ArrayD<f32>) -> Error {
    Error::ShapeMismatch { what: format!("gene decoder, `{name}`"), expected, got: format!("{:?}", found.shape()) }
}

fn vector(arrays: &Arrays, name: &str, length: usize) -> Result<Array1<f32>> {
    let found = find(arrays, name)?;
    match found.clone().into_dimensionality::<Ix1>() {
        Ok(vector) if vector.len() == length => Ok(vector),
        _ => Err(wrong(name, format!("[{length}]"), found)),
    }
}

fn matrix(arrays: &Arrays, name: &str, shape: Option<(usize, usize)>) -> Result<Array2<f32>> {
    let found = find(arrays, name)?;
    match found.clone().into_dimensionality::<Ix2>() {
        Ok(matrix) if shape.is_none_or(|shape| shape == matrix.dim()) => Ok(matrix),
        _ => Err(wrong(name, shape.map_or("a matrix".into(), |(rows, columns)| format!("[{rows}, {columns}]")), found)),
    }
}
