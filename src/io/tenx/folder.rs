//! A folder with `matrix.mtx`, `barcodes.tsv` and `features.tsv` (or `genes.tsv`), each compressed or not.

use std::path::{Path, PathBuf};

use super::market::Market;
use super::rows::Rows;
use super::{AGAIN, Blocks, Features, invalid, lines};
use crate::{Error, Result};

/// The three files.
pub(super) struct Folder {
    pub(super) matrix: PathBuf,
    barcodes: PathBuf,
    features: PathBuf,
}

impl Folder {
    /// The files of a folder, or those beside a matrix; `None` if the path is neither. All three names may begin alike, as
    /// in `GSM1_matrix.mtx.gz`.
    pub(super) fn find(path: &Path) -> Result<Option<Self>> {
        let io = |source| Error::Io { path: path.to_owned(), source };
        let metadata = std::fs::metadata(path).map_err(io)?;
        if !metadata.is_dir() {
            let name = name(path);
            return match name.strip_suffix(".gz").unwrap_or(&name).ends_with(".mtx") {
                true => Self::beside(path.to_owned()).map(Some),
                false => Ok(None),
            };
        }
        let mut matrices = Vec::new();
        for entry in std::fs::read_dir(path).map_err(io)? {
            let path = entry.map_err(io)?.path();
            if [".mtx", ".mtx.gz"].iter().any(|end| name(&path).ends_with(end)) {
                matrices.push(path);
            }
        }
        matrices.sort();
        match &mut matrices[..] {
            [] => Err(invalid(
                path,
                "the folder holds no matrix (`matrix.mtx` or `matrix.mtx.gz`)",
                "give the folder that holds the matrix, the barcodes and the features, or an .h5 or .h5ad file",
            )),
            [matrix] => Self::beside(std::mem::take(matrix)).map(Some),
            several => {
                let names: Vec<String> = several.iter().take(3).map(|path| format!("`{}`", name(path))).collect();
                let reason = format!("the folder holds {} matrices: {}", several.len(), names.join(", "));
                Err(invalid(path, reason, "give the path of one matrix in the place of the folder"))
            }
        }
    }

    fn beside(matrix: PathBuf) -> Result<Self> {
        let name = name(&matrix);
        let stem = name.strip_suffix(".gz").unwrap_or(&name).trim_end_matches(".mtx");
        let prefix = stem.strip_suffix("matrix").unwrap_or("").to_owned();
        let folder = matrix.parent().unwrap_or(Path::new("")).to_owned();
        let find = |names: &[&str]| {
            let candidates = names.iter().flat_map(|name| [format!("{prefix}{name}"), format!("{prefix}{name}.gz")]);
            let mut candidates = candidates.map(|name| folder.join(name));
            candidates.find(|path| path.is_file()).ok_or_else(|| Error::MissingKey {
                place: folder.display().to_string(),
                key: names.iter().map(|name| format!("{prefix}{name}")).collect::<Vec<_>>().join("` or `"),
                hint: format!(
                    "put it (or the same with `.gz`) beside `{name}`; 10x Genomics' programs write all three"
                ),
            })
        };
        Ok(Self { barcodes: find(&["barcodes.tsv"])?, features: find(&["features.tsv", "genes.tsv"])?, matrix })
    }

    /// The names of the cells: the first column.
    pub(super) fn barcodes(&self) -> Result<Vec<String>> {
        let lines = lines::all(&self.barcodes)?;
        let n_columns = self.sizes()?.1;
        check_rows(&self.barcodes, lines.len(), n_columns, "columns", &self.matrix)?;
        Ok(lines.into_iter().map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect())
    }

    /// Identifier, symbol and type of each feature; old lists have no types.
    pub(super) fn features(&self) -> Result<Features> {
        let lines = lines::all(&self.features)?;
        let n_rows = self.sizes()?.0;
        check_rows(&self.features, lines.len(), n_rows, "rows", &self.matrix)?;
        let n_fields = lines.first().map_or(2, |line| line.split('\t').count());
        let mut features = Features::default();
        let mut types = Vec::new();
        for (number, line) in lines.iter().enumerate() {
            let fields: Vec<&str> = line.split('\t').collect();
            if fields.len() != n_fields {
                let reason = format!("line {}: expected {n_fields} fields, found {}", number + 1, fields.len());
                return Err(invalid(
                    &self.features,
                    reason,
                    "fields are parted by tabulators: identifier, symbol, type",
                ));
            }
            features.ids.push(fields[0].to_owned());
            features.symbols.push(fields.get(1).unwrap_or(&fields[0]).to_string());
            types.extend(fields.get(2).map(|kind| (*kind).to_owned()));
        }
        features.types = (n_fields > 2).then_some(types);
        Ok(features)
    }

    fn sizes(&self) -> Result<(usize, usize)> {
        Market::open(&self.matrix).map(|market| (market.n_rows, market.n_columns))
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn check_rows(path: &Path, found: usize, needed: usize, what: &str, matrix: &Path) -> Result<()> {
    match found == needed {
        true => Ok(()),
        false => Err(invalid(
            path,
            format!("there are {found} lines, but `{}` has {needed} {what}", matrix.display()),
            "the three files must come from the same run; features are the rows of the matrix, cells its columns",
        )),
    }
}

/// Blocks of a matrix whose entries come cell by cell; where they do not, the flag is set and the blocks end with an error.
pub(super) fn sorted_blocks<'a>(path: &'a Path, mut rows: Rows<'a>, is_unsorted: &'a mut bool) -> Result<Blocks<'a>> {
    let mut market = Market::open(path)?;
    let mut ahead = None;
    Ok(Box::new(std::iter::from_fn(move || {
        if rows.cell() == rows.n_cells() {
            return None;
        }
        loop {
            let entry = match ahead.take().map_or_else(|| market.next(), |entry| Ok(Some(entry))) {
                Ok(entry) => entry,
                Err(error) => return Some(Err(error)),
            };
            // Behind the last entry come the cells without any.
            let cell = entry.map_or(rows.n_cells(), |(_, cell, _)| cell);
            if cell < rows.cell() {
                *is_unsorted = true;
                return Some(Err(invalid(path, "the entries are not in the order of the cells", AGAIN)));
            }
            while rows.cell() < cell {
                rows.end_cell();
                if rows.is_full() {
                    ahead = entry;
                    return Some(rows.take());
                }
            }
            match entry {
                Some((feature, _, value)) => rows.push(feature, value),
                None => return Some(rows.take()),
            }
        }
    })))
}

/// Blocks of a matrix whose entries come in any order: all are held in memory.
pub(super) fn unsorted_blocks<'a>(path: &'a Path, mut rows: Rows<'a>) -> Result<Blocks<'a>> {
    let mut market = Market::open(path)?;
    let mut entries = Vec::new();
    while let Some((feature, cell, value)) = market.next()? {
        entries.push((cell as u32, feature as u32, value));
    }
    entries.sort_by_key(|&(cell, feature, _)| (cell, feature));
    let mut at = 0;
    Ok(Box::new(std::iter::from_fn(move || {
        if rows.cell() == rows.n_cells() {
            return None;
        }
        while rows.cell() < rows.n_cells() && !rows.is_full() {
            while let Some((_, feature, value)) = entries.get(at).filter(|entry| entry.0 as usize == rows.cell()) {
                rows.push(*feature as usize, *value);
                at += 1;
            }
            rows.end_cell();
        }
        Some(rows.take())
    })))
}
