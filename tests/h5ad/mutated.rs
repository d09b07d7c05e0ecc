//! Hundreds of files with something wrong in them. A process of its own reads each one, so that a crash, a hang or a
//! memory blow-up of any of them is told with its name.

use std::fmt::Write as _;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use hdf5::types::VarLenUnicode;
use hdf5::{File, Group, LocationType};

use super::encodings::{compound_tables, put, put_attribute};
use super::*;

/// The folder of files, for the process that reads them.
const FOLDER: &str = "SCFLOW_MUTATED_FILES";
/// No file takes longer. Each takes milliseconds, but the machine may be busy.
const MOST_TIME: Duration = Duration::from_secs(30);
/// No file needs more memory than this, all told.
const MOST_BYTES: u64 = 4 << 30;

/// The bytes of good files of several kinds.
fn good_files() -> Vec<(&'static str, Vec<u8>)> {
    let bytes = |edit: &dyn Fn(&File)| {
        let (_place, path) = encodings::edited(edit);
        std::fs::read(path).unwrap()
    };
    let columns = |file: &File| {
        put_attribute(&file.group("X").unwrap(), "encoding-type", "csc_matrix");
        put(file, "X/data", &[6], &[1.0_f64, 4.0, -3.0, 5.0, 2.5, 6.0]);
        put(file, "X/indices", &[6], &[0_i64, 3, 2, 3, 0, 3]);
        put(file, "X/indptr", &[4], &[0_i64, 2, 4, 6]);
    };
    let dense = |file: &File| {
        file.unlink("X").unwrap();
        let values: Vec<f32> = (0..12).map(|value| value as f32).collect();
        let values = ndarray::ArrayView2::from_shape((4, 3), &values).unwrap();
        file.new_dataset_builder().chunk((2, 3)).deflate(1).with_data(values).create("X").unwrap();
    };
    let raw = |file: &File| {
        let raw = file.create_group("raw").unwrap();
        put_attribute(&raw, "encoding-type", "raw");
        ["X", "var"].iter().for_each(|name| file.group(name).unwrap().copy_to(&raw, name).unwrap());
    };
    vec![
        ("rows", bytes(&raw)),
        ("columns", bytes(&columns)),
        ("dense", bytes(&dense)),
        ("compound", bytes(&compound_tables)),
        ("plain", bytes(&|_| ())),
    ]
}

/// Every object below a group, by its path.
fn objects(group: &Group, path: &str, found: &mut Vec<String>) {
    let mut names = group.member_names().unwrap();
    names.sort();
    for name in names {
        let path = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
        if group.loc_type_by_name(&name).unwrap() == LocationType::Group {
            objects(&group.group(&name).unwrap(), &path, found);
        }
        found.push(path);
    }
}

/// A change of a file at an object, with its name.
type Change = (&'static str, fn(&File, &str));

/// What is done to an object.
const CHANGES: [Change; 9] = [
    ("absent", |file, path| file.unlink(path).unwrap()),
    ("text", |file, path| {
        file.unlink(path).unwrap();
        let text: VarLenUnicode = "text".parse().unwrap();
        file.new_dataset::<VarLenUnicode>().create(path).unwrap().write_scalar(&text).unwrap();
    }),
    ("whole", |file, path| put(file, path, &[5], &[i64::MAX, -1, 1 << 40, 2, 0])),
    ("group", |file, path| {
        file.unlink(path).unwrap();
        file.create_group(path).unwrap();
    }),
    ("soft", |file, path| {
        file.unlink(path).unwrap();
        file.link_soft(&format!("/{path}"), path).unwrap();
    }),
    ("root", |file, path| {
        file.unlink(path).unwrap();
        file.link_hard("/", path).unwrap();
    }),
    ("outside", |file, path| {
        file.unlink(path).unwrap();
        file.link_external("mutated.h5ad", path, path).unwrap();
    }),
    ("huge", |file, path| {
        file.unlink(path).unwrap();
        file.new_dataset::<f32>().chunk((64, 64)).shape((1_usize << 40, 1_usize << 20)).create(path).unwrap();
    }),
    ("attributes", |file, path| {
        let object = match file.loc_type_by_name(path).unwrap() {
            LocationType::Group => (*file.group(path).unwrap()).clone(),
            _ => (**file.dataset(path).unwrap()).clone(),
        };
        for (number, name) in object.attr_names().unwrap().into_iter().enumerate() {
            object.delete_attr(&name).unwrap();
            if number % 2 == 0 {
                object
                    .new_attr::<i64>()
                    .shape(3)
                    .create(name.as_str())
                    .unwrap()
                    .write_raw(&[-1_i64, 1 << 50, 7])
                    .unwrap();
            }
        }
    }),
];

/// A change of a file.
type Edit = fn(&File);

/// Matrices that contradict themselves.
const MATRICES: [(&str, Edit); 12] = [
    ("outside", |file| put(file, "X/indices", &[6], &[0_i32, 3, 1, 0, 1, 2])),
    ("negative", |file| put(file, "X/indices", &[6], &[0_i32, -2, 1, 0, 1, 2])),
    ("unsorted", |file| put(file, "X/indices", &[6], &[2_i32, 0, 1, 2, 1, 0])),
    ("twice", |file| put(file, "X/indices", &[6], &[0_i32, 2, 1, 0, 0, 2])),
    ("falls", |file| put(file, "X/indptr", &[5], &[0_i32, 2, 1, 3, 6])),
    ("far", |file| put(file, "X/indptr", &[5], &[0_i64, 2, 2, 3, i64::MAX])),
    ("below", |file| put(file, "X/indptr", &[5], &[0_i64, i64::MIN, 2, 3, 6])),
    ("late", |file| put(file, "X/indptr", &[5], &[1_i32, 2, 2, 3, 6])),
    ("short", |file| put(file, "X/data", &[5], &[1_f32; 5])),
    ("long", |file| put(file, "X/data", &[7], &[1_f32; 7])),
    ("square", |file| put(file, "X/data", &[2, 3], &[1_f32; 6])),
    ("shape", |file| {
        let group = file.group("X").unwrap();
        group.delete_attr("shape").unwrap();
        group.new_attr::<i64>().shape(2).create("shape").unwrap().write_raw(&[i64::MAX, i64::MAX]).unwrap();
    }),
];

/// Writes all files into a folder; the number of them. The same in every run.
fn mutate(folder: &Path) -> usize {
    let mut n = 0;
    let mut save = |name: String, bytes: &[u8]| {
        std::fs::write(folder.join(format!("{n:04} {name}.h5ad")), bytes).unwrap();
        n += 1;
    };
    let mut state = 5_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let edit = folder.join("edit");
    for (kind, good) in good_files() {
        save(format!("{kind} good"), &good);
        for part in 1..16 {
            save(format!("{kind} cut at {part} of 16"), &good[..good.len() * part / 16 + random(8)]);
        }
        for number in 0..40 {
            let mut bytes = good.clone();
            for _ in 0..=random(4) {
                // Half of the changes where the file describes itself, at its beginning.
                let at = random(if number % 2 == 0 { 4096 } else { bytes.len() });
                bytes[at] = [0, 1, 0xff, bytes[at] ^ 1 << random(8), random(256) as u8][random(5)];
            }
            save(format!("{kind} bytes {number}"), &bytes);
        }
        let mut changed = |name: String, change: &dyn Fn(&File)| {
            std::fs::write(&edit, &good).unwrap();
            let file = File::open_rw(&edit).unwrap();
            change(&file);
            encodings::close(file, &edit);
            save(name, &std::fs::read(&edit).unwrap());
        };
        if kind == "plain" {
            MATRICES.iter().for_each(|(name, change)| changed(format!("matrix {name}"), change));
        }
        if kind == "rows" || kind == "compound" {
            let mut paths = Vec::new();
            std::fs::write(folder.join("walk"), &good).unwrap();
            objects(&File::open(folder.join("walk")).unwrap(), "", &mut paths);
            std::fs::remove_file(folder.join("walk")).unwrap();
            for (number, path) in paths.iter().enumerate() {
                for (name, change) in CHANGES.iter().skip(number % 2).step_by(2) {
                    changed(format!("{kind} {} {name}", path.replace('/', "-")), &|file| change(file, path));
                }
            }
        }
    }
    std::fs::remove_file(&edit).unwrap();
    n
}

/// Reads a file in every way; what came of it, or what is wrong with how that went.
fn judge(path: &Path, output: &Path) -> Result<&'static str, String> {
    let mistake = |what: &str, error: &Error| match error.is_mistake() {
        true => Ok(()),
        false => Err(format!("{what} is no mistake of the user: {error:?}")),
    };
    let read = h5ad::read(path);
    let parts = h5ad::Partial::open(path, &["X_pca"]).and_then(|(file, _)| file.layer_rows("counts", &[0, 3]));
    let rewritten = h5ad::rewrite(path, output);
    let again = rewritten.as_ref().ok().map(|_| h5ad::read(output));
    if let Err(error) = &read {
        mistake("the error of reading", error)?;
    }
    if let Err(error) = &parts {
        mistake("the error of reading parts", error)?;
    }
    if let Err(error) = &rewritten {
        mistake("the error of rewriting", error)?;
    }
    match (&read, &again) {
        (Ok(read), Some(Ok(again))) if format!("{:?}", read.x) != format!("{:?}", again.x) => {
            Err("the matrix is another once it was rewritten".into())
        }
        (Ok(_), Some(Err(error))) => Err(format!("what was rewritten cannot be read: {error:?}")),
        (Ok(_), _) => Ok("read"),
        (Err(_), _) => Ok("refused"),
    }
}

/// Judges the files of a folder from a number on, and keeps a record; what the other process does.
#[test]
#[ignore = "started by the test of this file"]
fn reader() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    // A process that wants more is ended.
    let limit = libc::rlimit { rlim_cur: MOST_BYTES, rlim_max: MOST_BYTES };
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
    let files = files(&folder);
    let mut record = std::fs::read_to_string(folder.join("record")).unwrap_or_default();
    let first = record.lines().count();
    for path in &files[first..] {
        let judged = std::panic::catch_unwind(|| judge(path, &folder.join("output")));
        let judged = judged.unwrap_or_else(|_| Err("panics".into()));
        let judged = judged.map_or_else(|wrong| wrong.replace('\n', " "), str::to_owned);
        writeln!(record, "{judged}").unwrap();
        std::fs::write(folder.join("record"), &record).unwrap();
    }
}

/// The files of a folder, in order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|end| end == "h5ad")).collect();
    files.sort();
    files
}

/// Waits until a process ends, as long as its record grows; true if it ended well.
fn ends_well(child: &mut Child, record: &Path) -> bool {
    let (mut last, mut length) = (Instant::now(), 0);
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.success();
        }
        let now = std::fs::metadata(record).map_or(0, |record| record.len());
        if now != length {
            (last, length) = (Instant::now(), now);
        }
        if last.elapsed() > MOST_TIME {
            child.kill().unwrap();
            child.wait().unwrap();
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn every_mutated_file_is_read_or_refused_in_little_time_and_memory() {
    let place = place();
    let n_files = mutate(place.path());
    assert!(n_files > 200, "{n_files} files");
    let record = place.path().join("record");
    for _ in 0..20 {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "h5ad::mutated::reader", "--ignored", "--quiet"]).env(FOLDER, place.path());
        let mut child =
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
        if ends_well(&mut child, &record) {
            break;
        }
        let told = std::fs::read_to_string(&record).unwrap_or_default();
        std::fs::write(&record, told + "ends the process, or does not come back\n").unwrap();
    }
    let told = std::fs::read_to_string(&record).unwrap();
    let n = |what: &str| told.lines().filter(|line| *line == what).count();
    let bad: Vec<String> = files(place.path())
        .iter()
        .zip(told.lines())
        .filter(|(_, told)| !matches!(*told, "read" | "refused"))
        .map(|(path, told)| format!("{}: {told}", path.file_name().unwrap().to_string_lossy()))
        .collect();
    assert!(bad.is_empty(), "{} of {n_files}: {bad:#?}", bad.len());
    assert_eq!(n("read") + n("refused"), n_files);
    assert!(n("read") >= 5 && n("refused") > 200, "{} were read, {} refused", n("read"), n("refused"));
    println!("{} files were read, {} refused", n("read"), n("refused"));
}
