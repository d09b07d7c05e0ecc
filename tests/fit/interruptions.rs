//! Fits that diverge, are killed, or are asked to stop.

use std::time::Instant;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

#[test]
fn a_fit_that_diverges_fails_with_the_step() {
    let folder = tempfile::tempdir().unwrap();
    let (status, said) = fit(folder.path(), "bad", &["--steps", "200", "--learning-rate", "1e30"]);
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("the loss became") && said.contains("at step") && said.contains("--learning-rate"), "{said}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_fit_that_diverges_keeps_the_last_checkpoint_with_good_weights() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    // The rate rises over the first steps: some are done before it is too high.
    let options = ["--steps", "200", "--learning-rate", "20", "--checkpoint-every", "1"];
    let (status, said) = fit(path, "model", &options);
    assert_eq!(status, 1, "{said}");
    let checkpoint = path.join("model.checkpoint.safetensors");
    assert!(checkpoint.exists() && !path.join("model").exists(), "{said}");
    assert!(said.contains("the last good weights") && said.contains("model.checkpoint.safetensors"), "{said}");
    let number = |before: &str| -> usize {
        let rest = said.split(before).nth(1).unwrap();
        rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
    };
    let (failed, saved) = (number("at step "), number("of step "));
    assert!(saved > 0 && saved + 1 == failed, "{said}");
    let tensors = candle_core::safetensors::load(&checkpoint, &candle_core::Device::Cpu).unwrap();
    assert_eq!(tensors["losses"].dims(), [saved]);
    for (name, tensor) in tensors.iter().filter(|(name, _)| name.starts_with("value/")) {
        let values: Vec<f32> = tensor.flatten_all().unwrap().to_vec1().unwrap();
        assert!(values.iter().all(|value| value.is_finite()), "{name}");
    }
}

#[test]
fn a_fit_that_is_killed_again_and_again_ends_with_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let options = ["--steps", "120", "--seed", "3", "--checkpoint-every", "7"];
    let start = Instant::now();
    ok(fit(path, "whole", &options));
    let duration = start.elapsed();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let arguments = [&["fit", prepared().to_str().unwrap(), "-o", "killed", "-q"], &SMALL[..], &options[..]].concat();
    let checkpoint = path.join("killed.checkpoint.safetensors");
    let mut n_killed = 0;
    while !path.join("killed").exists() {
        let mut command = Command::new(env!("CARGO_BIN_EXE_scflow"));
        command.current_dir(path).args(&arguments);
        if checkpoint.exists() {
            command.arg("--resume");
        }
        let mut child = command.spawn().unwrap();
        if n_killed < 5 {
            std::thread::sleep(duration.mul_f64(rng.random_range(0.1..0.9)));
            n_killed += usize::from(child.try_wait().unwrap().is_none());
            child.kill().unwrap();
        }
        let status = child.wait().unwrap();
        assert!(status.success() || status.code().is_none(), "{status}");
    }
    assert!(n_killed > 0, "the fit was too fast to be killed");
    same_files(&files(&path.join("whole")), &files(&path.join("killed")));
}

#[test]
fn a_killed_fit_goes_on_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let options = ["--steps", "150", "--seed", "9", "--checkpoint-every", "0.05s"];
    ok(fit(path, "whole", &options));
    assert!(fit_and_kill(path, "killed", &[&SMALL[..], &options].concat()), "the fit was too fast to be killed");
    let (status, said) = fit(path, "killed", &options);
    assert!(status == 2 && said.contains("--resume"), "{said}");
    let (status, said) = fit(path, "killed", &["--steps", "150", "--seed", "8", "--resume"]);
    assert!(status == 2 && said.contains("other options"), "{said}");
    let (status, said) = fit(path, "killed", &[&options[..], &["--resume", "--device", "composed"]].concat());
    assert!(status == 2 && said.contains("other options"), "{said}");
    // The device counts, not how it was asked for.
    let said = ok(fit(path, "killed", &[&options[..], &["--resume", "--device", "cpu"]].concat()));
    assert!(said.contains("going on from step"), "{said}");
    same_files(&files(&path.join("whole")), &files(&path.join("killed")));
    assert!(!path.join("killed.checkpoint.safetensors").exists());
}

#[cfg(unix)]
#[test]
fn a_terminated_fit_writes_a_checkpoint_and_goes_on_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let options = ["--steps", "400", "--seed", "5"];
    ok(fit(path, "whole", &options));
    let arguments = [&["fit", prepared().to_str().unwrap(), "-o", "stopped"], &SMALL[..], &options[..]].concat();
    // The first checkpoint tells that training has begun.
    let mut command = Command::new(env!("CARGO_BIN_EXE_scflow"));
    command.current_dir(path).args(&arguments).args(["--checkpoint-every", "0.01s", "-q"]);
    let mut child = command.spawn().unwrap();
    let checkpoint = path.join("stopped.checkpoint.safetensors");
    wait_for(&mut child, || checkpoint.exists());
    let first = std::fs::metadata(&checkpoint).unwrap().modified().unwrap();
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(143), "the fit was too fast to be stopped");
    assert!(checkpoint.exists() && std::fs::metadata(&checkpoint).unwrap().modified().unwrap() >= first);
    assert!(!path.join("stopped").exists());
    ok(fit(path, "stopped", &[&options[..], &["--resume"]].concat()));
    same_files(&files(&path.join("whole")), &files(&path.join("stopped")));
}
