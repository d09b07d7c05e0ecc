//! 10x Genomics' `.h5` files: a group `matrix` (CellRanger 3 and later), or a group for each genome (before).

use std::ops::Range;
use std::path::Path;

use hdf5::{Dataset, Group};

use super::rows::Rows;
use super::{AGAIN, Blocks, Features, invalid};
use crate::Result;
use crate::error::refuse;
use crate::io::h5ad::raw::{self, Elements};
use crate::io::h5ad::source::Source;

/// Values read at a time.
const BLOCK: usize = 1 << 22;

/// The counts of a file: a list of features and values for each cell.
pub(super) struct Counts {
    source: Source,
    slot: String,
    offsets: Vec<usize>,
    indices: Dataset,
    data: Dataset,
}

/// Offsets, indices and values.
type Lists = (Vec<usize>, Dataset, Dataset);

/// Barcodes, features and counts of a file; `None` if it is of another kind.
pub(super) fn open(path: &Path, genome: Option<&str>) -> Result<Option<(Vec<String>, Features, Counts)>> {
    let source = Source::open_any(path)?;
    let holds = |group: &str| source.file.link_exists(&format!("{group}/barcodes"));
    if source.file.link_exists("matrix") && holds("matrix") {
        let part = Part { source: &source, slot: "matrix".into() };
        let mut features = Features {
            ids: part.texts("features/id")?,
            symbols: part.texts("features/name")?,
            types: Some(part.texts("features/feature_type")?),
            genomes: None,
        };
        if source.file.link_exists("matrix/features/genome") {
            features.genomes = Some(part.texts("features/genome")?);
        }
        let (barcodes, counts) = part.counts(&features)?;
        let counts = Counts { slot: "matrix".into(), offsets: counts.0, indices: counts.1, data: counts.2, source };
        return Ok(Some((barcodes, features, counts)));
    }
    let genomes: Vec<String> = source.members(&source.file, "/")?.into_iter().filter(|name| holds(name)).collect();
    let chosen = match (&genomes[..], genome) {
        ([], _) => return Ok(None),
        (genomes, Some(genome)) if !genomes.iter().any(|name| name == genome) => {
            return refuse("--genome", genome, &format!("the file holds: {}", genomes.join(", ")));
        }
        (_, Some(genome)) => genome.to_owned(),
        ([only], None) => only.clone(),
        (several, None) => {
            let reason = format!("the file holds several genomes: {}", several.join(", "));
            return Err(invalid(path, reason, "choose one with --genome"));
        }
    };
    let part = Part { source: &source, slot: chosen.clone() };
    let mut features =
        Features { ids: part.texts("genes")?, symbols: part.texts("gene_names")?, types: None, genomes: None };
    let (barcodes, counts) = part.counts(&features)?;
    features.genomes = genome.map(|genome| vec![genome.to_owned(); features.len()]);
    let counts = Counts { slot: chosen, offsets: counts.0, indices: counts.1, data: counts.2, source };
    Ok(Some((barcodes, features, counts)))
}

/// The group that is read.
struct Part<'a> {
    source: &'a Source,
    slot: String,
}

impl Part<'_> {
    fn dataset(&self, name: &str) -> Result<(Dataset, String)> {
        let slot = format!("{}/{name}", self.slot);
        let group: Group = self.source.file.group(&self.slot).map_err(self.source.hdf5(&self.slot))?;
        let dataset = group.dataset(name).map_err(|_| self.source.damaged(&slot, "is missing or is not a data set"))?;
        match dataset.ndim() {
            1 => Ok((dataset, slot)),
            _ => Err(self.source.damaged(&slot, "is not a list")),
        }
    }

    fn elements(&self, name: &str) -> Result<(Elements, String)> {
        let (dataset, slot) = self.dataset(name)?;
        let elements = raw::elements(self.source, &slot, &dataset)?;
        elements.map(|elements| (elements, slot.clone())).ok_or_else(|| self.source.damaged(&slot, "cannot be read"))
    }

    fn texts(&self, name: &str) -> Result<Vec<String>> {
        match self.elements(name)? {
            (Elements::Texts(texts), _) => Ok(texts),
            (_, slot) => Err(self.source.damaged(&slot, "does not hold texts")),
        }
    }

    fn sizes(&self, name: &str) -> Result<Vec<usize>> {
        let (elements, slot) = self.elements(name)?;
        let sizes = match elements {
            Elements::Integers(values) => values.into_iter().map(|value| usize::try_from(value).ok()).collect(),
            _ => None,
        };
        sizes.ok_or_else(|| self.source.damaged(&slot, "does not hold whole numbers from 0 on"))
    }

    /// Barcodes, offsets, indices and values, once they fit each other and the features.
    fn counts(&self, features: &Features) -> Result<(Vec<String>, Lists)> {
        let barcodes = self.texts("barcodes")?;
        let (shape, offsets) = (self.sizes("shape")?, self.sizes("indptr")?);
        let lists = [Some(&features.symbols), features.types.as_ref(), features.genomes.as_ref()];
        let n = features.ids.len();
        if lists.iter().flatten().any(|list| list.len() != n) || shape != [n, barcodes.len()] {
            let reason = format!(
                "claims the shape {shape:?}, but there are {n} identifiers, {} names and {} barcodes",
                features.symbols.len(),
                barcodes.len()
            );
            return Err(self.source.damaged(&self.slot, reason));
        }
        let ((indices, indices_slot), (data, data_slot)) = (self.dataset("indices")?, self.dataset("data")?);
        let n_values = raw::check_size(self.source, &data_slot, &data)?;
        let fits = raw::check_size(self.source, &indices_slot, &indices)? == n_values
            && offsets.len() == barcodes.len() + 1
            && offsets.first() == Some(&0)
            && offsets.last() == Some(&n_values)
            && offsets.is_sorted();
        match fits {
            true => Ok((barcodes, (offsets, indices, data))),
            false => Err(self.source.damaged(&self.slot, "has offsets that do not fit its values")),
        }
    }
}

impl Counts {
    pub(super) fn blocks<'a>(&'a self, mut rows: Rows<'a>) -> Blocks<'a> {
        Box::new(std::iter::from_fn(move || {
            if rows.cell() == rows.n_cells() {
                return None;
            }
            match self.fill(&mut rows) {
                Ok(()) => Some(rows.take()),
                Err(error) => Some(Err(error)),
            }
        }))
    }

    /// Reads the next cells, as many as come to about a block.
    fn fill(&self, rows: &mut Rows) -> Result<()> {
        while rows.cell() < rows.n_cells() && !rows.is_full() {
            let first = rows.cell();
            let start = self.offsets[first];
            let end = self.offsets.partition_point(|&offset| offset <= start + BLOCK).saturating_sub(1);
            let last = end.clamp(first + 1, rows.n_cells());
            let range = start..self.offsets[last];
            let (indices, values) = (self.part::<i64>(&self.indices, "indices", range.clone())?, self.values(range)?);
            for cell in first..last {
                for at in self.offsets[cell] - start..self.offsets[cell + 1] - start {
                    let feature = usize::try_from(indices[at]).ok().filter(|&feature| feature < rows.n_features());
                    let Some(feature) = feature else {
                        let reason = format!("holds the index {}, outside 0 to {} - 1", indices[at], rows.n_features());
                        return Err(self.source.damaged(&format!("{}/indices", self.slot), reason));
                    };
                    rows.push(feature, values[at]);
                }
                rows.end_cell();
                if rows.is_full() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn values(&self, range: Range<usize>) -> Result<Vec<f32>> {
        let values = self.part::<f32>(&self.data, "data", range)?;
        match values.iter().find(|value| !value.is_finite()) {
            Some(value) => Err(invalid(&self.source.path, format!("the matrix holds the count {value}"), AGAIN)),
            None => Ok(values),
        }
    }

    fn part<T: hdf5::H5Type>(&self, dataset: &Dataset, name: &str, range: Range<usize>) -> Result<Vec<T>> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let values =
            dataset.read_slice_1d::<T, _>(range).map_err(self.source.hdf5(&format!("{}/{name}", self.slot)))?;
        Ok(values.into_raw_vec_and_offset().0)
    }
}
