//! Names for what a simulated screen contains.

use std::collections::HashSet;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// The protein-coding genes of the human mitochondrion.
pub const MITOCHONDRIAL: [&str; 13] = [
    "MT-ND1", "MT-ND2", "MT-CO1", "MT-CO2", "MT-ATP8", "MT-ATP6", "MT-CO3", "MT-ND3", "MT-ND4L", "MT-ND4", "MT-ND5",
    "MT-ND6", "MT-CYB",
];

const CELL_TYPES: [&str; 12] = [
    "T cell",
    "B cell",
    "NK cell",
    "monocyte",
    "dendritic cell",
    "macrophage",
    "neutrophil",
    "plasma cell",
    "mast cell",
    "fibroblast",
    "endothelial cell",
    "epithelial cell",
];

/// `drug A` … `drug Z`, `drug AA`, …
pub fn perturbation(position: usize) -> String {
    let mut letters = Vec::new();
    let mut rest = position + 1;
    while rest > 0 {
        rest -= 1;
        letters.push(char::from(b'A' + (rest % 26) as u8));
        rest /= 26;
    }
    format!("drug {}", letters.iter().rev().collect::<String>())
}

/// `T cell`, `B cell`, …; after the known ones `cell type 13`, …
pub fn cell_type(position: usize) -> String {
    CELL_TYPES.get(position).map_or_else(|| format!("cell type {}", position + 1), ToString::to_string)
}

/// `GENE0001`, …, then the mitochondrial genes: n_genes names, so plain that nobody takes them for real ones.
pub fn genes(n_genes: usize) -> Vec<String> {
    let n_nuclear = n_genes - MITOCHONDRIAL.len();
    let width = n_nuclear.to_string().len().max(4);
    let nuclear = (1..=n_nuclear).map(|gene| format!("GENE{gene:0width$}"));
    nuclear.chain(MITOCHONDRIAL.iter().map(ToString::to_string)).collect()
}

/// Distinct cell barcodes: sixteen bases and the number of the batch, as aggregated lanes have them.
pub fn barcodes(batches: &[usize], rng: &mut ChaCha8Rng) -> Vec<String> {
    let mut taken = HashSet::new();
    let mut draw = |batch: usize| loop {
        let bases: String = (0..16).map(|_| char::from(b"ACGT"[rng.random_range(0..4)])).collect();
        if taken.insert(bases.clone()) {
            return format!("{bases}-{}", batch + 1);
        }
    };
    batches.iter().map(|&batch| draw(batch)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn perturbations_count_on_after_the_alphabet() {
        let names: Vec<String> = [0, 7, 25, 26, 27, 701, 702].map(perturbation).into();
        assert_eq!(names, ["drug A", "drug H", "drug Z", "drug AA", "drug AB", "drug ZZ", "drug AAA"]);
    }

    #[test]
    fn genes_end_with_the_mitochondrial_ones() {
        let names = genes(100);
        assert_eq!((names.len(), names[0].as_str(), names[86].as_str()), (100, "GENE0001", "GENE0087"));
        assert_eq!(names.iter().filter(|name| name.starts_with("MT-")).count(), 13);
    }
}
