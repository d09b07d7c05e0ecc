//! Stages as processes of their own: what they say goes into a file, and the system counts what they take.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde::Serialize;

use crate::io::{atomic, json};
use crate::metrics::benchmark::Usage;
use crate::{Error, Result};

/// What ends a stage from outside, and not because of what it does.
const STOPS: [i32; 2] = [libc::SIGINT, libc::SIGTERM];

/// How a stage is run.
#[derive(Debug, Clone)]
pub(super) struct Runner {
    /// This program.
    pub(super) program: PathBuf,
    /// Threads of the process.
    pub(super) threads: usize,
}

impl Runner {
    /// Runs a stage whose parameters are written to `STAGE.json` in a folder; what it says is in `STAGE.log`, what it took in
    /// `STAGE.usage.json`.
    ///
    /// # Errors
    /// [`Error::Stage`] with what it said; [`Error::Interrupted`] if it was asked to stop; [`Error::Io`].
    pub(super) fn run(&self, stage: &str, params: &impl Serialize, folder: &Path, went_on: bool) -> Result<()> {
        let (settings, log) = (folder.join(format!("{stage}.json")), folder.join(format!("{stage}.log")));
        atomic::file(&settings, |path| json::write_pretty(path, params))?;
        let io = |path: &Path, source| Error::Io { path: path.to_owned(), source };
        let said = File::create(&log).map_err(|source| io(&log, source))?;
        let started = Instant::now();
        let mut command = Command::new(&self.program);
        command.args(["stage", stage]).arg(&settings).args(["--threads", &self.threads.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
        die_with_parent(&mut command);
        let child = command.spawn().map_err(|source| io(&self.program, source))?;
        let (status, mut usage) = wait(child.id()).map_err(|source| io(&self.program, source))?;
        usage.wall_seconds = started.elapsed().as_secs_f64();
        usage.went_on = went_on;
        match status {
            Status::Exited(0) => atomic::file(&usage_path(folder, stage), |path| json::write_pretty(path, &usage)),
            Status::Signalled(signal) if STOPS.contains(&signal) => Err(interrupted(signal)),
            Status::Exited(code) if STOPS.contains(&(code - 128)) => Err(interrupted(code - 128)),
            Status::Exited(code) => Err(failed(stage, Some(code), &log)),
            Status::Signalled(signal) => {
                let reason = format!("ended by signal {signal}; see `{}`", log.display());
                let hint = (signal == libc::SIGKILL).then(|| "was there enough memory? try fewer --jobs".to_owned());
                Err(Error::Stage { stage: stage.into(), reason, hint, status: None })
            }
        }
    }
}

/// What a finished stage took.
///
/// # Errors
/// [`Error::Io`] or [`Error::InvalidFile`].
pub(super) fn usage(folder: &Path, stage: &str) -> Result<Usage> {
    json::read(&usage_path(folder, stage), "add --force to measure it again")
}

fn usage_path(folder: &Path, stage: &str) -> PathBuf {
    folder.join(format!("{stage}.usage.json"))
}

fn interrupted(signal: i32) -> Error {
    let hint = "the same command goes on from here".into();
    Error::Interrupted { signal: signal as u8, step: 0, hint }
}

/// The last error that a stage told, with its hint.
fn failed(stage: &str, status: Option<i32>, log: &Path) -> Error {
    let said = std::fs::read_to_string(log).unwrap_or_default();
    let place = said.rfind("error: ").map_or(0, |place| place + "error: ".len());
    let (reason, hint) = match said[place..].split_once("\nhint: ") {
        Some((reason, hint)) => (reason, Some(hint.trim().to_owned())),
        None => (&said[place..], None),
    };
    let reason = match reason.trim() {
        "" => format!("it said nothing; see `{}`", log.display()),
        reason => reason.to_owned(),
    };
    Error::Stage { stage: stage.into(), reason, hint, status }
}

enum Status {
    Exited(i32),
    Signalled(i32),
}

/// Waits for a process to end; the clock is left to the caller.
fn wait(pid: u32) -> std::io::Result<(Status, Usage)> {
    let mut status = 0;
    // SAFETY: a plain structure of numbers, for which zeros are a value.
    let mut took: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are to values that live as long as the call, and the process is a child that nobody else
        // waits for.
        let ended = unsafe { libc::wait4(pid as libc::pid_t, &mut status, 0, &mut took) };
        if ended >= 0 {
            break;
        }
        let error = std::io::Error::last_os_error();
        if error.kind() != std::io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 * 1e-6;
    // Linux counts kilobytes, others bytes.
    let unit = if cfg!(target_os = "linux") { 1024 } else { 1 };
    let usage = Usage {
        cpu_seconds: seconds(took.ru_utime) + seconds(took.ru_stime),
        wall_seconds: 0.0,
        peak_memory_bytes: took.ru_maxrss as u64 * unit,
        went_on: false,
    };
    let status = match libc::WIFEXITED(status) {
        true => Status::Exited(libc::WEXITSTATUS(status)),
        false => Status::Signalled(libc::WTERMSIG(status)),
    };
    Ok((status, usage))
}

/// Lets the system ask the process to stop when the one that started it is gone, so that no fit goes on unseen.
#[cfg(target_os = "linux")]
fn die_with_parent(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    let parent = std::process::id();
    let ask = move || {
        // SAFETY: a system call that takes numbers alone, and may be made between fork and exec.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) };
        // SAFETY: as above.
        match unsafe { libc::getppid() } as u32 == parent {
            true => Ok(()),
            // It was gone before the system was asked.
            false => Err(std::io::ErrorKind::BrokenPipe.into()),
        }
    };
    // SAFETY: the closure makes two system calls, allocates nothing and takes no lock.
    unsafe { command.pre_exec(ask) };
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_: &mut Command) {}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program that prints what it was given and ends as it is told.
    fn runner(folder: &Path, script: &str) -> Runner {
        use std::os::unix::fs::PermissionsExt;
        let program = folder.join("program");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        Runner { program, threads: 2 }
    }

    #[test]
    fn what_a_stage_takes_is_counted_and_what_it_says_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let script = "echo \"$@\" >&2; i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        runner(path, script).run("fit", &serde_json::json!({ "seed": 1 }), path, true).unwrap();
        let usage = usage(path, "fit").unwrap();
        assert!(usage.cpu_seconds > 0.0 && usage.wall_seconds >= usage.cpu_seconds * 0.5 && usage.went_on, "{usage:?}");
        assert!((100_000..1_000_000_000).contains(&usage.peak_memory_bytes), "{usage:?}");
        let said = std::fs::read_to_string(path.join("fit.log")).unwrap();
        assert_eq!(said, format!("stage fit {} --threads 2\n", path.join("fit.json").display()));
    }

    #[test]
    fn a_failure_tells_what_the_stage_said_and_a_signal_is_no_failure() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let run = |script: &str| runner(path, script).run("fit", &(), path, false).unwrap_err();
        let error = run("echo begins >&2; echo 'error: no cells' >&2; echo 'hint: add some' >&2; exit 2");
        assert_eq!((error.to_string().as_str(), error.hint()), ("stage `fit`: no cells", Some("add some")));
        assert!(error.is_mistake());
        let error = run("echo 'error: it broke' >&2; exit 1");
        assert!(!error.is_mistake() && error.to_string().ends_with("it broke"));
        assert!(matches!(run("kill -TERM $$"), Error::Interrupted { signal: 15, .. }));
        assert!(matches!(run("exit 130"), Error::Interrupted { signal: 2, .. }));
        let killed = run("kill -KILL $$");
        assert!(killed.to_string().contains("signal 9") && killed.hint().is_some_and(|hint| hint.contains("memory")));
        assert!(!path.join("fit.usage.json").exists());
    }
}
