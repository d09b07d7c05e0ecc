//! Devices: those that are not there, and the operations that they would use, on the processor.

use super::*;

#[test]
fn the_device_is_named_and_one_that_is_not_built_in_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let said = ok(fit(path, "model", &["--steps", "2", "--device", "cpu", "--threads", "2"]));
    assert!(said.contains("device: CPU, 2 threads"), "{said}");
    let said = ok(scflow(path, &["predict", "model", "-p", "drug C", "-o", "cells.h5ad", "--cells", "5"]));
    assert!(said.contains("device: "), "{said}");
    for (device, is_built_in) in [("cuda", cfg!(feature = "cuda")), ("metal", cfg!(feature = "metal"))] {
        if !is_built_in {
            let parts = [&format!("--features {device}"), "built without it", "--device cpu"];
            refused(path, fit(path, "bad", &["--steps", "2", "--device", device]), &parts);
            let predict = ["predict", "model", "-p", "drug C", "-o", "bad.h5ad", "--device", device];
            refused(path, scflow(path, &predict), &parts);
        }
    }
    refused(path, fit(path, "bad", &["--device", "tpu"]), &["tpu", "auto", "cuda"]);
}

#[test]
fn what_other_devices_compute_trains_and_generates_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let kinds: [&[&str]; 3] = [
        &["--prompt-use", "both", "--trajectories", "2", "--evidence", "--history-noise", "0.05", "--average", "0.5"],
        &["--decoder", "variational", "--prompt-use", "both", "--time-steps", "3", "--spatial-tokens", "2"],
        &["--method", "cfm"],
    ];
    for (number, kind) in kinds.into_iter().enumerate() {
        let losses = |model: &str, device: &str, rate: &str| {
            let size = &SMALL[if kind.contains(&"cfm") { 6..8 } else { 0..8 }];
            let input = prepared().to_str().unwrap();
            let fixed = ["fit", input, "-o", model, "--steps", "30", "--device", device, "--learning-rate", rate];
            ok(scflow(path, &[&fixed[..], size, kind].concat()));
            losses(&path.join(model))
        };
        let largest_gap = |left: &[f64], right: &[f64]| {
            let gaps = left.iter().zip(right).map(|(left, right)| (left - right).abs() / left.abs().max(1.0));
            gaps.fold(0.0, f64::max)
        };
        let fused = losses(&format!("cpu{number}"), "cpu", "2e-2");
        let composed = losses(&format!("composed{number}"), "composed", "2e-2");
        let unfitted = losses(&format!("unfitted{number}"), "cpu", "1e-12");
        assert_eq!((fused.len(), composed.len()), (30, 30));
        assert!(largest_gap(&fused, &composed) < 1e-4, "{kind:?}: {fused:?} {composed:?}");
        assert!(largest_gap(&fused, &unfitted) > 0.02, "{kind:?}: {fused:?} {unfitted:?}");
        let [fused, composed] = ["cpu", "composed"].map(|device| {
            let (model, output) = (format!("cpu{number}"), format!("{device}{number}.h5ad"));
            let fixed = ["predict", &model, "-p", "drug A+drug B", "--cells", "100", "-o", &output];
            ok(scflow(path, &[&fixed[..], &["--device", device]].concat()));
            h5ad::read(&path.join(output)).unwrap().obsm.remove("X_pca").unwrap()
        });
        let n_close =
            (&fused - &composed).rows().into_iter().filter(|gap| gap.iter().all(|gap| gap.abs() < 1e-3)).count();
        // A component of a mixture is chosen the other way where a random number lies on the border.
        assert!(n_close >= fused.nrows() - 2, "{kind:?}: {n_close} of {}", fused.nrows());
    }
}
