//! What a fitted scGPT keeps beside its choices.

use std::collections::{BTreeMap, HashMap};

use candle_core::{Device, Tensor};
use ndarray::{Array1, Array2, ArrayD, Ix1, Ix2};

use super::panel::Panel;
use super::pretrained::Origin;
use crate::embedding::pca::Pca;
use crate::models::counts::{Codes, Told};
use crate::models::fitted_flow::WEIGHTS;
use crate::models::record::Record;
use crate::models::source::ControlCells;
use crate::{Error, Result};

const PANEL: &str = "panel.json";
const CODES: &str = "codes.json";
const PRETRAINED: &str = "pretrained.json";
const GUIDE: &str = "guide.json";
const CONTROLS: &str = "control_cells.safetensors";
const PROJECTION: &str = "projection.safetensors";

/// From the panel's genes to principal components: x · loadings − offset.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Projection {
    /// (n_genes, n_components).
    pub(super) loadings: Array2<f32>,
    /// mean · loadings: (n_components).
    pub(super) offset: Array1<f32>,
}

impl Projection {
    /// The part of an analysis that belongs to the genes `columns`, the only ones with loadings.
    pub(super) fn of(pca: &Pca, columns: &[usize]) -> Self {
        let mut offset = Array1::<f64>::zeros(pca.n_components());
        for &gene in columns {
            offset.scaled_add(pca.mean[gene], &pca.loadings.row(gene).mapv(f64::from));
        }
        let loadings = pca.loadings.select(ndarray::Axis(0), columns);
        Self { loadings, offset: offset.mapv(|value| value as f32) }
    }

    fn from_arrays(mut arrays: BTreeMap<String, ArrayD<f32>>, panel: &Panel) -> Result<Self> {
        let mut take = |key: &str| {
            arrays.remove(key).ok_or_else(|| Error::MissingKey {
                place: PROJECTION.into(),
                key: key.into(),
                hint: "fit the model again".into(),
            })
        };
        let (loadings, offset) = (take("loadings")?, take("offset")?);
        let got = format!("{:?} and {:?}", loadings.shape(), offset.shape());
        match (loadings.into_dimensionality::<Ix2>(), offset.into_dimensionality::<Ix1>()) {
            (Ok(loadings), Ok(offset)) if loadings.dim() == (panel.n_genes, offset.len()) => {
                Ok(Self { loadings, offset })
            }
            _ => Err(Error::ShapeMismatch {
                what: "projection of genes".into(),
                expected: format!("({}, n_components) and (n_components)", panel.n_genes),
                got,
            }),
        }
    }
}

/// Everything but the choices.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) panel: Panel,
    pub(super) told: Told,
    pub(super) projection: Projection,
    /// Log-normalised control cells of the panel's genes.
    pub(super) controls: ControlCells,
    /// What was pretrained, if something was.
    pub(super) origin: Option<Origin>,
    pub(super) tensors: HashMap<String, Tensor>,
}

impl Kept {
    /// Everything as the files of a folder.
    ///
    /// # Errors
    /// [`Error::Backend`] if something cannot be written.
    pub(super) fn record(&self) -> Result<Record> {
        let mut record = Record::default();
        record.put(PANEL, &self.panel)?;
        record.put(CODES, &self.told.codes)?;
        self.told.guide.iter().try_for_each(|guide| record.put(GUIDE, guide))?;
        self.origin.iter().try_for_each(|origin| record.put(PRETRAINED, origin))?;
        record.put_arrays(CONTROLS, self.controls.to_arrays()?)?;
        let Projection { loadings, offset } = self.projection.clone();
        let arrays = [("loadings".to_owned(), loadings.into_dyn()), ("offset".to_owned(), offset.into_dyn())];
        record.put_arrays(PROJECTION, arrays)?;
        record.put_tensors(WEIGHTS, self.tensors.clone());
        Ok(record)
    }

    /// Takes from a record what [`Self::record`] put into it.
    ///
    /// # Errors
    /// [`Error::MissingKey`] for what is absent; [`Error::InvalidFile`] for what cannot be understood;
    /// [`Error::ShapeMismatch`] for what does not fit the panel.
    pub(super) fn take(record: &mut Record, device: &Device) -> Result<Self> {
        let panel: Panel = record.take(PANEL)?;
        let codes: Codes = record.take(CODES)?;
        let guide = if record.has(GUIDE) { Some(record.take(GUIDE)?) } else { None };
        Ok(Self {
            projection: Projection::from_arrays(record.take_arrays(PROJECTION)?, &panel)?,
            controls: ControlCells::from_arrays(record.take_arrays(CONTROLS)?, panel.n_genes)?,
            told: Told { codes, guide },
            origin: if record.has(PRETRAINED) { Some(record.take(PRETRAINED)?) } else { None },
            tensors: record.take_tensors(WEIGHTS, device)?,
            panel,
        })
    }
}
