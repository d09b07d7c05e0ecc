//! The numbers of `golden/preprocess.json`, made by scanpy.

use ndarray::Axis;
use scflow::cells::{Annotations, SparseMatrix};
use scflow::embedding::pca::Pca;
use scflow::preprocess::gene_moments::GeneMoments;
use scflow::preprocess::mitochondrial::MitochondrialGenes;
use scflow::preprocess::normalize;
use scflow::preprocess::quality::{self, Limits, Quality};
use scflow::preprocess::variable_genes::{BatchMoments, Batches, Flavor, Search};

#[test]
fn numbers_agree_with_scanpy() {
    let golden: serde_json::Value = serde_json::from_str(include_str!("../golden/preprocess.json")).unwrap();
    let floats = |value: &serde_json::Value| -> Vec<f64> {
        value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap_or(f64::NAN)).collect()
    };
    let texts = |key: &str| -> Vec<String> {
        golden[key].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let rows = golden["counts"].as_array().unwrap().iter();
    let sparse = rows.map(|row| floats(row).iter().enumerate().map(|(gene, &v)| (gene as u32, v as f32)).collect());
    let genes = texts("genes");
    let counts = SparseMatrix::from_rows(genes.len(), sparse.collect::<Vec<_>>());
    let training: Vec<usize> =
        (0..counts.n_rows()).filter(|&row| golden["is_training"][row].as_bool().unwrap()).collect();
    let agree = |what: &str, ours: &[f64], tolerance: f64| {
        let theirs = floats(&golden[what]);
        assert_eq!(ours.len(), theirs.len(), "{what}");
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert!((ours - theirs).abs() <= tolerance * (1.0 + theirs.abs()), "{what}: {ours} {theirs}");
        }
    };
    // scanpy computes in float32 up to the gene statistics.
    const SINGLE: f64 = 3e-6;

    let mitochondrial =
        MitochondrialGenes::by_prefix(&Annotations::new(genes.clone()), &["MT-".to_owned()], None).unwrap();
    let mut measured = Quality::new();
    measured.measure(&counts, &mitochondrial.is);
    agree("total_counts", &measured.total_counts, 0.0);
    agree("n_genes_by_counts", &measured.n_genes.iter().map(|&n| n as f64).collect::<Vec<_>>(), 0.0);
    agree("pct_counts_mt", &measured.percent_mitochondrial, SINGLE);
    let mut expression = GeneMoments::new(genes.len());
    expression.add(&counts, &training, |_, count| f64::from(count));
    let limits = Limits { min_cells: 3, ..Limits::default() };
    let kept = quality::passing_genes(&expression.n_expressing(), &limits).unwrap().0;
    assert_eq!(kept.iter().map(|&gene| genes[gene].clone()).collect::<Vec<_>>(), texts("kept_genes"));

    let x = normalize::log_normalize(&counts.select_columns(&kept), &measured.total_counts, 1e4);
    let dense = x.to_dense();
    for (cell, theirs) in golden["normalized_first_cells"].as_array().unwrap().iter().enumerate() {
        for (ours, theirs) in dense.row(cell).iter().zip(floats(theirs)) {
            assert!((f64::from(*ours) - theirs).abs() <= SINGLE * (1.0 + theirs), "{cell}: {ours} {theirs}");
        }
    }

    let is_training: Vec<bool> = (0..counts.n_rows()).map(|row| training.contains(&row)).collect();
    let mut moments = BatchMoments::new(Flavor::Seurat, Batches::one(&is_training), kept.len());
    let factors: Vec<f64> = measured.total_counts.iter().map(|total| 1e4 / total).collect();
    moments.add(&counts.select_columns(&kept), 0, &factors);
    let Search::Found(variable) = moments.search(golden["n_top_genes"].as_u64().unwrap() as usize).unwrap() else {
        panic!("seurat needs one pass")
    };
    for (name, tolerance) in [("means", SINGLE), ("dispersions", SINGLE), ("dispersions_norm", 3.0 * SINGLE)] {
        agree(name, variable.statistic(name).unwrap(), tolerance);
    }
    let chosen = variable.columns();
    let names: Vec<String> = chosen.iter().map(|&gene| genes[kept[gene]].clone()).collect();
    assert_eq!(names, texts("highly_variable"));

    let pca = Pca::fit(&x, &training, &chosen, 5).unwrap();
    agree("pca_variance", &pca.variance, SINGLE);
    agree("pca_variance_ratio", &pca.variance_ratio, SINGLE);
    let nested = |key: &str, row: usize| floats(&golden[key][row]);
    for (position, &gene) in chosen.iter().enumerate() {
        for (ours, theirs) in pca.loadings.row(gene).iter().zip(nested("absolute_loadings", position)) {
            assert!((f64::from(ours.abs()) - theirs).abs() < 1e-5, "gene {gene}: {ours} {theirs}");
        }
    }
    let held_out: Vec<usize> = (0..counts.n_rows()).filter(|row| !training.contains(row)).collect();
    let coordinates = pca.transform(&x.select_rows(&held_out)).unwrap();
    for (position, row) in coordinates.axis_iter(Axis(0)).enumerate() {
        for (ours, theirs) in row.iter().zip(nested("absolute_held_out", position)) {
            assert!((f64::from(ours.abs()) - theirs).abs() < 1e-4, "held-out cell {position}: {ours} {theirs}");
        }
    }
}
