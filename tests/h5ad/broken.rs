//! Files that are broken or something else: a clear error, no panic, no memory for what is not there.

use hdf5::File;
use hdf5::types::VarLenAscii;

use super::encodings::{close, edited, put};
use super::*;

/// The error of reading the file; it must be the user's to put right, and name the file.
fn error(path: &Path) -> Error {
    let error = h5ad::read(path).unwrap_err();
    assert!(error.is_mistake(), "{error:?}");
    assert!(error.to_string().contains(path.file_name().unwrap().to_str().unwrap()), "{error}");
    error
}

fn error_of(bytes: &[u8]) -> String {
    let place = place();
    let path = place.path().join("broken.h5ad");
    std::fs::write(&path, bytes).unwrap();
    let error = error(&path);
    format!("{error} {}", error.hint().unwrap())
}

fn written() -> Vec<u8> {
    let place = place();
    let path = place.path().join("whole.h5ad");
    h5ad::write(&path, &every_kind()).unwrap();
    std::fs::read(path).unwrap()
}

#[test]
fn what_is_no_hdf5_file_is_told_apart() {
    assert!(error_of(b"").contains("empty"));
    assert!(error_of(b"cell,gene\n").contains("not an HDF5 file"));
    assert!(error_of(b"x").contains("not an HDF5 file"));
    assert!(error_of(b"\x1f\x8b\x08\0\0\0\0\0\0\0").contains("gunzip"));
    assert!(error_of(b"PK\x03\x04\0\0\0\0\0\0").contains("ZIP"));
    assert!(error_of(&[0; 5000]).contains("not an HDF5 file"));
    let place = place();
    let absent = error(&place.path().join("absent.h5ad"));
    assert!(matches!(&absent, Error::Io { .. }) && absent.hint().unwrap().contains("path"), "{absent:?}");
    assert!(error(place.path()).to_string().contains("folder"));
    std::fs::write(place.path().join("zarr.json"), "{}").unwrap();
    assert!(error(place.path()).to_string().contains("Zarr"));
}

#[test]
fn another_kind_of_hdf5_file_is_named() {
    let place = place();
    let path = place.path().join("other.h5");
    let of = |fill: &dyn Fn(&File)| {
        let file = File::create(&path).unwrap();
        fill(&file);
        close(file, &path);
        error(&path).to_string()
    };
    assert!(of(&|_| ()).contains("holds nothing"));
    assert!(of(&|file| drop(file.create_group("obs").unwrap())).contains("lacks `obs` or `var`"));
    assert!(of(&|file| drop(file.create_group("matrix/barcodes").unwrap())).contains("10x"));
    assert!(of(&|file| drop(file.create_group("GRCh38/barcodes").unwrap())).contains("10x"));
    assert!(of(&|file| drop(file.create_group("mod/rna").unwrap())).contains("MuData"));
    let loom = |file: &File| {
        file.create_group("row_attrs").unwrap();
        file.create_group("col_attrs").unwrap();
    };
    assert!(of(&loom).contains("Loom"));
}

#[test]
fn a_truncated_file_is_an_error_at_every_length() {
    let bytes = written();
    for part in 1..60 {
        let length = bytes.len() * part / 60;
        let text = error_of(&bytes[..length]);
        assert!(text.contains("truncated") || text.contains("not an HDF5"), "{length} of {}: {text}", bytes.len());
    }
    assert!(error_of(&bytes[..bytes.len() - 1]).contains("truncated"));
}

#[test]
fn a_file_with_changed_bytes_is_read_or_refused_but_never_panics() {
    let bytes = written();
    let place = place();
    let path = place.path().join("changed.h5ad");
    let mut state = 1_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut n_refused = 0;
    for _ in 0..300 {
        let mut changed = bytes.clone();
        for _ in 0..=random(3) {
            let (at, byte) = (random(changed.len()), random(256) as u8);
            changed[at] = byte;
        }
        std::fs::write(&path, &changed).unwrap();
        n_refused += usize::from(h5ad::read(&path).is_err());
    }
    assert!(n_refused > 0);
}

/// The error of a file that was changed after writing.
fn spoilt(edit: impl FnOnce(&File)) -> String {
    let (_place, path) = edited(edit);
    error(&path).to_string()
}

#[test]
fn matrices_that_do_not_fit_or_contradict_themselves_are_refused() {
    let says = |text: String, words: &[&str]| assert!(words.iter().all(|word| text.contains(word)), "{text}");
    says(spoilt(|f| put(f, "X/indices", &[6], &[0_i32, 3, 1, 0, 1, 2])), &["X/indices", "1 of 6", "3 at 1"]);
    says(spoilt(|f| put(f, "X/indices", &[6], &[0_i32, 2, -1, 0, 1, 2])), &["X/indices", "-1 at 2"]);
    says(spoilt(|f| put(f, "X/indices", &[6], &[0_i64, 2, 1 << 40, 0, 1, 2])), &["X/indices", "1 of 6"]);
    says(spoilt(|f| put(f, "X/indices", &[6], &[0_i32, 2, 1, 0, 0, 2])), &["`X`", "column 0 twice in row 3"]);
    says(spoilt(|f| put(f, "X/indices", &[6], &[0.0_f64; 6])), &["X/indices", "whole numbers"]);
    says(spoilt(|f| put(f, "X/indices", &[5], &[0_i32, 2, 1, 0, 1])), &["`X`", "6", "5 indices"]);
    says(spoilt(|f| put(f, "X/indices", &[2, 3], &[0_i32; 6])), &["X/indices", "not a list"]);
    says(spoilt(|f| put(f, "X/data", &[7], &[0_f32; 7])), &["`X`", "7 values"]);
    says(
        spoilt(|f| {
            put(
                f,
                "X/data",
                &[6],
                &[
                    VarLenAscii::new(),
                    VarLenAscii::new(),
                    VarLenAscii::new(),
                    VarLenAscii::new(),
                    VarLenAscii::new(),
                    VarLenAscii::new(),
                ],
            )
        }),
        &["X/data", "numbers"],
    );
    says(spoilt(|f| put(f, "X/indptr", &[5], &[0_i32, 2, 1, 3, 6])), &["`X`", "never falls"]);
    says(spoilt(|f| put(f, "X/indptr", &[5], &[0_i32, 2, -2, 3, 6])), &["X/indptr", "negative"]);
    says(spoilt(|f| put(f, "X/indptr", &[4], &[0_i32, 2, 2, 6])), &["X/indptr", "4 entries", "5"]);
    says(spoilt(|f| put(f, "X/indptr", &[5], &[0_i64, 2, 2, 3, i64::MAX])), &["`X`"]);
    says(spoilt(|f| f.unlink("X/indptr").unwrap()), &["X/indptr", "missing"]);
    says(spoilt(|f| put(f, "X", &[4, 2], &[0_f32; 8])), &["`X`", "4 × 3", "4 × 2"]);
    says(spoilt(|f| put(f, "layers/counts", &[3, 4], &[0_f32; 12])), &["layers/counts", "4 × 3", "3 × 4"]);
    says(spoilt(|f| put(f, "X", &[12], &[0_f32; 12])), &["`X`", "[12]"]);
    says(spoilt(|f| put(f, "obsm/X_pca", &[3, 2], &[0_f32; 6])), &["obsm/X_pca", "4 rows", "3 rows"]);
    says(spoilt(|f| put(f, "varm/PCs", &[4, 2], &[0_f32; 8])), &["varm/PCs", "3 rows", "4 rows"]);
    says(spoilt(|f| f.unlink("X").unwrap()), &["`X` is missing"]);
    says(
        spoilt(|f| {
            let x = f.group("X").unwrap();
            x.delete_attr("shape").unwrap();
            x.new_attr::<i64>().shape(2).create("shape").unwrap().write_raw(&[5_i64, 3]).unwrap();
        }),
        &["`X`", "4 × 3", "5 × 3"],
    );
}

#[test]
fn tables_that_contradict_themselves_are_refused() {
    let says = |text: String, words: &[&str]| assert!(words.iter().all(|word| text.contains(word)), "{text}");
    says(spoilt(|f| put(f, "obs/integer", &[5], &[0_i64; 5])), &["obs/integer", "4 rows", "5 rows"]);
    says(spoilt(|f| f.unlink("obs/integer").unwrap()), &["obs/integer", "column-order"]);
    says(spoilt(|f| f.unlink("obs/_index").unwrap()), &["obs/_index", "index"]);
    says(spoilt(|f| put(f, "obs/ordered/codes", &[4], &[3_i8, -1, -2, 0])), &["obs/ordered", "2 of 4", "3 in row 0"]);
    says(spoilt(|f| put(f, "obs/ordered/codes", &[4], &[0.0_f64; 4])), &["obs/ordered", "whole numbers"]);
    says(spoilt(|f| f.unlink("obs/ordered/categories").unwrap()), &["obs/ordered/categories", "missing"]);
    let bytes: [&[u8]; 4] = [b"ok", b"\xff\xfe", b"ok", b"\xe9t\xe9"];
    // The library stores what it is given, as an older program may have done.
    let latin: Vec<VarLenAscii> =
        bytes.iter().map(|bytes| unsafe { VarLenAscii::from_ascii_unchecked(bytes) }).collect();
    says(spoilt(|f| put(f, "obs/text", &[4], &latin)), &["obs/text", "2 of 4", "UTF-8", "element 1"]);
    says(spoilt(|f| put(f, "obs", &[4], &[1_i32; 4])), &["obs", "table"]);
    says(spoilt(|f| put(f, "obs/boolean", &[5], &[true; 5])), &["obs/boolean", "5 rows"]);
}

#[test]
fn a_claim_of_an_impossible_size_takes_no_memory() {
    let huge = spoilt(|file| {
        file.unlink("X/data").unwrap();
        file.new_dataset::<f32>().chunk(1024).deflate(1).shape(1_usize << 40).create("X/data").unwrap();
    });
    assert!(huge.contains("X/data") && huge.contains("too large"), "{huge}");
    let dense = spoilt(|file| {
        file.unlink("obsm/X_pca").unwrap();
        file.new_dataset::<f64>().chunk((1, 1024)).shape((4, 1_usize << 40)).create("obsm/X_pca").unwrap();
    });
    assert!(dense.contains("obsm/X_pca") && dense.contains("too large"), "{dense}");
}

#[test]
fn an_unknown_filter_is_named() {
    let text = spoilt(|file| {
        file.unlink("X/data").unwrap();
        // Number 32015 is Zstandard, marked optional so that the library makes the data set without it.
        let list = hdf5::plist::DatasetCreate::build().chunk(vec![6]).finish().unwrap();
        let status =
            hdf5::sync::sync(|| unsafe { hdf5_sys::h5p::H5Pset_filter(list.id(), 32015, 1, 0, std::ptr::null()) });
        assert!(status >= 0);
        let dataset = file.new_dataset_builder().set_dcpl(&list).empty::<f32>().shape(6).create("X/data").unwrap();
        dataset.write_raw(&[1_f32; 6]).unwrap();
    });
    assert!(text.contains("X/data") && text.contains("Zstandard") && text.contains("32015"), "{text}");
}
