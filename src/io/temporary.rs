//! The names of unfinished outputs, and the removal of those that a killed process left.
//!
//! A name tells which output it becomes, on which system, and which process writes it. Only where the system tells which
//! processes live (Linux) is anything removed; what another machine or container left stays.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::path::Path;

use super::digest;

/// How the name of every unfinished output begins.
const START: &str = ".scflow-";
/// How it ends.
pub(super) const END: &str = ".tmp";
/// Hexadecimal digits that name an output or a system.
const N_DIGITS: usize = 8;

/// Where the results that a folder is about to replace wait, within its unfinished output.
pub(super) const FORMER: &str = "old";

/// What the name of an unfinished output begins with, if this process writes it.
pub(super) fn prefix(target: &Path) -> String {
    let system = system().unwrap_or_default();
    format!("{}{}-", prefix_of_all(target, &system), std::process::id())
}

/// Removes what processes that are gone left of this output; what cannot be removed stays.
pub(super) fn remove_stale(folder: &Path, target: &Path) {
    let (Some(system), Ok(own)) = (system(), fs::metadata("/proc/self")) else { return };
    let start = prefix_of_all(target, &system);
    let process = |name: &OsStr| {
        let (process, _) = name.to_str()?.strip_prefix(&start)?.strip_suffix(END)?.split_once('-')?;
        process.parse::<u32>().ok()
    };
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (Some(process), Ok(found)) = (process(&entry.file_name()), entry.metadata()) else { continue };
        // The processes of other users may be hidden.
        let may_live = Path::new("/proc").join(process.to_string()).exists() || !is_same_user(&found, &own);
        let path = entry.path();
        // Former results that nothing has replaced yet are more than a leftover.
        if may_live || (path.join(FORMER).exists() && !target.exists()) {
            continue;
        }
        let _ = if found.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    }
}

/// What the names of all unfinished outputs of this target begin with, whichever process of this system writes them.
fn prefix_of_all(target: &Path, system: &str) -> String {
    let name = target.file_name().unwrap_or_default();
    format!("{START}{}-{}-", short(name.as_encoded_bytes()), short(system.as_bytes()))
}

/// This start of this machine, and the part of it in which numbers of processes hold; none if it cannot be told.
fn system() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{boot}{}", namespace.display()))
}

fn short(bytes: &[u8]) -> String {
    let mut digest = digest::of_bytes(bytes);
    digest.truncate(N_DIGITS);
    digest
}

#[cfg(unix)]
fn is_same_user(left: &Metadata, right: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    left.uid() == right.uid()
}

#[cfg(not(unix))]
fn is_same_user(_: &Metadata, _: &Metadata) -> bool {
    false
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::process::{Child, Command};

    use super::*;
    use crate::io::atomic;

    /// A process that lives until it is killed.
    fn process() -> Child {
        Command::new("sleep").arg("600").spawn().unwrap()
    }

    fn end(mut process: Child) {
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// The name under which a process writes an output.
    fn name(target: &Path, process: &Child) -> String {
        format!("{}{}-x1Y2z3{END}", prefix_of_all(target, &system().unwrap()), process.id())
    }

    #[test]
    fn what_a_killed_process_left_of_an_output_goes_with_its_next_write_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let (target, other) = (place.path().join("out.txt"), place.path().join("other.txt"));
        let (gone, living) = (process(), process());
        let [left, written, left_of_other] = [(&target, &gone), (&target, &living), (&other, &gone)]
            .map(|(target, process)| place.path().join(name(target, process)));
        let elsewhere = format!("{}{}-x1Y2z3{END}", prefix_of_all(&target, "another machine"), gone.id());
        let elsewhere = place.path().join(elsewhere);
        for path in [&left, &written, &left_of_other, &elsewhere] {
            fs::write(path, "half").unwrap();
        }
        atomic::bytes(&target, b"while both live").unwrap();
        assert!(left.exists());
        end(gone);
        atomic::bytes(&target, b"whole").unwrap();
        assert_eq!([&left, &written, &left_of_other, &elsewhere].map(|path| path.exists()), [false, true, true, true]);
        assert_eq!(fs::read(&target).unwrap(), b"whole");
        end(living);
    }

    #[test]
    fn former_results_stay_until_others_are_in_their_place() {
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("scores");
        let gone = process();
        let left = place.path().join(name(&target, &gone));
        end(gone);
        fs::create_dir_all(left.join(FORMER)).unwrap();
        fs::write(left.join(FORMER).join("scores.csv"), "1").unwrap();
        atomic::folder(&target, |_| Ok(())).unwrap();
        assert!(left.exists());
        atomic::folder(&target, |_| Ok(())).unwrap();
        assert!(!left.exists() && target.exists());
    }
}
