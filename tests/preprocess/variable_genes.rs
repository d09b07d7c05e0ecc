//! Variable genes against scanpy: the numbers of `golden/variable_genes.json`, and the same lists of genes on public screens.

use scflow::cells::{Cells, Column, SparseMatrix};
use scflow::io::h5ad;
use scflow::preprocess::gene_moments::GeneMoments;
use scflow::preprocess::mitochondrial::MitochondrialGenes;
use scflow::preprocess::quality::{self, Limits, Quality};
use scflow::preprocess::variable_genes::{BatchMoments, Batches, Flavor, Search, VariableGenes};
use serde_json::Value;

use crate::data;

fn golden(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The genes of a flavour, found over blocks of 400 cells.
fn find(counts: &SparseMatrix, sizes: &[f64], flavor: Flavor, batches: Batches, n_top: usize) -> VariableGenes {
    let factors: Vec<f64> = sizes.iter().map(|size| 1e4 / size).collect();
    let blocks = || {
        (0..counts.n_rows()).step_by(400).map(|first| {
            let rows: Vec<usize> = (first..(first + 400).min(counts.n_rows())).collect();
            (first, counts.select_rows(&rows))
        })
    };
    let mut moments = BatchMoments::new(flavor, batches, counts.n_columns());
    for (first, block) in blocks() {
        moments.add(&block, first, &factors[first..first + block.n_rows()]);
    }
    match moments.search(n_top).unwrap() {
        Search::Found(genes) => genes,
        Search::Again(mut sums) => {
            blocks().for_each(|(first, block)| sums.add(&block, first));
            sums.finish()
        }
    }
}

/// The genes with counts in three cells or more.
fn common(counts: &SparseMatrix) -> SparseMatrix {
    let mut moments = GeneMoments::new(counts.n_columns());
    moments.add(counts, &(0..counts.n_rows()).collect::<Vec<_>>(), |_, count| f64::from(count));
    let limits = Limits { min_cells: 3, ..Limits::default() };
    counts.select_columns(&quality::passing_genes(&moments.n_expressing(), &limits).unwrap().0)
}

fn batches(labels: &[String]) -> Batches {
    let Column::Categorical { codes, categories, .. } = Column::categorical(labels) else { panic!() };
    Batches::new(&codes, &categories, &vec![true; labels.len()]).unwrap()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// The counts of the small screen, and whether each cell is for training.
fn small() -> (SparseMatrix, Vec<String>, Vec<bool>) {
    let small = golden(include_str!("../golden/preprocess.json"));
    let rows = small["counts"].as_array().unwrap().iter().map(|row| {
        let counts = row.as_array().unwrap().iter().map(|count| count.as_f64().unwrap() as f32);
        (0..).zip(counts).collect()
    });
    let genes = texts(&small["genes"]);
    let counts = SparseMatrix::from_rows(genes.len(), rows.collect::<Vec<_>>());
    let is_training = small["is_training"].as_array().unwrap().iter().map(|is| is.as_bool().unwrap()).collect();
    (counts, genes, is_training)
}

#[test]
fn every_flavour_has_the_numbers_of_scanpy() {
    // scanpy squares float32 logarithms and counts in float32; of counts and their sums nothing is lost.
    const SINGLE: f64 = 1e-5;
    const DOUBLE: f64 = 1e-10;
    let golden = golden(include_str!("../golden/variable_genes.json"));
    let (counts, ..) = small();
    let sizes = counts.row_sums();
    let counts = common(&counts);
    for case in golden["cases"].as_array().unwrap() {
        let flavor: Flavor = serde_json::from_value(case["flavor"].clone()).unwrap();
        let is_batched = case["batched"].as_bool().unwrap();
        let batches = if is_batched { batches(&texts(&golden["batch"])) } else { Batches::one(&[true; 90]) };
        let genes = find(&counts, &sizes, flavor, batches, golden["n_top_genes"].as_u64().unwrap() as usize);
        let tolerance = if flavor == Flavor::SeuratV3 { DOUBLE } else { SINGLE };
        let theirs: Vec<bool> =
            case["highly_variable"].as_array().unwrap().iter().map(|is| is.as_bool().unwrap()).collect();
        assert_eq!(genes.is_variable, theirs, "{flavor:?} {is_batched}");
        let mut n_columns = 1;
        for (name, column) in &genes.statistics {
            n_columns += 1;
            let theirs = case[*name].as_array().unwrap_or_else(|| panic!("scanpy has no {name}"));
            let ours: Vec<f64> = match column {
                Column::Float(values) => values.clone(),
                Column::Integer(values) => values.iter().map(|&value| value as f64).collect(),
                Column::Boolean(values) => values.iter().map(|&value| f64::from(u8::from(value))).collect(),
                _ => panic!("{name}"),
            };
            assert_eq!(ours.len(), theirs.len());
            for (gene, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
                let theirs = theirs.as_bool().map_or_else(|| theirs.as_f64(), |is| Some(f64::from(u8::from(is))));
                let agree = match theirs {
                    None => ours.is_nan(),
                    Some(theirs) => (ours - theirs).abs() <= tolerance * (1.0 + theirs.abs()),
                };
                assert!(agree, "{flavor:?} {is_batched} {name} of gene {gene}: {ours} {theirs:?}");
            }
        }
        assert_eq!(n_columns + 2, case.as_object().unwrap().len(), "all columns of scanpy are there");
    }
}

#[test]
fn outliers_are_those_of_best_practices() {
    let golden = golden(include_str!("../golden/variable_genes.json"));
    let (counts, genes, is_training) = small();
    let var = scflow::cells::Annotations::new(genes);
    let mitochondrial = MitochondrialGenes::by_prefix(&var, &["MT-".to_owned()], None).unwrap();
    let mut measured = Quality::new();
    measured.measure(&counts, &mitochondrial.is);
    let limits = Limits { max_deviations: Some(2.0), max_deviations_mitochondrial: Some(2.0), ..Limits::default() };
    let (kept, removed) = measured.passing_cells(&limits, &is_training, &mitochondrial).unwrap();
    let outliers = golden["outliers_at_2_deviations"].as_array().unwrap();
    let theirs: Vec<usize> = (0..90).filter(|&cell| !outliers[cell].as_bool().unwrap()).collect();
    assert_eq!(kept, theirs);
    assert_eq!(removed.values().sum::<usize>(), 90 - theirs.len());
    assert_eq!(removed.len(), 3, "{removed:?}");
}

/// One bit for each gene from a hexadecimal number.
fn bits(text: &str, n: usize) -> Vec<bool> {
    let digits = text.chars().map(|digit| digit.to_digit(16).unwrap());
    let all: Vec<bool> = digits.flat_map(|digit| (0..4).rev().map(move |bit| digit >> bit & 1 == 1)).collect();
    all[all.len() - n..].to_vec()
}

fn labels(cells: &Cells, key: &str) -> Vec<String> {
    if key == "half" {
        return (0..cells.n_cells()).map(|cell| if cell % 2 == 0 { "a" } else { "b" }.to_owned()).collect();
    }
    cells.obs.texts("obs", key).unwrap()
}

#[test]
fn public_screens_have_the_variable_genes_of_scanpy() {
    let golden = golden(include_str!("../golden/variable_genes.json"));
    let Some(folder) = data::folder() else { return };
    for name in ["kang18_ifnb_celltypes_scgen", "norman19_k562_combo"] {
        let Some(path) = data::file(&format!("{name}.h5ad")) else { continue };
        assert!(path.starts_with(&folder));
        let cells = h5ad::read(&path).unwrap();
        let sizes = cells.obs.floats("obs", "total_counts").unwrap_or_else(|_| cells.x.row_sums());
        let counts = common(&cells.x);
        for case in golden["real"].as_array().unwrap().iter().filter(|case| case["file"] == name) {
            let flavor: Flavor = serde_json::from_value(case["flavor"].clone()).unwrap();
            let batches = match case["batch_key"].as_str() {
                None => Batches::one(&vec![true; cells.n_cells()]),
                Some(key) => batches(&labels(&cells, key)),
            };
            assert_eq!(counts.n_columns(), case["n_genes"].as_u64().unwrap() as usize);
            if case.get("refused").is_some() {
                // scanpy cannot fit a curve to the small batches, and neither is one made up here.
                let mut moments = BatchMoments::new(flavor, batches, counts.n_columns());
                moments.add(&counts, 0, &vec![1.0; counts.n_rows()]);
                let error = moments.search(2000).unwrap_err();
                assert!(error.to_string().contains("in batch `"), "{error}");
                continue;
            }
            let genes = find(&counts, &sizes, flavor, batches, case["n_top_genes"].as_u64().unwrap() as usize);
            let theirs = bits(case["highly_variable"].as_str().unwrap(), counts.n_columns());
            let differ: Vec<usize> =
                (0..theirs.len()).filter(|&gene| genes.is_variable[gene] != theirs[gene]).collect();
            assert!(differ.is_empty(), "{name} {flavor:?} {}: {differ:?}", case["batch_key"]);
        }
    }
}
